"""Quotients, roots and orders where a limit is taken: at alpha = 0, sigma = 0, or an infinite log(alpha / sigma)."""

from typing import Any

from multisched.values import namespace


def root(variance: Any) -> Any:
    """The square root; 0 for what is negative, where a step has no noise to add or rounding says so."""
    xp = namespace(variance)
    return xp.sqrt(xp.where(variance > 0, variance, 0.0))


def nonzero(value: Any) -> Any:
    """`value`; 1 for 0, to divide where another choice is made."""
    return namespace(value).where(value == 0, 1.0, value)


def finite(lam: Any) -> Any:
    """An infinite lam as one so far away that a value there has no weight."""
    return namespace(lam).clip(lam, -1e100, 1e100)


def gap(start: Any, end: Any) -> Any:
    """lam_end - lam_start; 0 where that is infinite, for then nothing is to be had from the other end."""
    xp = namespace(start.sigma)
    up, down = end.alpha * start.sigma, end.sigma * start.alpha
    finite = (up > 0) & (down > 0)
    return xp.where(finite, xp.log(xp.where(finite, up, 1.0) / xp.where(finite, down, 1.0)), 0.0)


def one_over(value: Any) -> Any:
    """1 / value; 0 for 0."""
    return namespace(value).where(value == 0, 0.0, 1 / nonzero(value))


def orders(row: Any, most: int, falling: Any = False) -> Any:
    """Order of each step of a multistep solver: `most`, or what the steps since the start of the run allow; where
    `falling`, also no more than the steps that are left; 1 for the step to sigma = 0, where lam is infinite."""
    xp = namespace(row.sigma)
    order = xp.where(row.step + 1 < most, row.step + 1, most)
    order = xp.where(falling & (row.left < order), row.left, order)
    return xp.where(row.sigma_next == 0, 1, order)
