"""EDM's Euler scheduler against diffusers', coefficient by coefficient."""

from typing import Any

import draws
import numpy as np
import torch
from diffusers.schedulers import scheduling_edm_euler
from impulse import Tally, drawn
from parity import Case, compare
from test_sigma import stepper


def test_edm_euler():
    rng = np.random.default_rng(21)
    tally = Tally("EDMEulerScheduler")
    with drawn(scheduling_edm_euler) as give:
        for _ in range(130):
            config = {
                "sigma_min": float(10 ** rng.uniform(-3, -1)),
                "sigma_max": float(rng.uniform(5, 100)),
                "sigma_data": float(rng.uniform(0.3, 1.2)),
                "sigma_schedule": str(rng.choice(("karras", "exponential"))),
                "num_train_timesteps": int(rng.choice((500, 1000))),
                "prediction_type": str(rng.choice(("epsilon", "v_prediction"))),
                "rho": float(rng.uniform(3, 9)),
                "final_sigmas_type": str(rng.choice(("zero", "sigma_min"))),
            }
            churn: dict[str, Any] = {}
            if rng.random() < 0.5:
                churn = {"s_churn": float(rng.uniform(0, 9)), "s_tmin": float(rng.uniform(0, 0.3))}
                churn = {**churn, "s_tmax": float(rng.uniform(1, 90)), "s_noise": float(rng.uniform(0.9, 1.1))}
            run: dict[str, Any] = {"n": draws.steps(rng)}
            if rng.random() < 0.25:
                ramp = np.append(0.0, np.sort(rng.uniform(0, 1, draws.steps(rng, 20) - 1)))
                # A list has no answer there.
                run = {"sigmas": torch.from_numpy(ramp) if rng.random() < 0.8 else ramp.tolist()}
            rounded = "logarithms and powers in float32"
            compare(tally, Case(config, run, stepper(give, **churn), scheduling_edm_euler, churn, rounded=rounded))
    tally.verify(100, "raises AttributeError")
