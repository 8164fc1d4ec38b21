"""Exponential Adams methods: a polynomial p in lam = log(alpha / sigma) goes through the model's values of x0 ("data")
or of the noise, and a step from s to t integrates it exactly.

    data    x_t = sigma_t / sigma_s * e^(-tau^2 h) * x_s + sigma_t * sqrt(1 - e^(-2 tau^2 h)) * z
                  + (1 + tau^2) * alpha_t * integral of e^(-(1 + tau^2) (lam_t - lam)) * p(lam)
    noise   x_t = alpha_t / alpha_s * x_s + tau * alpha_t * sqrt((sigma_s / alpha_s)^2 - (sigma_t / alpha_t)^2) * z
                  - (1 + tau^2) * sigma_t * integral of e^(lam_t - lam) * p(lam),         h = lam_t - lam_s

(Xue et al. 2023, arXiv 2309.05019, section 4; tau = 0 is the probability flow.) The predictor's p ends at s. The
corrector takes the step again, with the same z, once the value at t is there; the next step begins from what it finds.

    DEIS (Zhang and Chen 2022, arXiv 2204.13902, eq. 14)    noise, p values
    UniPC (Zhao et al. 2023, arXiv 2302.04867, section 3)   either, p values and p + 1, rule "bh1" or "bh2"
    SA-Solver (arXiv 2309.05019, algorithm 1)               either, any numbers of values, tau; with data, rule "bh1"

UniPC's paper has the weights a of the differences D_m from R_p(h) * a * B(h) = phi_p(h), where row k of R_p(h) holds
powers k - 1 of the distances in lam to the values. Those equations say that the weights integrate each power of lam
exactly, which is what the integral of the polynomial through the values does, so B(h) drops out. With two values the
paper sets a = 1/2 in place of the solution: there B(h) stays, and is the `rule`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Level, Next, Rows, Solver, nonzero, orders, root
from multisched.values import anywhere, check_options, count, namespace, shown, whole

PARTS = 16  # of a model's output, at most
ORDERS = 10  # values of the model that a step uses at most; published methods use three

# Gauss and Legendre's 64 points integrate such an exponential times a polynomial to the last bits.
_X, _W = (values / 2 for values in np.polynomial.legendre.leggauss(64))


@dataclass(frozen=True)
class ExponentialAdams(Solver):
    """Predictor and corrector. Order min(predictor, 2), since the first step of a run has one value; with a corrector
    min(predictor + 1, corrector, 3), since its correction has two, and at most 2 where the last step has but one.

    Args:
        data: whether p goes through values of x0.
        predictor: values that it goes through, at most.
        corrector: values that it goes through in a correction, the new one included; 0 for no corrector.
        rule: what integral of (lam - lam_s) * e^... is taken where there are two values: "exact", or as published
            "bh1" for h^2 / 2 and "bh2" for h / 2 * integral of e^...
        falling: whether fewer values are used towards the end, in runs of fewer steps than this.
        disable_corrector: numbers of the steps, from 0, that are not corrected.
        tau: amount of noise; 0 for the probability flow.
        tau_start: the timestep from which it is added.
        tau_end: the timestep up to which it is added.
        parts: parts of the model's output, of which the first is used.
        solver_p: another solver, of one model call a step, in place of the predictor.

    Raises:
        ScheduleError: an option that is not one of those named, or a grid that the method cannot go along.
    """

    data: bool
    predictor: int
    corrector: int = 0
    rule: Literal["exact", "bh1", "bh2"] = "exact"
    falling: float = math.inf
    disable_corrector: tuple[int, ...] = ()
    tau: float = 0.0
    tau_start: float = 0.0
    tau_end: float = math.inf
    solver_p: Solver | None = None
    parts: int = 1

    def __post_init__(self) -> None:
        check_options(self, not_negative=("tau",))
        if not isinstance(self.disable_corrector, (tuple, list)):
            raise ScheduleError(f"disable_corrector must be a list of steps; given {shown(self.disable_corrector)}.")
        disabled = tuple(whole("disable_corrector", step) for step in self.disable_corrector)
        object.__setattr__(self, "disable_corrector", disabled)
        count("parts", self.parts, PARTS)
        count("predictor", self.predictor, ORDERS)
        count("corrector", self.corrector, ORDERS + 1, least=0)
        if self.solver_p is not None and (self.tau or not isinstance(self.solver_p, Solver)):
            raise ScheduleError(
                f"solver_p must be None or a solver of multisched, for tau = 0; given {shown(self.solver_p)}."
            )

    @property
    def order(self) -> int:
        if self.tau > 0:
            return 0
        predictor = self.predictor if self.solver_p is None else self.solver_p.order
        if not self.corrector:
            return min(predictor, 2)
        return min(predictor + 1, self.corrector, 2 if self.falling == math.inf and self.solver_p is None else 3)

    @property
    def _kept(self) -> tuple[str, ...]:
        """What a correction begins from."""
        return ("anchor", "drawn_before")[: 1 + (self.tau > 0)] if self.corrector else ()

    @property
    def memory(self) -> tuple[str, ...]:
        values = tuple(f"value_before_{k}" for k in range(1, max(self.predictor, self.corrector)))
        theirs = () if self.solver_p is None else self.solver_p.memory
        return self._kept + values + tuple(f"predictor_{name}" for name in theirs)

    @property
    def draws(self) -> int:
        return int(self.tau > 0) if self.solver_p is None else self.solver_p.draws

    @property
    def outputs(self) -> int:
        return self.parts

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        rows = super().rows(grid, schedule)
        if self.corrector and not grid.chained:
            raise ScheduleError("a corrector takes steps again, so the steps of its grid must join.")
        if self.data and anywhere(rows.sigma_start == 0):
            raise ScheduleError("a step that begins at sigma = 0 needs the form that predicts the noise.")
        if anywhere(rows.alpha_start[1:] == 0):
            raise ScheduleError("no step but the first may begin at alpha = 0, where lam is infinite.")
        if self.tau and anywhere(rows.next.ratio > rows.start.ratio):
            raise ScheduleError("a step to a higher noise level needs tau = 0.")
        if self.solver_p is not None and len(self.solver_p.rows(grid, schedule)) != len(rows):
            raise ScheduleError("solver_p must be a solver of one model call a step.")
        return rows

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, kept, falling = namespace(row.sigma), len(self._kept), row.total < self.falling
        own = len(self.memory) - (0 if self.solver_p is None else len(self.solver_p.memory))
        values = (model.x0 if self.data else model.noise, *memory[kept:own])
        said = (model.x0, model.noise)
        if kept:
            last = _before(row)
            # From pure noise the published rules have a limit in one case.
            again = (row.step > 0) & ((last.alpha_start > 0) | (self.data and self.rule != "bh1"))
            for number in self.disable_corrector:
                again = again & (row.grid.first + last.step != number)
            count = xp.where(again, orders(last, self.corrector - 1, falling) + 1, 1)
            before = self._said(last.start, memory[0], values[0])
            x = xp.where(again, self._step(last, before, values[: self.corrector], 1, count, memory[1:kept]), x)
            # The noise's form would leave what was drawn in the sample at sigma = 0.
            again = again & (self.data | (self.tau == 0) | (row.sigma_next > 0))
            said = tuple(xp.where(again, *both) for both in zip(self._said(row.start, x, values[0]), said, strict=True))
        after = (x, *noise)[:kept] + values[:-1]
        if self.solver_p is not None:
            theirs = self.solver_p.update(row, x, Estimate(*said, said[1]), memory[own:], noise)
            return Next(theirs.sample, after + theirs.memory)
        count = orders(row, self.predictor, falling)
        return Next(self._step(row, said, values[: self.predictor], 0, count, noise), after)

    def _said(self, level: Level, x: Any, value: Any) -> tuple[Any, Any]:
        """The x0 and the noise that x is made of, of which one is the value."""
        if self.data:
            return value, (x - level.alpha * value) / level.sigma
        return (x - level.sigma * value) / nonzero(level.alpha), value

    def _step(self, row: Rows, said: Any, values: Any, first: int, count: Any, noise: tuple[Any, ...]) -> Any:
        """The step of a row from a sample made of `said`, where p is values[0] + (p - values[0]). The values are of the
        grid points first, first - 1... from its start; `count` of them are used."""
        xp, start, tau2 = namespace(row.sigma), _finite(row.start.lam), self._tau(row) ** 2
        h = xp.where(count > 1, _finite(row.next.lam) - start, 0.0)
        lams = _finite(Level(row.grid.alphas, row.grid.sigmas).lam)
        nodes = [row.of(lams, first - k) - start for k in range(len(values))]
        shares = _integrals(h, 1 + tau2 if self.data else -1.0, nodes, count, self.rule)
        bend = (1 + tau2) * sum(share * (one - values[0]) for share, one in zip(shares, values[1:], strict=True))
        if self.data:
            keep = (row.sigma_next * row.alpha_start / (nonzero(row.alpha_next) * row.sigma_start)) ** tau2
            after = row.alpha_next * (said[0] + bend) + keep * row.sigma_next * said[1]
            variance = row.sigma_next**2 * (1 - keep**2)
        else:
            scaled = row.alpha_next * row.sigma_start / nonzero(row.alpha_start)
            after = row.alpha_next * said[0] + row.sigma_next * (said[1] - bend)
            after = after - tau2 * (scaled - row.sigma_next) * said[1]
            variance = tau2 * (scaled**2 - row.sigma_next**2)
        return after + root(variance) * noise[0] if noise else after

    def _tau(self, row: Rows) -> Any:
        # In the noise's form it would be infinite after pure noise, and some would be left at sigma = 0.
        sound = self.data | ((row.alpha_start > 0) & (row.sigma_next > 0))
        noisy = (self.tau_start <= row.timestep) & (row.timestep <= self.tau_end) & sound
        return namespace(row.sigma).where(noisy, self.tau, 0.0) if self.tau else 0.0


def _integrals(h: Any, rate: Any, nodes: list[Any], count: Any, rule: str) -> list[Any]:
    """For j = 1, 2... the integral over v in [0, h] of e^(-rate (h - v)) * L_j(v), with L_j Lagrange's polynomial that
    is 1 at node j and 0 at the others of the first `count` nodes; 0 for a node beyond them."""
    xp = namespace(h)
    v = h * xp.asarray(0.5 + _X)
    weight = h * xp.asarray(_W) * xp.exp(rate * (v - h))
    integrals = []
    for j, node in enumerate(nodes[1:], 1):
        integrand = weight
        for m, other in enumerate(nodes):
            if m != j:
                integrand = xp.where(count > m, integrand * (v - other) / nonzero(node - other), integrand)
        integral = xp.sum(integrand, axis=-1, keepdims=True)
        if rule != "exact" and j == 1:
            whole = -xp.expm1(-rate * h) / rate
            moment = h / 2 * (h if rule == "bh1" else whole)
            integral = xp.where(count == 2, (moment - nodes[0] * whole) / nonzero(node - nodes[0]), integral)
        integrals.append(xp.where(count > j, integral, 0.0))
    return integrals


def _before(row: Rows) -> Rows:
    """The row of the step before; in the first row, a step that stays at its start."""
    return replace(
        row,
        timestep=row.of(row.grid.timesteps, -1),
        alpha_start=row.of(row.grid.alphas, -1),
        sigma_start=row.of(row.grid.sigmas, -1),
        alpha_next=row.alpha_start,
        sigma_next=row.sigma_start,
        step=namespace(row.sigma).asarray(row.step) - 1,
    )


def _finite(lam: Any) -> Any:
    """An infinite lam as one so far away that a value there has no weight."""
    return namespace(lam).clip(lam, -1e100, 1e100)
