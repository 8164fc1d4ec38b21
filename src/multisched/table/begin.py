"""The state before the first row of a plan: of noise, or of the state at the end of another plan."""

from typing import TYPE_CHECKING, Any

import numpy as np

from multisched import backends
from multisched.backends.base import Terms, nonzero_terms
from multisched.errors import ScheduleError
from multisched.table.state import State, check_alike, kept_dtype
from multisched.values import FLOAT32

if TYPE_CHECKING:
    from multisched.table.plan import Plan


def check_fresh(plan: "Plan") -> None:
    """Refuse a plan whose memory another run has to fill.

    Raises:
        ScheduleError: if it has a history, and registers for it.
    """
    if plan.history and plan.layout.sums[1 + len(plan.inputs) :]:
        raise ScheduleError(
            f"this plan of {plan.name} goes on from {plan.history} steps before it, whose outputs its memory holds: "
            "begin with plan.resume(state), the state of the run that took them."
        )


def begun(plan: "Plan", noise: Any, x0: Any, dtype: Any, inputs: dict[str, Any]) -> State[Any]:
    """As `Plan.start`."""
    check_fresh(plan)
    backend = backends.of(noise)
    backend.compute_dtype(noise.dtype)
    mine: Any = noise.dtype
    kept = mine if dtype is None or dtype is mine else kept_dtype(backend, dtype)
    wide = backend.compute_dtype(kept)
    if x0 is not None:
        check_alike(noise, x0, "x0", "noise")
    levels = (plan.grid.init_noise_sigma,) if x0 is None else (plan.sigmas[0], plan.alphas[0])
    plan._check_float32(wide)
    if plan._hosted and str(wide).endswith("float32") and not max(map(float, levels)) <= FLOAT32:
        raise ScheduleError(f"{plan.name} starts at the level {max(map(float, levels)):.4g}, beyond float32.")
    weights = tuple(float(one) if plan._hosted else backend.asarray(one, wide, backend.device(noise)) for one in levels)
    first = nonzero_terms(weights) if plan._hosted else Terms(weights, (0, 1)[: len(weights)])
    (sample,) = backend.weighted_sums((first,), (noise,) if x0 is None else (noise, x0), kept)
    if set(inputs) != set(plan.inputs):
        wanted, found = (", ".join(names) or "none" for names in (plan.inputs, inputs))
        raise ScheduleError(f"{plan.name} is started with the inputs {wanted}; given {found}.")
    for name, array in inputs.items():
        check_alike(noise, array, name, "noise")
    given = {name: backend.astype(array, kept) for name, array in inputs.items()}
    # Every register gets its own zeros: a shared array could not be overwritten or donated.
    names = plan.tableau.registers[1:]
    memory = (given[name] if name in given else backend.xp.zeros_like(sample) for name in names)
    return State(sample, tuple(memory), 0)


def resumed(plan: "Plan", state: State[Any]) -> State[Any]:
    """As `Plan.resume`."""
    count, given = len(plan.tableau.registers) - 1, len(state.memory)
    if count != given:
        raise ScheduleError(
            f"{plan.name} keeps {count} memory registers; the state has {given}, so it is of another solver."
        )
    backend = backends.of(state.sample)
    for array in state.memory:
        check_alike(state.sample, array, "memory", "sample")
    counted = isinstance(state.index, (int, np.integer))
    return State(state.sample, state.memory, 0 if counted else backend.xp.zeros_like(state.index))
