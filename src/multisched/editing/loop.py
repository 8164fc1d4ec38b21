"""The loop that the editing functions share: any rows of a plan from any state, with something done after each step."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from multisched import backends, noise as noise_sources
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.values import option

LOOPS = ("python", "compile")


class Run(NamedTuple):
    """How the rows of an edit are run.

    Attributes:
        plan, backend: whose rows, and of the arrays.
        narrow: dtype of what the model is given, that of the user's arrays; states are float32 where that is half.
        source: of noise.
        compiled: whether steps are compiled.
        callback: callback(row, state after it, estimate of x0), or None.
    """

    plan: Plan
    backend: Backend[Any]
    narrow: Any
    source: Any
    compiled: bool = False
    callback: Callable[[int, State[Any], Any], object] | None = None

    @property
    def wide(self) -> Any:
        """The dtype of states."""
        return self.backend.compute_dtype(self.narrow)

    def rows_of(self, steps: Iterable[int]) -> list[tuple[int, int | None]]:
        """(row, None) of the rows of some steps."""
        wanted = set(steps)
        return [(row, None) for row in range(len(self.plan)) if step_of(self.plan, row) in wanted]

    def over(
        self,
        model: Callable[[Any, Any], Any],
        state: State[Any],
        rows: Iterable[tuple[int, int | None]],
        after: Callable[[int, State[Any]], State[Any]] | None = None,
    ) -> State[Any]:
        """The state after some rows.

        Args:
            model: model(x, t) -> output, as of `ms.sample`.
            state: before them; its index is not looked at.
            rows: (row, step number that its noise is drawn at, or None for the plan's own).
            after: after(point, state) -> state, called with the point that a step has led to, once it is taken.
        """
        plan, backend = self.plan, self.backend
        times = backend.asarray(plan.timesteps, state.sample.dtype, backend.device(state.sample))
        for row, number in rows:
            before = state._replace(index=row)
            output = model(backend.astype(plan.model_input(before), self.narrow), times[row, ...])
            state = plan.step(before, output, self._noise(row, number, before.sample), compile=self.compiled)
            if after is not None and ends_step(plan, row):
                state = after(step_of(plan, row) + 1, state)
            backend.flush(state.sample, *state.memory)
            if self.callback is not None:
                self.callback(row, state, plan.denoised(before, output))
        return state

    def _noise(self, row: int, number: int | None, sample: Any) -> tuple[Any, ...] | None:
        """The noise of a row, at its own address or at another step's."""
        if number is None or not self.plan.needs_noise(row):
            return noise_sources.draw_row(self.source, self.plan, row, sample)
        return noise_sources.draw(self.source, number, self.plan.noise_address(row)[1], sample)

    def own_noise(self, number: int, draw: int, sample: Any) -> Any:
        """Noise of the edit itself, beside that of the plan's rows: unit normals in the dtype of the sample."""
        own = (1 + max(self.plan.stages, default=0)) * self.plan.noise_draws
        return self.backend.astype(noise_sources.draw(self.source, number, [own + draw], sample)[0], sample.dtype)

    def narrowed(self, array: Any) -> Any:
        """An array as the user gets it."""
        return self.backend.astype(array, self.narrow)


def begun(plan: Any, like: Any, rng: Any, loop: str = "python", callback: Any = None) -> Run:
    """How the rows of a plan are run for arrays like this one.

    Raises:
        ScheduleError: if it is no plan, the loop is unknown, or `rng` is no source of noise.
    """
    option("loop", loop, LOOPS)
    if not isinstance(plan, Plan):
        raise ScheduleError(f"an edit runs a plan, which recipe.plan(n) makes; given {type(plan).__name__}.")
    return Run(plan, backends.of(like), like.dtype, noise_sources.source(rng), loop == "compile", callback)


def step_of(plan: Plan, row: int) -> int:
    """The step that a row belongs to, counted from the plan's first."""
    return plan.noise_address(row)[0] - plan.grid.first


def ends_step(plan: Plan, row: int) -> bool:
    """Whether a row is the last of its step."""
    return row + 1 == len(plan) or plan.stages[row + 1] == 0


def estimates(plan: Plan, alpha: float, sigma: float, scale: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Weights of (sample, output) in the estimate of x0 and in that of the noise. The model sees scale * sample, at the
    level scaled alike."""
    seen, output, level = (scale, 0.0), (0.0, 1.0), (scale * alpha, scale * sigma)
    x0, noise = (
        tuple(float(of(*one, *level)) for one in (seen, output))
        for of in (plan.prediction.denoised, plan.prediction.noise)
    )
    return x0, noise  # type: ignore[return-value]


def check_afresh(plan: Plan, steps: Iterable[int]) -> None:
    """Steps can be taken without those before them: their first rows leave the solver's memory unused.

    Raises:
        ScheduleError: if one of them cannot.
    """
    registers = len(plan.tableau.registers)
    weights = np.asarray(plan.folded.weights)[:, :, 1:registers]
    for row in range(len(plan)):
        if plan.stages[row] == 0 and step_of(plan, row) in steps and weights[row].any():
            raise ScheduleError(
                f"{plan.name} looks back to the steps before: a run that jumps needs a solver of one step, such as "
                "DDIM's, Euler's or Heun's."
            )
