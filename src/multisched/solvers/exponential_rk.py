"""Exponential Runge-Kutta methods on x0: RES in its singlestep form, and SEEDS with noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.dpm_sde import way
from multisched.solvers.dpm_singlestep import PathRows
from multisched.solvers.limits import gap, one_over
from multisched.solvers.rows import Rows
from multisched.solvers.staged import staged, whole
from multisched.values import check_options, namespace

Method = Literal["res_2s", "res_3s", "seeds_2", "seeds_3", "heun", "heun_phi_1"]


def _first(h: Any) -> Any:
    """h * phi_1(-h) = 1 - e^-h."""
    return -namespace(h).expm1(-h)


def _second(h: Any) -> Any:
    """h * phi_2(-h) = 1 - phi_1(-h)."""
    return 1 - _first(h) * one_over(h)


def _res_2s(h: Any) -> list[list[Any]]:
    last = 2 * _second(h)
    return [[_first(h / 2)], [_first(h) - last, last]]


def _res_3s(h: Any) -> list[list[Any]]:
    inner, last = 4 * _second(h / 2) + 2 * _second(h), _second(h) / 3
    return [[_first(h / 2)], [_first(h) - inner, inner], [_first(h) - 5 * last, 4 * last, last]]


def _seeds_2(h: Any) -> list[list[Any]]:
    return [[_first(h / 2)], [0.0 * h, _first(h)]]


def _seeds_3(h: Any) -> list[list[Any]]:
    inner, last = 2 * _second(2 * h / 3), 3 / 2 * _second(h)
    return [[_first(h / 3)], [_first(2 * h / 3) - inner, inner], [_first(h) - last, 0.0 * h, last]]


def _heun(h: Any) -> list[list[Any]]:
    return [[_first(h)], [_first(h) - _second(h), _second(h)]]


def _heun_phi_1(h: Any) -> list[list[Any]]:
    return [[_first(h)], [_first(h) / 2, _first(h) / 2]]


# Where calls are asked, as shares of the step in lam, and their weights b of a step h, of each call a list.
METHODS: dict[Method, tuple[tuple[float, ...], Callable[[Any], list[list[Any]]]]] = {
    "res_2s": ((0.0, 1 / 2), _res_2s),
    "res_3s": ((0.0, 1 / 2, 1.0), _res_3s),
    "seeds_2": ((0.0, 1 / 2), _seeds_2),
    "seeds_3": ((0.0, 1 / 3, 2 / 3), _seeds_3),
    "heun": ((0.0, 1.0), _heun),
    "heun_phi_1": ((0.0, 1.0), _heun_phi_1),
}


@dataclass(frozen=True)
class ExponentialRK(Solver):
    """Exponential Runge-Kutta methods in lam = log(alpha / sigma), of two or three calls a step.

        x_c = sigma_c / sigma * e^(-eta c h) * x + alpha_c * sum over j of b_j(H) * x0_j + s_noise * n_c
        n_c = sigma_c * sqrt(1 - e^(-2 eta c h)) * z,   H = (1 + eta) * h

    "res_2s" and "res_3s" are the refined exponential solver (Zhang et al. 2023, arXiv 2308.02157, section 3), with the
    tableaux of Hochbruck and Ostermann (2005, eq. 5.3 and 5.8) at c = 1/2 and c = 1/2, 1. "seeds_2" and "seeds_3" are
    SEEDS (Gonzalez et al. 2023, arXiv 2305.14267, algorithms 2 and 3, in the form for x0), with eta = 1 for their SDE.
    "heun" and "heun_phi_1" are the tableaux of eq. 5.3 and 5.4 there at c = 1, where the model is asked at the end of
    the step, as in Heun's method: ComfyUI's exp_heun_2_x0 with its rules "phi_2" and "phi_1". The noise of a step is
    that of one path: each call draws the part of it that is still missing. A step from alpha = 0 or to sigma = 0 is one
    call.

    Order 2 or 3 where eta = 0. Otherwise the law of the samples is of weak order 2.

    Order 2; two calls a step. With method="res_3s": order 3; three calls a step. With eta=1.0: no order; weak order 2;
    two calls a step.

    Args:
        method: "res_2s", "res_3s", "seeds_2", "seeds_3", "heun" or "heun_phi_1".
        eta: amount of noise; 0 for the probability flow.
        s_noise: scale of the noise.

    Raises:
        ScheduleError: another method, a negative number, or a grid that is not NumPy's.

    Example:
        >>> solver = ms.solvers.ExponentialRK("res_3s")
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver)
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (26, 3.0)
    """

    method: Method = "res_2s"
    eta: float = 0.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("eta", "s_noise"))

    @property
    def order(self) -> int:
        return 0 if self.eta > 0 else len(METHODS[self.method][0])

    @property
    def weak_order(self) -> int:
        return 2 if self.eta > 0 and self.s_noise == 1 else super().weak_order

    @property
    def draws(self) -> int:
        return int(self.eta > 0 and self.s_noise > 0)

    @property
    def memory(self) -> tuple[str, ...]:
        calls = len(METHODS[self.method][0]) - 1
        return ("anchor", "first", "second")[: 1 + calls] + ("drawn",)[: self.draws]

    def rows(self, grid: Grid, path: Any) -> Rows:
        return PathRows(**vars(staged(grid, path, METHODS[self.method][0])))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, first = namespace(row.sigma), row.stage == 0
        end, several = whole(row)
        decay, _ = way(row.start, row.next, self.eta)
        x = xp.where(first, x, memory[0])
        before = memory[1 : len(METHODS[self.method][0])]
        bend = 0.0 * x
        # The weights of a call add up to that of a constant x0, so that only differences are left.
        for call, weights in enumerate(METHODS[self.method][1]((1 + self.eta) * gap(row.start, end))):
            pairs = zip(weights[:-1], before, strict=False)
            moved = sum((weight * (x0 - model.x0) for weight, x0 in pairs), 0.0 * x)
            bend = xp.where((row.stage == call) & several, moved, bend)
        after = decay * x + (row.alpha_next - decay * row.alpha_start) * model.x0 + row.alpha_next * bend
        kept = tuple(xp.where(row.stage == j, model.x0, x0) for j, x0 in enumerate(before))
        if not noise:
            return Next(after, (x, *kept))
        carried, std = way(row.here, row.next, self.eta)
        drawn = self.s_noise * std * noise[0] + xp.where(first, 0.0, carried) * memory[-1]
        return Next(after + drawn, (x, *kept, drawn))
