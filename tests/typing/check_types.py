"""Read by the type checker, not run: a tensor in is a tensor out."""

from typing import Any, assert_type

import jax
import mlx.core as mx
import numpy as np
import torch

import multisched as ms

plan = ms.FlowMatchHeun(shift=3.0).plan(28)


def of_torch(x: torch.Tensor) -> None:
    state = plan.start(x)
    assert_type(state, ms.State[torch.Tensor])
    assert_type(plan.model_input(state), torch.Tensor)
    assert_type(plan.step(state, x), ms.State[torch.Tensor])
    assert_type(plan.step(state, x, (x, x)).sample, torch.Tensor)
    assert_type(plan.step(state, x).memory, tuple[torch.Tensor, ...])
    assert_type(plan.denoised(state, x), torch.Tensor)
    assert_type(plan.transition(state, x), tuple[torch.Tensor, float])
    assert_type(ms.FlowMatchEuler().on("torch"), ms.DiffusionScheduler[torch.Tensor])
    assert_type(ms.FlowMatchEuler().on(x).step(x, 1000.0, x), torch.Tensor)
    assert_type(ms.log_prob(x, x, 0.1), torch.Tensor)
    assert_type(ms.sample(lambda y, t: y, plan, x), torch.Tensor)


def of_noise(x: torch.Tensor) -> None:
    assert_type(plan.timesteps, np.ndarray)
    assert_type(plan.sigmas, np.ndarray)
    assert_type(ms.noise.normal((1, 2)), np.ndarray)
    assert_type(ms.noise.normal((1, 2), rng=0, backend="torch"), torch.Tensor)
    assert_type(ms.noise.normal((1, 2), backend="jax", dtype="bfloat16"), jax.Array)
    assert_type(ms.noise.normal((1, 2), backend=x), torch.Tensor)


def of_jax(x: jax.Array) -> None:
    assert_type(plan.step(plan.start(x), x), ms.State[jax.Array])
    assert_type(ms.DDIM().on("jax").timesteps(), jax.Array)
    assert_type(ms.DDIM().on(x).scale_noise(x, 10, x), jax.Array)


def of_mlx(x: mx.array) -> None:
    assert_type(plan.step(plan.start(x), x), ms.State[mx.array])
    assert_type(ms.DDIM().on("mlx").sigmas(), mx.array)


def of_numpy(x: np.ndarray) -> None:
    assert_type(plan.step(plan.start(x), x), ms.State[np.ndarray])
    assert_type(ms.DDIM().on("numpy").step(x, 0, x), np.ndarray)


def of_any(name: str, backend: ms.Backend[jax.Array], x: torch.Tensor, y: jax.Array) -> None:
    assert_type(ms.DDIM().on(name), ms.DiffusionScheduler[Any])
    assert_type(ms.DDIM().on(backend), ms.DiffusionScheduler[jax.Array])
    plan.start("noise")  # type: ignore[type-var]
    _ = ms.DDIN  # type: ignore[attr-defined]
    _ = ms.solvers.Eulr  # type: ignore[attr-defined]
    ms.DDIM().on(x).step(y, 0, x)  # type: ignore[arg-type]
