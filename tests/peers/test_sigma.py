"""The schedulers in the space of x0 + sigma * noise against diffusers', coefficient by coefficient."""

from typing import Any

import draws
import numpy as np
from diffusers.schedulers import scheduling_euler_discrete
from impulse import Tally, drawn
from parity import compare


def test_euler():
    rng, tally = np.random.default_rng(11), Tally("EulerDiscreteScheduler")
    with drawn(scheduling_euler_discrete) as give:

        def step_with(scheduler: Any) -> Any:
            scheduler.is_scale_input_called = True

            def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                give(noise)
                return scheduler.step(output, timestep, sample).prev_sample

            return step_once

        for _ in range(120):
            config = {**draws.trained(rng), **draws.spaced(rng), **draws.respaced(rng)}
            config["prediction_type"] = str(rng.choice(("epsilon", "v_prediction", "sample")))
            n = draws.steps(rng, config["num_train_timesteps"])
            compare(tally, config, {"n": n}, step_with, scheduling_euler_discrete)
    tally.verify(100)
