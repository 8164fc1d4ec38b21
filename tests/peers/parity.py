"""One configuration of one scheduler class of diffusers against the recipe that `from_diffusers` makes of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from unittest import mock

import diffusers
import numpy as np
import torch
from impulse import DOUBLE_TOLERANCE, GRID_TOLERANCE, Tally, elementwise, our_rows, relative_error, their_rows

import multisched as ms

FLOOR = 1e-6  # error of float32 coefficients that says nothing
StepOnce = Callable[[Any, Any, Any, Any], Any]  # (output, timestep, sample, noise) -> next sample


class _Wide:
    """torch, with float64 where it says float32."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def doubled(module: Any) -> Iterator[None]:
    """Let a module of diffusers compute in float64 where it asks for float32."""
    with mock.patch.object(module, "torch", _Wide()):
        yield


@contextmanager
def exact_roots() -> Iterator[None]:
    """Let torch round its square roots as IEEE 754 says: some processors' builds round one in six otherwise, which
    moves what is cut to whole timesteps."""
    power = torch.Tensor.__pow__

    def rounded(base: torch.Tensor, exponent: Any) -> torch.Tensor:
        if exponent == 0.5 and base.dtype == torch.float32:
            return torch.from_numpy(np.asarray(np.sqrt(base.numpy())))
        return torch.sqrt(base) if exponent == 0.5 else power(base, exponent)

    with mock.patch.multiple(torch.Tensor, __pow__=rounded, sqrt=lambda base: rounded(base, 0.5)):
        yield


def ratios(plan: ms.Plan) -> np.ndarray:
    """sigma / alpha at the points of a plan."""
    return plan.sigmas / plan.alphas


def levels(plan: ms.Plan) -> np.ndarray:
    """sigma at the points of a plan."""
    return plan.sigmas.copy()


def widen_sigmas(scheduler: Any, plan: ms.Plan, of: Callable[[ms.Plan], np.ndarray] = ratios) -> None:
    """Give diffusers our noise levels in float64."""
    scheduler.sigmas = torch.from_numpy(np.asarray(of(plan)))


@dataclass(frozen=True)
class Loose:
    """A tolerance wider than that of other classes.

    Args:
        tolerance: a number, or a function of our plan.
        why: what diffusers loses there.
    """

    tolerance: float | Callable[[ms.Plan], float]
    why: str

    def of(self, plan: ms.Plan) -> float:
        """The tolerance for a plan."""
        return self.tolerance(plan) if callable(self.tolerance) else self.tolerance


ABOVE_THE_LAST = Loose(
    0.05,
    "the last level of zero terminal SNR, 2^-24, lies above some before it; where sigmas are spaced anew, the timestep "
    "of those is told for it",
)


@dataclass(frozen=True)
class Case:
    """One run of one configuration, how diffusers makes it, and how far the two may be apart.

    Args:
        config: keys of the configuration.
        run: arguments of our `plan`: n=, timesteps=, sigmas=, mu=.
        step_with: step_with(scheduler) -> the function that takes one step of it.
        module: of diffusers, where the scheduler's code is.
        options: of our recipe that diffusers takes in `step`.
        their_run: arguments of `set_timesteps`; None for those of `run`.
        create: makes the scheduler of its config; None for the class of the tally's name.
        build: makes a scheduler with its run set, where that takes more than its class and `set_timesteps`.
        widen: gives a scheduler our levels in float64.
        of: what diffusers calls `sigmas`, of our plan.
        their_levels: the same of a scheduler.
        pairing: how those levels are compared, each for its own size by default.
        times: tolerance of timesteps, as a share of the largest, where float32 does not hold them to GRID_TOLERANCE.
        double: tolerance of coefficients in float64, where diffusers' formulas lose digits of those too.
        rounded: why timesteps need not be equal bit for bit; "" where they must.
    """

    config: dict[str, Any]
    run: dict[str, Any]
    step_with: Callable[[Any], StepOnce]
    module: Any
    options: dict[str, Any] = field(default_factory=dict)
    their_run: dict[str, Any] | None = None
    create: Callable[..., Any] | None = None
    build: Callable[[], Any] | None = None
    widen: Callable[[Any, ms.Plan], None] = widen_sigmas
    of: Callable[[ms.Plan], np.ndarray] = ratios
    their_levels: Callable[[Any], Any] = lambda scheduler: scheduler.sigmas
    pairing: Callable[..., tuple[Any, Any]] = elementwise
    times: Loose | None = None
    double: Loose | None = None
    rounded: str = ""

    @property
    def shown(self) -> Any:
        """What tells the case from others."""
        return self.config, self.options, self.run

    def recipe(self, name: str) -> Any:
        """Ours."""
        return replace(ms.from_diffusers({"_class_name": name, **self.config}), **self.options)

    def scheduler(self, name: str) -> Any:
        """diffusers' with its run set."""
        if self.build is not None:
            return self.build()
        scheduler = self.creator(name)(**self.config)
        arguments = dict(self.run if self.their_run is None else self.their_run)
        if "n" in arguments:
            arguments["num_inference_steps"] = arguments.pop("n")
        scheduler.set_timesteps(**arguments)
        return scheduler

    def creator(self, name: str) -> Callable[..., Any]:
        """What makes a scheduler of a configuration."""
        return self.create or getattr(diffusers.schedulers, name)


class _Listed(NamedTuple):
    """What a scheduler of diffusers lists: its timesteps, whether these are integers, and its levels."""

    timesteps: np.ndarray
    whole: bool
    levels: np.ndarray


class NoAnswerError(Exception):
    """Why diffusers has no answer to a case."""


@contextmanager
def answering() -> Iterator[None]:
    """An error of diffusers is no answer."""
    try:
        yield
    except Exception as error:
        raise NoAnswerError(f"raises {type(error).__name__}") from error


def compare(tally: Tally, case: Case) -> None:
    """Timesteps, noise levels and rows: in float32 as diffusers has them, and in float64 from our levels.

    Args:
        tally: of the class named in it.
        case: what is compared.
    """
    recipe = case.recipe(tally.name)
    try:
        pairs = _pairs(tally, case, recipe)
    except NoAnswerError as reason:
        tally.set_apart(str(reason), case.shown, lambda: recipe.plan(**case.run))
    except ms.ScheduleError as error:
        tally.refused(case.shown, error)
    else:
        tally.compare(case.shown, pairs, case.rounded)


def _pairs(tally: Tally, case: Case, recipe: Any) -> dict[str, tuple[Any, Any, float]]:
    """What is compared, by name: ours, theirs and the tolerance.

    Raises:
        NoAnswerError: if diffusers has none.
        ScheduleError: if ours refuses what diffusers can do.
    """
    with answering():
        scheduler, listed = _made(case, tally.name)
    try:
        plan = recipe.plan(**case.run)
    except ms.ScheduleError:
        _refused(case, scheduler, listed)
        raise
    if listed.timesteps.size != len(plan):
        if listed.timesteps.min() < 0:
            raise NoAnswerError("n + 1 timesteps")
        return {"the number of timesteps": ([len(plan)], [listed.timesteps.size], 0.0)}
    exact = plan if listed.whole else _exact(recipe).plan(**case.run)
    stock, double = _their_rows(case, tally.name, scheduler, exact)
    own = max(relative_error(stock, double), FLOOR)
    tally.own = max(tally.own, own)
    total = float(recipe.parts().path.num_train_timesteps)
    return {
        "timesteps": _timesteps(case, plan, listed, total),
        "sigmas": (*case.pairing(case.of(plan), _points(listed.levels, plan)), _level_tolerance(case, tally.name)),
        "rows": (our_rows(plan), stock, 3 * own),
        "double": (our_rows(exact), double, case.double.of(plan) if case.double else DOUBLE_TOLERANCE),
    }


def _made(case: Case, name: str) -> tuple[Any, _Listed]:
    """diffusers' scheduler, and what it lists."""
    with exact_roots():
        scheduler = case.scheduler(name)
    sigmas = np.asarray(case.their_levels(scheduler), dtype=np.float64)
    whole = not scheduler.timesteps.dtype.is_floating_point
    return scheduler, _Listed(scheduler.timesteps.double().numpy(), whole, sigmas)


def _their_rows(case: Case, name: str, scheduler: Any, exact: ms.Plan) -> tuple[np.ndarray, np.ndarray]:
    """diffusers' rows as they are, and in float64 from the levels of our plan."""
    with answering():
        stock = their_rows(scheduler, case.step_with(scheduler), exact.stages)
        wide = case.scheduler(name)
    case.widen(wide, exact)
    with answering(), doubled(case.module):
        double = their_rows(wide, case.step_with(wide), exact.stages)
    if not (np.all(np.isfinite(stock)) and np.all(np.isfinite(double))):
        raise NoAnswerError("not a number")
    return stock, double


def _exact(recipe: Any) -> Any:
    """The recipe with timesteps that are not rounded as diffusers does, where these enter its sums in double
    precision."""
    return replace(recipe, quirks=tuple(one for one in recipe.quirks if one.name != "told"))


def _refused(case: Case, scheduler: Any, listed: _Listed) -> None:
    """Raise what diffusers fails with in a run that ours refuses, if it does."""
    if listed.timesteps.min() < 0 or np.any(np.diff(listed.levels[:-1]) == 0):
        raise NoAnswerError("timesteps that do not fall")
    with answering():
        rows = their_rows(scheduler, case.step_with(scheduler))
    if not np.all(np.isfinite(rows)):
        raise NoAnswerError("not a number")


def _timesteps(case: Case, plan: ms.Plan, listed: _Listed, total: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Timesteps as one row, beside the number of those of the training run."""
    ours, theirs = (np.append(times, total)[None] for times in (plan.timesteps, listed.timesteps))
    loose = case.times.of(plan) if case.times else GRID_TOLERANCE
    return ours, theirs, 0.0 if listed.whole else loose


def _level_tolerance(case: Case, name: str) -> float:
    """Three times the float32 error of diffusers' own sigma / alpha: zero terminal SNR makes it large at both ends."""
    if case.build is not None or not case.config.get("rescale_betas_zero_snr"):
        return GRID_TOLERANCE
    create = case.creator(name)
    stock = create(**case.config).alphas_cumprod[:-1].double()
    with doubled(case.module):
        exact = create(**case.config).alphas_cumprod[:-1].double()
    ratio, wanted = (((1 - level) / level).sqrt().numpy() for level in (stock, exact))
    return max(GRID_TOLERANCE, 3 * relative_error(*elementwise(ratio, wanted)))


def _points(sigmas: np.ndarray, plan: ms.Plan) -> np.ndarray:
    """diffusers' sigmas at the points of our grid: two-call schedulers list the inner ones twice, and some hold one
    more than they use."""
    if any(plan.stages) and len(sigmas) > len(plan.sigmas):
        sigmas = np.concatenate([sigmas[:1], sigmas[1::2]])
    return sigmas[: len(plan.sigmas)]
