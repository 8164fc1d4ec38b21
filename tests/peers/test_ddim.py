"""DDIM against diffusers, coefficient by coefficient."""

import math
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from impulse import Tally, drawn, our_rows, their_rows

import multisched as ms

PREDICTIONS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "trailing", "linspace")
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
STEPS = (1, 2, 3, 4, 7, 20, 50, 61)
TRAINING = (7, 24, 100, 250, 1000)


def test_the_peer_is_the_version_that_was_studied():
    assert diffusers.__version__ == "0.42.1"


def draw_config(rng: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Options that both libraries have, clipping off, and a number of steps."""
    total = int(rng.choice(TRAINING))
    start = float(10 ** rng.uniform(-4.5, -2.5))
    config: dict[str, Any] = {
        "num_train_timesteps": total,
        "beta_start": start,
        "beta_end": float(rng.uniform(2 * start, 0.05)),
        "beta_schedule": str(rng.choice(SCHEDULES)),
        "set_alpha_to_one": bool(rng.integers(2)),
        "steps_offset": int(rng.choice((0, 0, 1, 3))),
        "prediction_type": str(rng.choice(PREDICTIONS)),
        "timestep_spacing": str(rng.choice(SPACINGS)),
        "rescale_betas_zero_snr": bool(rng.random() < 0.3),
        "clip_sample": False,
    }
    if rng.random() < 0.2:
        config["trained_betas"] = tuple(np.sort(rng.uniform(1e-4, 0.03, total)).tolist())
    steps = [n for n in STEPS if n <= total] + [total] * (total < 100)
    return config, int(rng.choice(steps))


def theirs_for(config):
    scheduler = diffusers.DDIMScheduler(**config)
    return scheduler


def test_rows():
    rng = np.random.default_rng(20240)
    import collections
    res = collections.defaultdict(list)
    for _ in range(800):
        config, n = draw_config(rng)
        eta = float(rng.choice((0.0, 0.0, 0.3, 1.0)))
        clipped = bool(rng.integers(2))
        s = diffusers.DDIMScheduler(**config)
        s.set_timesteps(n)
        try:
            th = their_rows(s, lambda o, t, x, z: s.step(o, t, x, eta=eta, use_clipped_model_output=clipped, variance_noise=z).prev_sample)
        except IndexError:
            res["index"].append(0); continue
        if not np.isfinite(th).all():
            res["nan"].append((config["prediction_type"],config["rescale_betas_zero_snr"],config["timestep_spacing"])); continue
        if len(s.timesteps)!=n: res["n+1"].append(0); continue
        plan = ms.DDIM(**config, eta=eta, use_clipped_model_output=clipped, previous_timestep="stride").plan(n)
        if not np.array_equal(plan.timesteps, s.timesteps.numpy()): res["tie"].append((config["num_train_timesteps"],n)); continue
        from impulse import excess
        o=our_rows(plan)
        a=excess(o,th)
        s.alphas_cumprod=s.alphas_cumprod.double(); s.final_alpha_cumprod=s.final_alpha_cumprod.double()
        td = their_rows(s, lambda o, t, x, z: s.step(o, t, x, eta=eta, use_clipped_model_output=clipped, variance_noise=z).prev_sample)
        b=excess(o,td)
        s.alphas_cumprod=torch.from_numpy(ms.DDIM(**config).parts().schedule.alphas_cumprod.copy())
        s.final_alpha_cumprod=torch.ones((),dtype=torch.float64) if config["set_alpha_to_one"] else s.alphas_cumprod[0]
        te = their_rows(s, lambda o, t, x, z: s.step(o, t, x, eta=eta, use_clipped_model_output=clipped, variance_noise=z).prev_sample)
        res[(config["rescale_betas_zero_snr"],config["prediction_type"],config["set_alpha_to_one"])].append((a,b,excess(o,te)))
    for k,v in res.items():
        if isinstance(k,tuple):
            v=np.array(v); print(k,len(v),v.max(0),(v>1e-5).sum(0))
        else: print(k,len(v),set(v))
