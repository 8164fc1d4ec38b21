"""The step of an exponential Adams method: a polynomial p in lam = log(alpha / sigma) goes through the model's values
of x0 ("data") or of the noise, and the step from s to t integrates it exactly.

    data    x_t = sigma_t / sigma_s * e^(-tau^2 h) * x_s + sigma_t * sqrt(1 - e^(-2 tau^2 h)) * z
                  + (1 + tau^2) * alpha_t * integral of e^(-(1 + tau^2) (lam_t - lam)) * p(lam)
    noise   x_t = alpha_t / alpha_s * x_s + tau * alpha_t * sqrt((sigma_s / alpha_s)^2 - (sigma_t / alpha_t)^2) * z
                  - (1 + tau^2) * sigma_t * integral of e^(lam_t - lam) * p(lam),         h = lam_t - lam_s

(Xue et al. 2023, arXiv 2309.05019, section 4; tau = 0 is the probability flow.)

UniPC's paper has the weights a of the differences D_m from R_p(h) * a * B(h) = phi_p(h), where row k of R_p(h) holds
powers k - 1 of the distances in lam to the values. Those equations say that the weights integrate each power of lam
exactly, which is what the integral of the polynomial through the values does, so B(h) drops out. With two values the
paper sets a = 1/2 in place of the solution: there B(h) stays, and is the `rule`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.solvers.limits import finite, nonzero, root
from multisched.solvers.rows import Level, Rows
from multisched.values import anywhere, namespace

# Gauss and Legendre's 64 points integrate such an exponential times a polynomial to the last bits.
NODES, WEIGHTS = (values / 2 for values in np.polynomial.legendre.leggauss(64))


@dataclass(frozen=True)
class Polynomial:
    """The step of one method, with the options of `ExponentialAdams`.

    Args:
        data: whether p goes through values of x0.
        rule: the integral that is taken where there are two values.
        tau: amount of noise.
        tau_start: the timestep from which it is added.
        tau_end: the timestep up to which it is added.
    """

    data: bool
    rule: str
    tau: float
    tau_start: float
    tau_end: float

    def said(self, level: Level, x: Any, value: Any) -> tuple[Any, Any]:
        """The x0 and the noise that x is made of; one of them is the value."""
        if self.data:
            return value, (x - level.alpha * value) / level.sigma
        return (x - level.sigma * value) / nonzero(level.alpha), value

    def step(self, row: Rows, said: Any, values: Any, first: int, count: Any, noise: tuple[Any, ...]) -> Any:
        """The step of a row from a sample made of `said`, where p is values[0] + (p - values[0]). The values are of the
        grid points first, first - 1... from its start; `count` of them are used."""
        xp, start, tau2 = namespace(row.sigma), finite(row.start.lam), self._tau(row) ** 2
        h = xp.where(count > 1, finite(row.next.lam) - start, 0.0)
        lams = finite(Level(row.grid.alphas, row.grid.sigmas).lam)
        nodes = [row.of(lams, first - k) - start for k in range(len(values))]
        shares = integrals(h, 1 + tau2 if self.data else -1.0, nodes, count, self.rule)
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


def integrals(h: Any, rate: Any, nodes: list[Any], count: Any, rule: str) -> list[Any]:
    """For j = 1, 2... the integral over v in [0, h] of e^(-rate (h - v)) * L_j(v), with L_j Lagrange's polynomial that
    is 1 at node j and 0 at the others of the first `count` nodes; 0 for a node beyond them."""
    xp = namespace(h)
    v = h * xp.asarray(0.5 + NODES)
    weight = h * xp.asarray(WEIGHTS) * xp.exp(rate * (v - h))
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


def row_before(row: Rows) -> Rows:
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


def checked(rows: Rows, data: bool, corrected: bool, noisy: bool) -> Rows:
    """The rows of a method, if its steps can be taken.

    Raises:
        ScheduleError: if they cannot.
    """
    if corrected and not rows.grid.chained:
        raise ScheduleError("a corrector takes steps again, so the steps of its grid must join.")
    if data and anywhere(rows.sigma_start == 0):
        raise ScheduleError("a step that begins at sigma = 0 needs the form that predicts the noise.")
    if anywhere(rows.alpha_start[1:] == 0):  # a first step has one call
        raise ScheduleError("no step but the first may begin at alpha = 0, where lam is infinite.")
    if noisy and anywhere(rows.next.ratio > rows.start.ratio):
        raise ScheduleError("a step to a higher noise level needs tau = 0.")
    return rows
