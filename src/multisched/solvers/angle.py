"""Adams predictor and corrector along the angle between data and noise.

With m = sqrt(sigma^2 + d^2 alpha^2) and theta = atan2(sigma, d alpha), the probability flow is

    d(x / m) / d theta = -F,   F = (m x0 - d^2 (alpha / m) x) / (sigma d)

exactly, for any d. At d = 1 on a variance preserving path F is -v (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
d to infinity is the noise form of exponential integrators, d to 0 their data form. s(theta) is an option.

    predictor  x_next / m_next = x / m - integral of p,    p a polynomial in s through the latest values of F
    corrector  once F is known at the predicted x_i, the step that led there is taken again from the corrected x_(i-1),
               y = x_(i-1) / m_(i-1) - integral of p,      p through F_i, F_(i-1)...
               x_i := x_i + (m_i y - x_i) / (1 + damping H^2),   H the step of log atan(sigma / (alpha reach)),
               and the predictor goes on from there, with F_i as it is
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.adams import EVEN
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import nonzero
from multisched.solvers.polynomial import NODES, WEIGHTS, row_before
from multisched.solvers.rows import Level, Rows
from multisched.values import anywhere, check_options, count, namespace

_NEAR = 1e-12, math.pi / 2 - 1e-6  # angles between which log k is taken, as it is infinite beyond


@dataclass(frozen=True)
class AngleAdams(Solver):
    """Adams on F, which is -v of arXiv 2202.00512 at d = 1. Order min(predictor, 2), as the first step has one value;
    with a corrector min(predictor + 1, corrector, 3), as its correction has two. Damping and even weights cost none: on
    trained networks they lower the error of 5 to 15 steps. Damping 0.25 to 1 is best without guidance, and 0.25 to 2 at
    guidance 3. Above 5, and in short guided runs, no corrector is. In longer runs on flow and EDM models, and on exact
    models, exact weights without damping are. Order 3; one call a step. With corrector=0: order 2; one call a step.

    Args:
        predictor: values of F that the predictor's polynomial goes through, 1 to 4.
        corrector: those that the corrector's goes through, up to 5; 0 for no corrector.
        data: d, about the deviation of the data.
        variable: s: "lam", log k, k = sigma / alpha, where the step to sigma = 0 has one value; or "angle", theta.
        even: whether the predictor has the weights of even steps, (3, -1) / 2 for two values.
        damping: how much less of long corrections is applied, see above; 0 for whole corrections.
        reach: k beyond which steps count as short in that.
        far: with "lam", s is log(k / (1 + k / far)), which is finite at pure noise.
        clean: whether the step to sigma = 0 takes the model's x0 as it is.

    Raises:
        ScheduleError: if an option is out of range, or the method cannot go along a grid.

    Example:
        >>> solver = ms.solvers.AngleAdams()
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.SoftLog(), "flow_prediction", solver)
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (10, 3.0)
    """

    predictor: int = 2
    corrector: int = 3
    data: float = 1.0
    variable: Literal["lam", "angle"] = "lam"
    even: bool = True
    damping: float = 2.0
    reach: float = 15.0
    far: float = math.inf
    clean: bool = False

    def __post_init__(self) -> None:
        check_options(self, positive=("data", "reach"), not_negative=("damping",))
        count("predictor", self.predictor, 4)
        count("corrector", self.corrector, 5, least=0)
        if not self.far > 0:
            raise ScheduleError(f"far must be a number above 0, or inf; given {self.far!r}.")

    @property
    def order(self) -> int:
        return self.order_after(0)

    def order_after(self, steps: int) -> int:
        predictor = min(self.predictor, 2) if self.even else self.predictor
        return min(predictor + 1, self.corrector, 3 + steps) if self.corrector else min(predictor, 2 + steps)

    @property
    def memory(self) -> tuple[str, ...]:
        before = tuple(f"slope_before_{k}" for k in range(1, max(self.predictor, self.corrector)))
        return ("anchor", *before) if self.corrector else before

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = super().rows(grid, path)
        if (self.corrector and not grid.chained) or anywhere(rows.sigma_start == 0):
            raise ScheduleError("AngleAdams takes steps that join, none of them from sigma = 0.")
        return rows

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, kept = namespace(row.sigma), int(self.corrector > 0)
        m = self._size(row.here)
        slope = (m * model.x0 - self.data**2 * row.alpha / m * x) / (row.sigma * self.data)
        values = (slope, *memory[kept:])
        if kept:
            again, last, most = row.step > row.opened, row_before(row), self.corrector - 1
            used = xp.where(again, xp.where(row.step < most, row.step, most) + 1, 1)
            corrected = self._step(last, memory[0], values, self._weights(last, 1, used))
            x = xp.where(again, x + self._part(last) * (corrected - x), x)
        used = xp.where(row.step + 1 < self.predictor, row.step + 1, self.predictor)
        used = xp.where((row.sigma_next == 0) & (self.variable == "lam"), 1, used)
        after = self._step(row, x, values, self._even(row, used) if self.even else self._weights(row, 0, used))
        if self.clean:
            after = xp.where(row.sigma_next == 0, row.alpha_next * model.x0, after)
        return Next(after, (x, *values[:-1]) if kept else values[:-1])

    def _step(self, row: Rows, x: Any, values: tuple[Any, ...], weights: list[Any]) -> Any:
        moved = sum(weight * value for weight, value in zip(weights, values, strict=False))
        return self._size(row.next) * (x / self._size(row.start) - moved)

    def _weights(self, row: Rows, first: int, used: Any) -> list[Any]:
        """The integrals over a step of Lagrange's polynomials in s through the first `used` values, those of the grid
        points first, first - 1... from where it begins."""
        xp, start, end = namespace(row.sigma), self._angle(row.start), self._angle(row.next)
        h = end - start
        places = self._place(self._angle(Level(row.grid.alphas, row.grid.sigmas)))
        nodes = [row.of(places, first - k) for k in range(self.corrector if first else self.predictor)]
        s, weights = self._place(start + h * xp.asarray(0.5 + NODES)), []
        for j, node in enumerate(nodes[1:], 1):
            term = h * xp.asarray(WEIGHTS)
            for m, other in enumerate(nodes):
                if m != j:
                    term = xp.where(used > m, term * (s - other) / nonzero(node - other), term)
            weights.append(xp.where(used > j, xp.sum(term, axis=-1, keepdims=True), 0.0))
        return [h - sum(weights), *weights]

    def _even(self, row: Rows, used: Any) -> list[Any]:
        """The same of even steps."""
        xp, h = namespace(row.sigma), self._angle(row.next) - self._angle(row.start)
        return [sum(xp.where(used == n + 1, one[n] * h, 0.0) for n in range(4)) for one in EVEN[: self.predictor]]

    def _part(self, last: Rows) -> Any:
        """How much of a correction is applied."""
        near, far = (namespace(k.sigma).atan2(k.sigma, self.reach * k.alpha) for k in (last.next, last.start))
        return 1 / (1 + self.damping * namespace(near).log(far / near) ** 2)

    def _size(self, level: Level) -> Any:
        return (level.sigma**2 + (self.data * level.alpha) ** 2) ** 0.5

    def _angle(self, level: Level) -> Any:
        return namespace(level.sigma).atan2(level.sigma, self.data * level.alpha)

    def _place(self, angle: Any) -> Any:
        if self.variable == "angle":
            return angle
        xp = namespace(angle)
        k = self.data * xp.tan(xp.clip(angle, *_NEAR))
        return xp.log(k / (1 + k / self.far))
