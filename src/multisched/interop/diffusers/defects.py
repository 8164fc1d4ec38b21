"""The defects of diffusers 0.42.1 that recipes can reproduce: one sentence for each option that does so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from multisched.errors import ScheduleError
from multisched.schedulers import Recipe


class Defect(NamedTuple):
    """A defect of diffusers.

    Attributes:
        sentence: what it does.
        matters: whether it changes anything in the runs of a recipe.
    """

    sentence: str
    matters: Callable[[Any], bool] = lambda recipe: True


def _shifted(recipe: Any) -> bool:
    return bool(recipe.shift != 1 or recipe.use_dynamic_shifting)


def _spaced(recipe: Any) -> bool:
    flags = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
    return any(getattr(recipe, flag, False) for flag in flags)


def _clocked(recipe: Any) -> bool:
    exact = replace(recipe, clock=None)
    try:
        return _spaced(recipe) or recipe.plan(9).timesteps.tolist() != exact.plan(9).timesteps.tolist()
    except ScheduleError:  # runs that need more than a number of steps
        return True


DEFECTS = {
    "average_velocity": Defect(
        "Outputs of type v are averaged as they are.", lambda one: one.prediction_type == "v_prediction"
    ),
    "blind_start": Defect("The first output has no weight, since x0 is taken as 0 at pure noise."),
    "clock": Defect("Timesteps are computed in float32, and cut or rounded there.", _clocked),
    "count_end": Defect("n counts the points of the grid, so that a run has n - 1 steps."),
    "diffusers_grid": Defect("Given sigmas, the end of a run and a single step are placed in ways of its own."),
    "double_shift": Defect("The shift is applied twice, and to given sigmas too.", _shifted),
    "final_noise": Defect("The last step adds noise, unless it leaves timestep 0."),
    "final_sigma": Defect("UniPC ends a run at sigma = 1e-8.", lambda one: one.scheduler_type == "unipc"),
    "final_sigmas_type": Defect(
        "A run ends at the level of timestep 0; with a spacing of sigmas, or flow sigmas, its last step does nothing."
    ),
    "independent_noise": Defect(
        "Each call of a group draws noise of its own, so that the law is less accurate.",
        lambda one: one.algorithm_type.startswith("sde"),
    ),
    "late_churn": Defect(
        "Churn is added after the model's call, at a level that the model has not seen.",
        lambda one: one.s_churn > 0,
    ),
    "late_undo": Defect("A jump back adds the noise of timesteps that are too late."),
    "log_linear_spare": Defect(
        "Log-linear sigmas have one level more, timesteps of another spacing, and no end at 0.",
        lambda one: one.interpolation_type == "log_linear" and not _spaced(one),
    ),
    "noisy_end": Defect("The last step of a short run adds noise."),
    "norms": Defect("Langevin steps take their norms from the whole batch.", lambda one: one.correct_steps > 0),
    "previous_timestep": Defect("Steps aim T // n timesteps lower, whatever the spacing is."),
    "rescaled": Defect(
        "With s_noise = 0 the sample keeps the signal of a lower level.", lambda one: one.s_noise == 0 and one.eta > 0
    ),
    "shift_given": Defect("Given sigmas and timesteps are shifted too.", lambda one: one.shift_given and _flow(one)),
    "sigmas_end": Defect("The last of given sigmas is the end of the run, whatever it is."),
    "squared": Defect("The noise levels are sigma^2."),
    "swapped": Defect(
        "With invert_sigmas the data are drawn anew and the noise is kept.",
        lambda one: one.invert_sigmas and getattr(one, "stochastic_sampling", True),
    ),
    "table_betas": Defect("Steps of one timestep take betas that are rounded apart from the levels."),
    "third_order": Defect(
        "The third order takes half of m'' in multistep, and p2 - 1 for p2 in sde-dpmsolver++.",
        lambda one: one.solver_order == 3,
    ),
}
"""By the option of the recipe that reproduces it."""


def _flow(recipe: Any) -> bool:
    return bool(getattr(recipe, "use_flow_sigmas", True))


def reproduced(recipe: Recipe, options: dict[str, Any]) -> tuple[str, ...]:
    """The sentences of the defects that these values of options make a recipe reproduce."""
    set_so = (name for name, value in sorted(options.items()) if getattr(recipe, name) == value)
    return tuple(DEFECTS[name].sentence for name in set_so if DEFECTS[name].matters(recipe))
