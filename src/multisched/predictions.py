"""What a model's output means: the weights (a, b) of output = a * x0 + b * noise.

Together with x = alpha * x0 + sigma * noise these are two equations in two unknowns, so the same pair gives the
training target and, solved for x0 and for the noise,

    x0    = (b * x - sigma * output) / (alpha * b - sigma * a)
    noise = (alpha * output - a * x) / (alpha * b - sigma * a)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.values import check_options, option

PredictionType = Literal["epsilon", "sample", "v_prediction", "flow_prediction", "flow_to_data", "edm", "score"]


def _epsilon(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The noise (Ho et al. 2020, arXiv 2006.11239, eq. 14)."""
    return 0.0, 1.0


def _sample(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The clean sample."""
    return 1.0, 0.0


def _v(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """v = alpha * data * noise - sigma / data * x0 (Salimans and Ho 2022, arXiv 2202.00512, appendix D, for data of
    deviation 1; Lu and Song 2024, arXiv 2410.11081, eq. 4, "TrigFlow", for any)."""
    return -sigma / data, alpha * data


def _flow(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The straight path's velocity noise - x0 (Liu et al. 2022, arXiv 2209.03003, eq. 1; t runs to the noise)."""
    return -1.0, 1.0


def _flow_to_data(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The same velocity the other way, x0 - noise."""
    return 1.0, -1.0


def _edm(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The network F of x0 = c_skip * x + c_out * F (Karras et al. 2022, arXiv 2206.00364, table 1): -v."""
    return sigma / data, -alpha * data


def _score(alpha: Any, sigma: Any, data: float) -> tuple[Any, Any]:
    """The score of the noised distribution, -noise / sigma (Song et al. 2020, arXiv 2011.13456, eq. 29)."""
    return 0.0, -1 / sigma


_WEIGHTS: dict[PredictionType, Callable[[Any, Any, float], tuple[Any, Any]]] = {
    "epsilon": _epsilon,
    "sample": _sample,
    "v_prediction": _v,
    "flow_prediction": _flow,
    "flow_to_data": _flow_to_data,
    "edm": _edm,
    "score": _score,
}


@dataclass(frozen=True)
class Prediction:
    """A prediction type by name.

    Args:
        name: "epsilon", "sample", "v_prediction", "flow_prediction", "flow_to_data", "edm" or "score".
        sigma_data: standard deviation of the data that "v_prediction" and "edm" were scaled for.

    Raises:
        ScheduleError: if the name is unknown, or the deviation is not positive.

    Example:
        >>> prediction = ms.Prediction("v_prediction")
        >>> prediction.target(x0=1.0, noise=0.5, alpha=0.6, sigma=0.8)
        -0.5
    """

    name: PredictionType
    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        option("prediction_type", self.name, tuple(_WEIGHTS))
        check_options(self)
        if not 0 < self.sigma_data < math.inf:
            raise ScheduleError(f"sigma_data must be a positive number; given {self.sigma_data!r}.")

    def weights(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        """(a, b) of output = a * x0 + b * noise."""
        return _WEIGHTS[self.name](alpha, sigma, self.sigma_data)

    def target(self, x0: Any, noise: Any, alpha: Any, sigma: Any) -> Any:
        """The output that a perfect model gives for this x0 and noise: the training target."""
        a, b = self.weights(alpha, sigma)
        return a * x0 + b * noise

    def denoised(self, x: Any, output: Any, alpha: Any, sigma: Any) -> Any:
        """The estimate of x0."""
        a, b = self.weights(alpha, sigma)
        return (b * x - sigma * output) / (alpha * b - sigma * a)

    def noise(self, x: Any, output: Any, alpha: Any, sigma: Any) -> Any:
        """The estimate of the noise."""
        a, b = self.weights(alpha, sigma)
        return (alpha * output - a * x) / (alpha * b - sigma * a)

    def singular(self, alpha: Any, sigma: Any) -> Any:
        """Where the output does not determine x0: epsilon at alpha = 0, the sample at sigma = 0."""
        a, b = self.weights(alpha, sigma)
        return alpha * b - sigma * a == 0


class Opposite(Prediction):
    """The same with the other sign.

    Example:
        >>> prediction = ms.predictions.Opposite("epsilon")
        >>> prediction.target(x0=1.0, noise=0.5, alpha=0.6, sigma=0.8)
        -0.5
    """

    def weights(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        a, b = super().weights(alpha, sigma)
        return -a, -b
