"""The defects of diffusers 0.42.1 as quirks: one sentence and one change of a recipe's parts for each. Those of its
solvers are here; those of its spacings are in `placing`, `placing_flow` and `mixed`."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from multisched import solvers
from multisched.interop.diffusers import solvers as own
from multisched.paths.exploding import VarianceExploding
from multisched.schedulers.forward import Parts
from multisched.schedulers.quirk import Quirk


def like(kind: type, other: Any, **more: Any) -> Any:
    """A value of a class with the fields of one of its base class, and with others."""
    return kind(**{one.name: getattr(other, one.name) for one in fields(other)} | more)


@dataclass(frozen=True)
class _Like:
    """A change of the solver's class, of recipes for which it makes a difference."""

    kind: type
    when: Callable[[Any], bool]

    def __call__(self, recipe: Any, parts: Parts) -> Parts:
        return parts._replace(solver=like(self.kind, parts.solver)) if self.when(recipe) else parts


def _solver(name: str, says: str, kind: type, when: Callable[[Any], bool]) -> Quirk:
    return Quirk(name, says, _Like(kind, when), lasting=True)


def _always(recipe: Any) -> bool:
    return True


def _silent(recipe: Any) -> bool:
    return bool(recipe.s_noise == 0 and recipe.eta > 0)


def _third(recipe: Any, parts: Parts) -> Parts:
    if recipe.solver_order < 3:
        return parts
    if isinstance(parts.solver, solvers.DPMSinglestep):
        return parts._replace(solver=like(own.OwnSinglestep, parts.solver, less=True))
    return parts._replace(solver=like(own.HalfCurved, parts.solver))


THIRD_ORDER = Quirk(
    "third_order",
    "The third order takes half of m'' in multistep, and p2 - 1 for p2 in sde-dpmsolver++.",
    _third,
    lasting=True,
)


def _independent(recipe: Any, parts: Parts) -> Parts:
    if not recipe.algorithm_type.startswith("sde"):
        return parts
    return parts._replace(solver=like(own.OwnSinglestep, parts.solver, independent=True))


INDEPENDENT_NOISE = Quirk(
    "independent_noise",
    "Each call of a group draws noise of its own, so that the law is less accurate.",
    _independent,
    lasting=True,
)


def _absolute(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(absolute=True)


ABSOLUTE_START = Quirk(
    "absolute_start",
    "A run that starts in mid-schedule has the weights of its place there, with 0 for the outputs before it.",
    _absolute,
    lasting=True,
)


def _whole_groups(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(solver=like(own.OwnSinglestep, parts.solver, whole=True))


WHOLE_GROUPS = Quirk(
    "whole_groups",
    "A run that starts in mid-schedule has the groups of the whole schedule, the first without the calls before it.",
    _whole_groups,
    lasting=True,
)
FINAL_NOISE = _solver("final_noise", "The last step adds noise, unless it leaves timestep 0.", own.NoisyDDPM, _always)
NOISY_END = _solver("noisy_end", "The last step of a short run adds noise.", own.NoisySDE, _always)
RESCALED = _solver("rescaled", "With s_noise = 0 the sample keeps the signal of a lower level.", own.FaintRF, _silent)


def _norms(recipe: Any, parts: Parts) -> Parts:
    corrected = recipe.correct_steps > 0
    return parts._replace(solver=replace(parts.solver, norms="batch")) if corrected else parts  # type: ignore[type-var]


NORMS = Quirk("norms", "Langevin steps take their norms from the whole batch.", _norms, lasting=True)


def _late_churn(recipe: Any, parts: Parts) -> Parts:
    if not recipe.s_churn > 0:
        return parts
    if isinstance(parts.solver, solvers.Heun):
        return parts._replace(solver=like(own.LateHeun, parts.solver))
    reread = not (hasattr(recipe, "timestep_spacing") and recipe.prediction_type == "v_prediction")
    return parts._replace(solver=like(own.LateEuler, parts.solver, reread=reread))


LATE_CHURN = Quirk(
    "late_churn", "Churn is added after the model's call, at a level that the model has not seen.", _late_churn, True
)


def _blind(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(solver=like(own.OwnAdams, parts.solver, blind=True))


BLIND_START = Quirk("blind_start", "The first output has no weight, since x0 is taken as 0 at pure noise.", _blind)


def _averaged(recipe: Any, parts: Parts) -> Parts:
    velocity = recipe.prediction_type == "v_prediction"
    return parts._replace(solver=like(own.OwnAdams, parts.solver, velocity=True)) if velocity else parts


AVERAGE_VELOCITY = Quirk("average_velocity", "Outputs of type v are averaged as they are.", _averaged)


def _table_betas(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(solver=like(own.TableDDPM, parts.solver))


TABLE_BETAS = Quirk(
    "table_betas", "Steps of one timestep take betas that are rounded apart from the levels.", _table_betas
)


def _swapped(recipe: Any, parts: Parts) -> Parts:
    swaps = recipe.invert_sigmas and isinstance(parts.solver, solvers.PingPong)
    return parts._replace(solver=own.SwappedPingPong()) if swaps else parts


SWAPPED = Quirk("swapped", "With invert_sigmas the data are drawn anew and the noise is kept.", _swapped)


def _squared(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(path=VarianceExploding(recipe.sigma_min**2, recipe.sigma_max**2, None, "sigma"))


SQUARED = Quirk("squared", "The noise levels are sigma^2.", _squared)
