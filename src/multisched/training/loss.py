"""Weights of training losses, by the signal-to-noise ratio.

A loss is weight * |output - target|^2. At one sample, an error of the output is one of x0 and of the noise too,

    d output = (a - b * alpha / sigma) * d x0,   d noise = -alpha / sigma * d x0,   output = a * x0 + b * noise

so that a weight for one prediction type is one for all: with p = snr / (1 + snr) and q = 1 / (1 + snr), in terms of the
weight w_v of v's error on the variance-preserving path,

    w_noise = w_v / p,   w_x0 = w_v / q,   w_output = w_v * (alpha^2 + sigma^2) / (alpha * b - sigma * a)^2

Each is computed by the formula that has its limit at zero terminal SNR (p = 0) and at the clean sample (q = 0).
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from multisched import backends
from multisched.errors import ScheduleError
from multisched.paths.straight import Exploding, Straight
from multisched.predictions import Prediction, PredictionType
from multisched.schedulers import Recipe
from multisched.schedulers.forward import made
from multisched.training.conversion import named
from multisched.training.times import Density
from multisched.values import shown


class Weight(ABC):
    """A weight of a loss: frozen, hashable, of no backend. A call gives that of the squared error of an output.

    Example:
        >>> isinstance(ms.training.MinSNR(), ms.training.Weight)
        True
    """

    def __call__(self, recipe: Recipe, timesteps: Any, prediction: PredictionType | Prediction | None = None) -> Any:
        """The weight of a model's squared error at timesteps.

        Args:
            recipe: says the levels and what the model predicts.
            timesteps: as of `recipe.levels`, one per sample, frame or token.
            prediction: another prediction type, by name or as a value, of the loss; None for the recipe's.

        Returns:
            Shaped as the timesteps: float64 NumPy for numbers, lists and NumPy arrays, else of their library.

        Raises:
            ScheduleError: if the weight is not finite at a timestep of the host, as that of the noise at zero terminal
                SNR is for some; or as `recipe.levels`.
        """
        if not isinstance(recipe, Recipe):
            raise ScheduleError(f"recipe must be a recipe, such as ms.FlowMatchEuler(); given {shown(recipe)}.")
        path, _, own, *_ = made(recipe)
        chosen = named(prediction, own)
        alpha, sigma = recipe.levels(timesteps)
        host = isinstance(sigma, (np.ndarray, np.generic))
        xp = np if host else backends.of(sigma).xp
        with np.errstate(all="ignore"):
            found = self._of(xp, chosen, alpha, sigma, path.scale(alpha, sigma))
        if host and not np.all(np.isfinite(found)):
            raise ScheduleError(
                f"{type(self).__name__} has no finite weight of {chosen.name!r} at timesteps {shown(timesteps)}: draw "
                "others, or take the loss in another prediction type."
            )
        return found

    def _of(self, xp: Any, prediction: Prediction, alpha: Any, sigma: Any, scale: Any) -> Any:
        total = alpha * alpha + sigma * sigma
        p, q = alpha * alpha / total, sigma * sigma / total
        if prediction.name == "epsilon":
            return self.of_noise(xp, p, q)
        if prediction.name == "score":
            return self.of_noise(xp, p, q) * (scale * sigma) ** 2
        if prediction.name == "sample":
            return self.of_x0(xp, p, q)
        alpha, sigma = scale * alpha, scale * sigma
        a, b = prediction.weights(alpha, sigma)
        return self.of_v(xp, p, q) * (alpha * alpha + sigma * sigma) / (alpha * b - sigma * a) ** 2

    @abstractmethod
    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        """The weight of the noise's squared error, where snr = p / q and p + q = 1."""

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        """The weight of v's, finite at p = 0 and at q = 0."""
        return p * self.of_noise(xp, p, q)

    @abstractmethod
    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        """The weight of x0's."""


def log_snr_pdf(density: Density, recipe: Recipe, timesteps: Any) -> Any:
    """The density of log SNR where timesteps are drawn from a density: a loss weight(t) / log_snr_pdf(t) is an integral
    of the weight over log SNR (Kingma and Gao 2023, arXiv 2303.00848).

        of a ratio k:                      pdf(k) * k / 2
        of a time t of the straight path:  pdf(t) * t * (1 - t) / 2

    Args:
        density: that the timesteps are drawn from.
        recipe: of the model.
        timesteps: as of `recipe.levels`.

    Raises:
        ScheduleError: if it is a density of times, and the path is not straight.

    Example:
        >>> t = np.array([250.0, 500.0])
        >>> ms.training.log_snr_pdf(ms.training.Uniform(), ms.FlowMatchEuler(), t).round(4).tolist()
        [0.0938, 0.125]
    """
    alpha, sigma = recipe.levels(timesteps)
    if density.of == "ratio":
        ratio = sigma / alpha
        return density.pdf(ratio) * ratio * 0.5
    if not isinstance(made(recipe).path, Straight) or isinstance(made(recipe).path, Exploding):
        raise ScheduleError(
            f"log_snr_pdf takes densities of times on the straight path alone; given {shown(density)} with "
            f"{type(recipe).__name__}: draw from LogNormal(), a density of sigma / alpha."
        )
    return density.pdf(sigma) * sigma * alpha * 0.5
