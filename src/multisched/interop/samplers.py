"""Recipes by the names that ComfyUI, k-diffusion and A1111 give to samplers.

    ComfyUI       "dpmpp_2m_sde", also as "dpmpp_2m_sde_gpu", which is the same here
    k-diffusion   "sample_dpmpp_2m_sde"
    A1111         "DPM++ 2M SDE", and with a schedule type: "DPM++ 2M SDE Karras"; "Restart" and "PLMS", which ComfyUI
                  lacks

Capital letters, spaces, "-" and "_" make no difference, and "+" is "p": "Angle-Adams" is "angle_adams". Solvers that
have no name in these programs are in `NAMES` too:

    angle_adams                        `solvers.AngleAdams`, one call a step, the solver of "auto"
    rk4, res_2s, res_3s                four, two and three calls a step: `solvers.RungeKutta`, `solvers.ExponentialRK`
    dpmpp_2s, dpmpp_3s                 `solvers.DPMSinglestep`, one call a step
    pndm, bdia, tcd                    `solvers.Adams` as PNDM starts it, `solvers.BDIA`, `solvers.TCD`
    flow_grpo, dance_grpo, flow_cps    steps that reinforcement learning of flows takes, see `solvers.FlowSDE`

A name is a solver with the options that it has there. The path, the prediction and the changes of x0 are those of
another recipe. Where a solver of that name differs on flows, as the ancestral ones do in ComfyUI, the path decides.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.interop.diffusers import from_diffusers
from multisched.interop.sampler_spacing import Groups, Instead, restarting
from multisched.interop.summed import SummedDEIS
from multisched.paths.base import Path
from multisched.paths.discrete import Betas, Discrete
from multisched.paths.straight import Straight
from multisched.predictions import Prediction
from multisched.recommended import best
from multisched.schedulers.base import Recipe, Scheduler
from multisched.schedulers.forward import Parts
from multisched.solvers import Solver
from multisched.spacings.base import End
from multisched.spacings.change import Respace
from multisched.spacings.named import Named
from multisched.spacings.placement import Even, Trained
from multisched.values import hint, shown

STABLE_DIFFUSION = Discrete(Betas(1000, 0.00085, 0.012, "scaled_linear"), space="ve")
"""The path of Stable Diffusion 1 and XL, on samples x0 + sigma * noise."""


@dataclass(frozen=True)
class Sampler:
    """What a name stands for.

    Args:
        solver: a solver class with the options that the name says.
        flow: the same on straight paths; None where it is no other.
    """

    solver: Callable[..., Solver]
    flow: Callable[..., Solver] | None = None


def _of(kind: Callable[..., Solver], *values: Any, **options: Any) -> Callable[..., Solver]:
    """A solver class with options, which others may replace."""
    return lambda **more: replace(kind(*values, **options), **more)  # type: ignore[type-var]


def _same(kind: Callable[..., Solver], *values: Any, **options: Any) -> Sampler:
    """A sampler that takes a flow's sigma for the noise level and the velocity for the noise, as k-diffusion's do when
    ComfyUI hands a flow model to them."""
    made = _of(kind, *values, **options)
    return Sampler(made, lambda **more: solvers.Straightened(made(**more)))


def _guided(sampler: Sampler, guided: Literal["x0", "start", "end"] = "x0") -> Sampler:
    """A sampler that keeps the noise of the unguided model, which returns both outputs; the velocity where the solver
    is on a flow that of the velocity."""

    def made(make: Callable[..., Solver], **more: Any) -> Solver:
        solver = make(**more)
        straight = isinstance(solver, solvers.Straightened)
        return solvers.CFGPlusPlus(solver, guided, "velocity" if straight else "noise")

    return Sampler(partial(made, sampler.solver), None if sampler.flow is None else partial(made, sampler.flow))


_2S_ANCESTRAL = Sampler(_of(solvers.Midpoint, "x0", eta=1.0), _of(solvers.Midpoint, "x0", eta=1.0, aim="share"))
_SA = {"tau_start": 200.0, "tau_end": 800.0}  # timesteps of the middle three fifths of a training run
NAMES: Mapping[str, Sampler] = {
    "euler": Sampler(_of(solvers.Euler)),
    "euler_ancestral": Sampler(_of(solvers.DDIM, eta=1.0), _of(solvers.AncestralRF)),
    "heun": Sampler(_of(solvers.Heun)),
    "heunpp2": _same(solvers.HeunPlus),
    "dpm_2": Sampler(_of(solvers.ChurnedMidpoint), _same(solvers.Midpoint).flow),
    "dpm_2_ancestral": Sampler(_of(solvers.Midpoint, eta=1.0), _of(solvers.Midpoint, "velocity", eta=1.0, aim="share")),
    "dpm_fast": _same(solvers.DPMFast),
    "lms": _same(solvers.Adams, denoised_end=True),
    "ipndm": _same(solvers.Adams, "even", denoised_end=True),
    "ipndm_v": _same(solvers.Adams, denoised_end=True),
    "deis": _same(SummedDEIS),
    "dpmpp_sde": Sampler(_of(solvers.Midpoint, "x0", 1.0, True)),
    "dpmpp_2m": _same(solvers.DPMMultistep, lower_order_final=False),
    "dpmpp_2m_sde": Sampler(_of(solvers.DPMMultistepSDE, 2, solver_type="midpoint")),
    "dpmpp_2m_sde_heun": Sampler(_of(solvers.DPMMultistepSDE, 2)),
    "dpmpp_3m_sde": Sampler(_of(solvers.DPMMultistepSDE)),
    "dpmpp_2s_ancestral": _2S_ANCESTRAL,
    "ddpm": Sampler(_of(solvers.DDIM, eta=1.0)),
    "ddim": Sampler(_of(solvers.DDIM)),
    "lcm": Sampler(_of(solvers.PingPong)),
    "res_multistep": _same(solvers.RESMultistep),
    "res_multistep_ancestral": Sampler(_of(solvers.RESMultistep, 1.0)),
    "gradient_estimation": _same(solvers.GradientEstimation),
    # As published. Exact integrals, terms=0, are nearer to the law by 0.4 % at 5 calls, 6 % at 20 and 20 % at 50.
    "er_sde": Sampler(_of(solvers.ERSDE, terms=200)),
    "seeds_2": Sampler(_of(solvers.ExponentialRK, "seeds_2", 1.0)),
    "seeds_3": Sampler(_of(solvers.ExponentialRK, "seeds_3", 1.0)),
    "exp_heun_2_x0": Sampler(_of(solvers.ExponentialRK, "heun")),
    "exp_heun_2_x0_sde": Sampler(_of(solvers.ExponentialRK, "heun", 1.0)),
    "sa_solver": Sampler(_of(solvers.StochasticAdams, calls=1, **_SA)),
    "sa_solver_pece": Sampler(_of(solvers.StochasticAdams, calls=2, **_SA)),
    "euler_cfg_pp": _guided(Sampler(_of(solvers.Euler))),
    "euler_ancestral_cfg_pp": _guided(Sampler(_of(solvers.DDIM, eta=1.0))),
    "dpmpp_2s_ancestral_cfg_pp": _guided(_2S_ANCESTRAL, "end"),
    "dpmpp_2m_cfg_pp": _guided(_same(solvers.DPMMultistep, lower_order_final=False)),
    "res_multistep_cfg_pp": _guided(_same(solvers.RESMultistep), "start"),
    "res_multistep_ancestral_cfg_pp": _guided(Sampler(_of(solvers.RESMultistep, 1.0)), "start"),
    "gradient_estimation_cfg_pp": _guided(_same(solvers.GradientEstimation)),
    "flow_grpo": Sampler(_of(solvers.FlowSDE)),
    "dance_grpo": Sampler(_of(solvers.FlowSDE, "dance_grpo", 0.3)),
    "flow_cps": Sampler(_of(solvers.FlowSDE, "flow_cps")),
    "restart": Sampler(_of(solvers.Restarted)),
    "uni_pc": _same(solvers.ExponentialAdams, True, 3, 4, "bh1"),
    "uni_pc_bh2": _same(solvers.ExponentialAdams, True, 3, 4, "bh2"),
    "plms": _same(solvers.Adams, "even", "heun"),
    "pndm": _same(solvers.Adams, "even", "runge_kutta"),
    "angle_adams": Sampler(_of(solvers.AngleAdams), _of(solvers.AngleAdams, reach=1.0, far=8.0)),
    "rk4": _same(solvers.RungeKutta),
    "res_2s": Sampler(_of(solvers.ExponentialRK)),
    "res_3s": Sampler(_of(solvers.ExponentialRK, "res_3s")),
    "dpmpp_2s": Sampler(_of(solvers.DPMSinglestep)),
    "dpmpp_3s": Sampler(_of(solvers.DPMSinglestep, 3)),
    "bdia": Sampler(_of(solvers.BDIA)),
    "tcd": Sampler(_of(solvers.TCD)),
}
"""The samplers by name: those of ComfyUI, which k-diffusion's share, and some that it lacks. They are the same in both
but for "lms", whose last step leads to x0 in ComfyUI; denoised_end=False is k-diffusion's."""

OTHERWISE = {
    "euler a": "euler_ancestral",
    "dpm2 a": "dpm_2_ancestral",
    "dpm++ 2s a": "dpmpp_2s_ancestral",
    "ddim cfg++": "euler_cfg_pp",
    "runge kutta": "rk4",
}
"""Other names of the same: A1111's where they differ by more than letters, and that of a solver's class."""

SCHEDULES = {
    "sgm uniform": "sgm_uniform",
    "kl optimal": "kl_optimal",
    "align your steps": "align_your_steps",
    "align your steps 11": "align_your_steps_11",
    "align your steps 32": "align_your_steps_32",
    "align your steps gits": "align_your_steps_gits",
    "ddim": "ddim_uniform",
    "beta": "beta_sigmas",
    "turbo": "trailing",
    **{name: name for name in ("uniform", "karras", "exponential", "polyexponential", "simple", "normal")},
}
"""Schedule types of A1111, in small letters, and the spacings that they are."""


def _plain(word: str) -> str:
    """A name without what people write differently."""
    return re.sub(r"[\s_-]", "", word.lower()).replace("+", "p")


_PLAIN = {_plain(word): name for word, name in {**OTHERWISE, **{name: name for name in NAMES}}.items()}


def sampler(
    name: str,
    like: Any = None,
    spacing: Any = None,
    *,
    calls: int | None = None,
    guidance: float | None = None,
    **options: Any,
) -> Recipe:
    """The recipe of a sampler's name in ComfyUI, k-diffusion or A1111, or our own best for a number of calls.

    Args:
        name: one of `NAMES`, as people write it, such as "angle-adams" or "sample_dpmpp_2m_sde_gpu"; or as A1111
            writes it with a schedule type, such as "DPM++ 2M Karras"; or "auto", which chooses solver and spacing by
            the path, the calls and the guidance (see `recommended.best`, which says where it loses).
        like: what the model was trained on: a recipe, a path, or a configuration as `from_diffusers` takes it. Its
            path, prediction and spacing are taken, and its changes of x0. None for Stable Diffusion.
        spacing: a chain, or one of `spacings.NAMES`; None for what the name says, or that of `like`.
        calls: for "auto", the number of model calls, each of them a step: plan as many.
        guidance: for "auto", the weight of classifier-free guidance, 1 for none; None where it is not known.
        options: options of the solver in place of those that the name stands for, such as eta=0.5.

    Raises:
        ScheduleError: if the name, the spacing or an option is unknown, or `like` is nothing of the kind.

    Example:
        >>> recipe = ms.sampler("dpmpp_2m", spacing="karras")
        >>> recipe.plan(20)
        <Scheduler: 20 steps, 20 model calls, order 2, deterministic>
        >>> recipe == ms.sampler("DPM++ 2M Karras")
        True
        >>> len(ms.sampler("Restart").plan(20))  # Heun's method, with 9 of the steps a restart
        39
        >>> ms.sampler("auto", like=ms.paths.Straight(), calls=4).plan(4).sigmas.round(2).tolist()
        [1.0, 0.72, 0.44, 0.2, 0.0]
    """
    if name == "auto":
        return _auto(like, spacing, calls, guidance, options)
    if calls is not None or guidance is not None:
        raise ScheduleError(f"calls= and guidance= are for the name 'auto'; given {shown(name)}.")
    if name in ("dpm_adaptive", "DPM adaptive"):
        raise ScheduleError(f"{name} chooses its steps as it goes, which no plan says; run it by ms.sample_adaptive.")
    if (found := read(name)) is None:
        near = hint(name, [*NAMES, *OTHERWISE, "auto"])
        raise ScheduleError(
            "the name of a sampler is one of ComfyUI's, k-diffusion's or A1111's, such as 'dpmpp_2m' or 'DPM++ 2M "
            "Karras', or of ours, such as 'angle_adams' (interop.samplers.NAMES has them all); "
            f"given {shown(name)}{near}."
        )
    (key, schedule), parts = found, _parts(like)
    straight = isinstance(parts.path, Straight) and parts.path.velocity(0.5, 0.5) is not None
    chosen = NAMES[key]
    solver = _solver(key, (chosen.flow if straight and chosen.flow else chosen.solver), options)
    wanted = schedule if spacing is None else spacing
    if wanted is None and key == "dpm_fast":
        wanted = Groups() | End("sigma_min")
    own = parts.spacing
    if key == "restart":
        own, wanted = restarting(own), "karras" if wanted is None else wanted
    placed = own if wanted is None else Instead(own, wanted)
    return Scheduler(parts.path, placed, parts.prediction, solver, parts.output_transform, parts.denoised_transform)


def _auto(like: Any, spacing: Any, calls: int | None, guidance: float | None, options: dict[str, Any]) -> Recipe:
    if spacing is not None or options:
        given = "spacing" if spacing is not None else next(iter(options))
        raise ScheduleError(f"'auto' chooses solver and spacing itself, so {given}= has no use.")
    if calls is None:
        raise ScheduleError("'auto' depends on the number of model calls; give calls=, and plan as many.")
    if not isinstance(like, Recipe):
        like = Scheduler(*_parts(like)[:6])
    return best(like, calls, guidance)


def read(name: Any) -> tuple[str, str | None] | None:
    """(one of `NAMES`, a spacing or None) of a name as people write it; None if it is none."""
    word = _plain(name).removeprefix("sample") if isinstance(name, str) else ""
    for schedule, spacing in (("", None), *SCHEDULES.items()):
        if (end := _plain(schedule)) and not word.endswith(end):
            continue
        if (key := _PLAIN.get(word.removesuffix(end).removesuffix("gpu"))) is not None:
            return key, spacing
    return None


def _parts(like: Any) -> Parts:
    """The parts of a recipe, a path or a configuration; the solver of them counts for nothing."""
    if isinstance(like, Recipe):
        return like.parts()
    if like is None:
        like = STABLE_DIFFUSION
    if not isinstance(like, Path):
        return from_diffusers(like).parts()
    if isinstance(like, Straight):
        spacing, prediction = Even() | End(), Prediction("flow_prediction")
    elif isinstance(like, Discrete):
        spacing, prediction = Named("normal") | End(), Prediction("epsilon")
    else:
        spacing, prediction = Trained() | Respace("karras") | End(), Prediction("edm")
    return Parts(like, spacing, prediction, solvers.Euler())


def _solver(name: str, make: Callable[..., Solver], options: dict[str, Any]) -> Solver:
    """A solver with options in place of its own."""
    made = make()
    inner = made
    while isinstance(inner, solvers.Straightened | solvers.CFGPlusPlus):
        inner = inner.solver
    known = [one.name for one in fields(inner)]  # type: ignore[arg-type]
    if unknown := [option for option in options if option not in known]:
        takes = ", ".join(known) or "none"
        raise ScheduleError(f"sampler {name!r} has no option {unknown[0]!r}; it takes {takes}.")
    return make(**options)
