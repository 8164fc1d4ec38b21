"""k-diffusion's samplers as functions of a model, a sample and noise levels, on the arrays of any library.

    from multisched.interop.k_diffusion import get_sigmas_karras, sample_dpmpp_2m

    sigmas = get_sigmas_karras(20, 0.03, 14.6)
    x0 = sample_dpmpp_2m(model, noise * sigmas[0], sigmas)

There is a `sample_NAME` for every name of `samplers.NAMES`, those of ComfyUI that k-diffusion lacks among them.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from multisched import backends, checks
from multisched.adaptive import sample_adaptive
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.interop.k_levels import (
    get_sigmas_exponential as get_sigmas_exponential,
    get_sigmas_karras as get_sigmas_karras,
    get_sigmas_polyexponential as get_sigmas_polyexponential,
    get_sigmas_vp as get_sigmas_vp,
)
from multisched.interop.samplers import NAMES, sampler
from multisched.noise import draw, source
from multisched.paths.base import Path
from multisched.paths.exploding import VarianceExploding
from multisched.paths.straight import Straight
from multisched.predictions import Prediction
from multisched.schedulers import Recipe, Scheduler
from multisched.solvers import Euler
from multisched.spacings import End, Even, Respace, Trained
from multisched.table.plan import Plan
from multisched.values import hint, shown

RENAMED = {("lms", "order"): "most"}
"""Options that have another name here."""
KEPT = {"lms": {"denoised_end": False}}
"""Options that a name of k-diffusion stands for, where ComfyUI's of that name has others."""
MIDDLE = {"tau_start": 0.571, "tau_end": 5.092}
"""Noise levels of Stable Diffusion at its timesteps 200 and 800, between which the SA solvers add noise by default."""


def sample(
    name: str,
    model: Callable[..., B],
    x: B,
    sigmas: Any,
    extra_args: Mapping[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], object] | None = None,
    disable: bool | None = None,
    noise_sampler: Callable[[B, B], B] | None = None,
    *,
    rng: Any = None,
    path: Path | None = None,
    **options: Any,
) -> B:
    """Sample from `x` over `sigmas`, as the function sample_NAME of k-diffusion does.

    Args:
        name: one of `samplers.NAMES`.
        model: model(x, sigma, **extra_args) -> the denoised sample; sigma is (samples,).
        x: (samples, ...), at the first noise level: x0 + sigma * noise.
        sigmas: (steps + 1,) falling; the run ends at the last one, mostly 0.
        extra_args: passed to the model.
        callback: called at each step with a dict of x, i, sigma, sigma_hat and denoised.
        disable: not looked at; there is no progress bar.
        noise_sampler: noise_sampler(sigma, sigma_next) -> unit normals shaped as x.
        rng: seed or source of the noise if there is no noise_sampler. By default torch draws from its global
            generator, as k-diffusion does, and other libraries have the seed 0.
        path: of the model; paths.Straight() for a flow, whose x is (1 - sigma) * x0 + sigma * noise.
        options: of the solver, such as eta, s_noise, s_churn; see `multisched.sampler`.

    Returns:
        The sample at the last noise level.

    Raises:
        ScheduleError: if the levels do not fall, or the sampler has no such option.

    Example:
        >>> from multisched.interop.k_diffusion import get_sigmas_karras, sample_dpmpp_2m
        >>> sigmas = get_sigmas_karras(10, 0.03, 14.6, backend="numpy")
        >>> x = sigmas[0] * ms.noise.normal((2, 1), rng=0)
        >>> sample_dpmpp_2m(lambda x, sigma: 0.0 * x + 3.0, x, sigmas).tolist()
        [[3.0], [3.0]]
    """
    levels = _host(sigmas)
    given = {RENAMED.get((name, key), key): value for key, value in options.items()}
    kept = MIDDLE if name.startswith("sa_solver") and path is None else KEPT.get(name, {})
    recipe = sampler(name, like=_like(path, levels), **{**kept, **given})
    plan = recipe.plan(sigmas=levels)
    if levels[-1] > 0:  # a run that ends there, where a plan's goes on to 0
        grid = plan.grid
        plan = recipe.plan_over(Grid(grid.timesteps[:-1], grid.alphas[:-1], levels))
    churned = "s_churn" in vars(recipe.parts().solver)
    churn = (float(levels[0]), options.get("s_noise", 1.0)) if churned else None
    return _over(plan, model, x, extra_args, callback, disable, noise_sampler, rng, churn)


def _over(
    plan: Plan,
    model: Callable[..., B],
    x: B,
    extra_args: Mapping[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], object] | None = None,
    disable: bool | None = None,
    noise_sampler: Callable[[B, B], B] | None = None,
    rng: Any = None,
    churn: tuple[float, float] | None = None,
) -> B:
    """The run of a plan from a sample at its first level.

    Args:
        churn: of a solver with churn, the first level before it is raised, and the scale of the noise.
    """
    draws, state = _drawing(noise_sampler, rng, x), plan.start(x)._replace(sample=x)
    if churn is not None:  # where the level of a step is raised, and the noise for it, belong to the step before
        raised = math.sqrt(max(float(plan.sigmas[0]) ** 2 - churn[0] ** 2, 0.0)) * churn[1]
        state = state._replace(sample=x + raised * draws(plan, -1))
    for row in range(len(plan)):
        sigma = float(plan.rows.sigma[row, 0])
        output = model(plan.model_input(state), _filled(x, sigma), **(extra_args or {}))
        if callback is not None and plan.stages[row] == 0:
            told = {"x": state.sample, "i": int(plan.rows.step[row, 0]), "sigma": sigma, "sigma_hat": sigma}
            callback({**told, "denoised": plan.denoised(state, output)})
        state = plan.step(state, output, _noise(plan, row, x, draws, churn is not None))
    return state.sample


Draws = Callable[[Plan, int], Any]
"""What draws one unit normal for a row of a plan, or for the start of a run, where the row is -1."""


def _noise(plan: Plan, row: int, x: Any, draws: Draws, churned: bool) -> Any:
    """The noise of a row, drawn in the order in which k-diffusion draws it: with churn once a step, used or not."""
    if churned:
        ends = row + 1 < len(plan) and plan.stages[row + 1] == 0
        return (draws(plan, row),) if ends else None
    if not plan.needs_noise(row):
        return None
    found = [draws(plan, row) if _used(plan, row, k) else None for k in range(plan.noise_draws)]
    return tuple(0 * x if one is None else one for one in found)


def _used(plan: Plan, row: int, draw: int) -> bool:
    """Whether a draw of a row comes to the sample, in this row or by way of registers that later ones read."""
    weights = plan.folded.weights
    reached = weights[row, :, len(plan.folded.operands) - plan.noise_draws + draw] != 0
    for later in range(row + 1, len(plan)):
        if reached[0] or not reached.any():
            break
        reached = (weights[later][:, reached.nonzero()[0]] != 0).any(axis=1)
    return bool(reached[0])


def _drawing(noise_sampler: Callable[[Any, Any], Any] | None, rng: Any, x: Any) -> Draws:
    if noise_sampler is not None:
        return lambda plan, row: noise_sampler(*(_filled(x, end)[0] for end in _ends(plan, row)))
    if rng is None and backends.of(x).name == "torch":
        return lambda plan, row: x.new_empty(x.shape).normal_()
    kept = source(0 if rng is None else rng)

    def drawn(plan: Plan, row: int) -> Any:
        step, draws = plan.noise_address(row) if row >= 0 else (len(plan.grid), range(1))
        interval = plan.rows.interval(row) if getattr(kept, "wants_interval", False) else None
        return draw(kept, step, draws[:1], x, interval)[0]

    return drawn


def _ends(plan: Plan, row: int) -> tuple[float, float]:
    """The noise levels between which a row adds noise."""
    if row < 0:
        return float(plan.sigmas[0]), float(plan.sigmas[0])
    return float(plan.rows.sigma_start[row, 0]), float(plan.rows.sigma_next[row, 0])


def _filled(x: B, value: float) -> Any:
    """A number for each sample, in the library and dtype of x."""
    backend = backends.of(x)
    one = backend.asarray(
        np.full(x.shape[0], value), "float64" if "64" in str(x.dtype) else "float32", backend.device(x)
    )
    return backend.astype(one, x.dtype)


def _like(path: Path | None, levels: np.ndarray) -> Recipe:
    """A recipe of a model of x0 that is passed sigma."""
    if path is None:
        path = VarianceExploding(levels[levels > 0].min(), levels[0], sigma_data=None, timestep="sigma")
    spacing = Even() | End() if isinstance(path, Straight) else Trained() | Respace("karras") | End()
    return Scheduler(path, spacing, Prediction("sample"), Euler())


def _host(sigmas: Any) -> np.ndarray:
    """Noise levels as float64 of NumPy.

    Raises:
        ScheduleError: if there are fewer than two, or they do not fall.
    """
    values = checks.numbers("sigmas", sigmas)
    if len(values) < 2 or not np.all(np.diff(values) < 0) or values[-1] < 0:
        raise ScheduleError(
            f"sigmas must be two numbers or more, falling, none below 0; given {shown(values.tolist())}."
        )
    return values


def sample_dpm_fast(
    model: Callable[..., B], x: B, sigma_min: float, sigma_max: float, n: int, extra_args: Any = None, **arguments: Any
) -> B:
    """DPM-Solver-fast (Lu et al. 2022, arXiv 2206.00927, appendix D.2), which places its n calls itself, from sigma_max
    down to sigma_min; other arguments as for the samplers.

    Args:
        model: denoiser, model(x, sigma, **extra_args) -> x0.
        x: (samples, ...), noise of deviation sigma_max.
        sigma_min: where the run ends, before a last step to 0.
        sigma_max: where it begins.
        n: model calls.
        extra_args: keyword arguments of the model.
        arguments: as for the other samplers.

    Example:
        >>> from multisched.interop.k_diffusion import sample_dpm_fast
        >>> x = 80.0 * ms.noise.normal((2, 1), rng=0)
        >>> sample_dpm_fast(lambda x, sigma: 0.0 * x, x, 0.01, 80.0, 7).shape
        (2, 1)
    """
    path = VarianceExploding(sigma_min, sigma_max, sigma_data=None, timestep="sigma")
    recipe = sampler("dpm_fast", like=_like(path, np.array([sigma_max, sigma_min])))
    return _over(recipe.plan(n), model, x, extra_args, **arguments)


def sample_dpm_adaptive(
    model: Callable[..., Any],
    x: Any,
    sigma_min: float,
    sigma_max: float,
    extra_args: Mapping[str, Any] | None = None,
    callback: Any = None,
    disable: bool | None = None,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    return_info: bool = False,
) -> Any:
    """DPM-Solver-12 or -23 with a step size that follows the error, see `multisched.sample_adaptive`: one for the
    batch, and no longest step, as in k-diffusion.

    Args:
        model: model(x, sigma, **extra_args) -> the denoised sample.
        x: (samples, ...), at the level sigma_max.
        sigma_min: where the run ends.
        sigma_max: where it begins.
        extra_args: passed to the model.
        callback: not called.
        disable: not looked at.
        order: 2 or 3.
        rtol: relative tolerance.
        atol: absolute tolerance.
        h_init: length of the first step in -log(sigma).
        pcoeff: P of the controller.
        icoeff: I of it.
        dcoeff: D of it.
        accept_safety: the least factor of a step that is accepted.
        return_info: whether a dict of steps, nfe, n_accept and n_reject is returned too.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> from multisched.interop.k_diffusion import sample_dpm_adaptive
        >>> x = 80.0 * ms.noise.normal((2, 1), rng=0)
        >>> sample_dpm_adaptive(lambda x, sigma: 0.0 * x, x, 0.01, 80.0).shape
        (2, 1)
    """
    path = VarianceExploding(sigma_min, sigma_max, sigma_data=None, timestep="sigma")
    found = sample_adaptive(
        lambda x, t: model(x, t, **(extra_args or {})),
        _like(path, np.array([sigma_max, sigma_min])),
        x * (1.0 / math.hypot(sigma_max, 1.0)),
        rtol=rtol,
        atol=atol,
        order=order,
        first=h_init,
        longest=math.inf,
        pid=(pcoeff, icoeff, dcoeff),
        safety=accept_safety,
        top=sigma_max,
        bottom=sigma_min,
        denoise=False,
        together=True,
    )
    if not return_info:
        return found.sample
    accepted, rejected = int(found.accepted[0]), int(found.rejected[0])
    counts = {"steps": accepted + rejected, "nfe": found.calls, "n_accept": accepted, "n_reject": rejected}
    return found.sample, counts


@functools.cache
def __getattr__(name: str) -> Any:
    key = name.removeprefix("sample_")
    if key == name or key not in NAMES:
        near = hint(key, [*NAMES, "dpm_adaptive"]) if key != name else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{near}")
    made: Any = functools.partial(sample, key)
    functools.update_wrapper(made, sample)
    made.__name__ = made.__qualname__ = name
    return made


def __dir__() -> list[str]:
    return sorted({"sample_dpm_adaptive", *(f"sample_{name}" for name in NAMES), *LEVELS})


LEVELS = ("get_sigmas_exponential", "get_sigmas_karras", "get_sigmas_polyexponential", "get_sigmas_vp")
