"""RePaint against diffusers', with its jumps back, as its pipeline runs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import diffusers
import draws
import numpy as np
import torch
from diffusers.schedulers import scheduling_repaint
from impulse import DOUBLE_TOLERANCE, Tally, relative_error
from parity import FLOOR

import multisched as ms

NAME = "RePaintScheduler"


@contextmanager
def handing(noises: Iterator[np.ndarray]) -> Iterator[None]:
    """Let diffusers draw these."""

    def randn_tensor(shape: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
        return torch.from_numpy(next(noises)).to(dtype).reshape(tuple(shape))

    with mock.patch.object(scheduling_repaint, "randn_tensor", randn_tensor):
        yield


def calls(timesteps: list[int]) -> list[tuple[int, list[int]]]:
    """Each timestep that the model is asked at, and those that the pipeline passes to `undo_step` after it."""
    found: list[tuple[int, list[int]]] = []
    last = timesteps[0] + 1
    for t in timesteps:
        if t < last:
            found.append((t, []))
        else:
            found[-1][1].append(last)
        last = t
    return found


def their_rows(scheduler: Any, mask: float) -> np.ndarray:
    """(rows, 5): of sample, output, original image and the noise of the step, and the size of all noise added after."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    rows = []
    for t, undone in calls(scheduler.timesteps.tolist()):
        basis = np.eye(4 + len(undone) * stride)[:, None, :]
        x, output, original = (torch.from_numpy(basis[k]) for k in range(3))
        with handing(iter(basis[3:])):
            x = scheduler.step(output, t, x, original, torch.full_like(x, mask)).prev_sample
            for last in undone:
                x = scheduler.undo_step(x, last)
        row = x[0].double().numpy()
        rows.append(np.append(row[:4], np.linalg.norm(row[4:])))
    return np.stack(rows)


def our_rows(plan: ms.Plan, mask: float) -> np.ndarray:
    x, output, original, z, again = np.eye(5)[:, None, :]
    state = plan.start(x, original=original, mask=np.full_like(x, mask))
    return np.stack([plan.step(state._replace(index=k), output, (z, again)).sample[0] for k in range(len(plan))])


def widen(scheduler: Any, recipe: Any) -> None:
    bars = torch.from_numpy(recipe.parts().path.alphas_cumprod.copy())
    scheduler.alphas_cumprod, scheduler.final_alpha_cumprod = bars, torch.ones((), dtype=torch.float64)
    scheduler.betas = 1 - torch.cat([bars[:1], bars[1:] / bars[:-1]])


def test_repaint():
    rng = np.random.default_rng(31)
    tally = Tally(NAME)
    for _ in range(125):
        config = draws.trained(rng, ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"))
        if "trained_betas" in config:
            config["trained_betas"] = np.array(config["trained_betas"], dtype=np.float32)
        config |= {"eta": float(rng.choice((0.0, 0.5, 1.0))), "clip_sample": bool(rng.integers(2))}
        n = draws.steps(rng, config["num_train_timesteps"])
        jumps = {"jump_length": int(rng.choice((1, 2, 3, 10))), "jump_n_sample": int(rng.choice((1, 2, 3, 10)))}
        if n > 100:
            jumps["jump_n_sample"] = min(2, jumps["jump_n_sample"])
        compare(tally, config, jumps, n, float(rng.uniform(0, 1)))
    tally.verify(120)


def compare(tally: Tally, config: dict[str, Any], jumps: dict[str, int], n: int, mask: float) -> None:
    recipe: Any = replace(ms.from_diffusers({"_class_name": NAME, **config}), **jumps)  # type: ignore[type-var]
    scheduler = diffusers.RePaintScheduler(**config)
    scheduler.set_timesteps(n, **jumps)
    plan = recipe.plan(n)
    rows, stock = our_rows(plan, mask), their_rows(scheduler, mask)
    widen(scheduler, recipe)
    double = their_rows(scheduler, mask)
    own = max(relative_error(stock, double), FLOOR)
    tally.own = max(tally.own, own)
    timesteps = np.array([t for t, _ in calls(scheduler.timesteps.tolist())])
    pairs = {
        "timesteps": (plan.timesteps[None], timesteps[None], 0.0),
        "rows": (rows, stock, 3 * own),
        "double": (rows, double, DOUBLE_TOLERANCE),
    }
    tally.compare((config, jumps, n), pairs)


def test_a_run_with_a_mask():
    """Where a step is one timestep the defect is none, and the default recipe runs as diffusers does."""
    rng = np.random.default_rng(32)
    shape = (2, 3, 4, 4)
    for eta in (0.0, 1.0):
        config = {"num_train_timesteps": 20, "beta_end": 0.3, "eta": eta}
        recipe = ms.RePaint(**config, jump_length=1, jump_n_sample=3)
        scheduler = diffusers.RePaintScheduler(**config)
        scheduler.set_timesteps(20, 1, 3)
        widen(scheduler, recipe)
        plan = recipe.plan(20)
        start, original = rng.standard_normal((2, *shape))
        mask = np.broadcast_to((rng.random((1, 1, 4, 4)) < 0.5).astype(float), shape).copy()
        x, state = torch.from_numpy(start), plan.start(start, original=original, mask=mask)
        for t, undone in calls(scheduler.timesteps.tolist()):
            output, z, again = rng.standard_normal((3, *shape))
            with handing(iter((z, again))):
                x = scheduler.step(torch.from_numpy(output), t, x, torch.from_numpy(original), torch.from_numpy(mask))
                x = x.prev_sample
                for last in undone:
                    x = scheduler.undo_step(x, last)
            state = plan.step(state, output, (z, again))
        np.testing.assert_allclose(state.sample, x.numpy(), rtol=0, atol=1e-10)
        np.testing.assert_array_equal(state.sample[mask == 1], original[mask == 1])
