"""The weights of training losses that papers have."""

import math
from dataclasses import dataclass, field
from typing import Any

from multisched.errors import ScheduleError
from multisched.predictions import Prediction, PredictionType
from multisched.training.laws import CosMap
from multisched.training.loss import Weight
from multisched.training.times import Density
from multisched.values import check_options, shown


@dataclass(frozen=True)
class Constant(Weight):
    """Weight 1 of one prediction type's squared error, whichever the model predicts. Of "epsilon" it is the simple loss
    (Ho et al. 2020, arXiv 2006.11239, eq. 14), which is SNR for x0; of "v_prediction" SNR + 1 for x0 (Salimans and Ho
    2022, arXiv 2202.00512, section 4).

    Args:
        of: that prediction type; None for the model's own.

    Example:
        >>> ms.training.Constant()(ms.FlowMatchEuler(), np.array([100.0, 900.0])).tolist()
        [1.0, 1.0]
    """

    of: PredictionType | None = None

    def __post_init__(self) -> None:
        check_options(self)

    def _of(self, xp: Any, prediction: Prediction, alpha: Any, sigma: Any, scale: Any) -> Any:
        """d output / d of, squared, of the ratio of the two determinants alpha * b - sigma * a."""
        mine = prediction if self.of is None else Prediction(self.of, prediction.sigma_data)
        alpha, sigma = scale * alpha, scale * sigma
        if mine == prediction:
            return 0.0 * sigma + 1.0
        (a, b), (c, d) = mine.weights(alpha, sigma), prediction.weights(alpha, sigma)
        return ((alpha * b - sigma * a) / (alpha * d - sigma * c)) ** 2

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return self._of(xp, Prediction("epsilon"), xp.sqrt(p), xp.sqrt(q), 1.0)

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return self._of(xp, Prediction("sample"), xp.sqrt(p), xp.sqrt(q), 1.0)


@dataclass(frozen=True)
class TruncatedSNR(Weight):
    """max(SNR, 1) of x0's error (Salimans and Ho 2022, arXiv 2202.00512, section 4).

    Example:
        >>> ms.training.TruncatedSNR()(ms.DDPM(), np.array([0, 500])).round(4).tolist()
        [1.0, 11.854]
    """

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.maximum(1.0 + 0.0 * p, q / p)

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.maximum(p, q)

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.maximum(1.0 + 0.0 * p, p / q)


@dataclass(frozen=True)
class MinSNR(Weight):
    """min(SNR, gamma) of x0's error, so min(SNR, gamma) / SNR of the noise's and min(SNR, gamma) / (SNR + 1) of v's
    (Hang et al. 2023, arXiv 2303.09556).

    Args:
        gamma: 5 in the paper.

    Example:
        >>> recipe = ms.DDPM()
        >>> recipe.snr(np.array([0, 500])).round(2).tolist()
        [9997.34, 0.08]
        >>> ms.training.MinSNR(5.0)(recipe, np.array([0, 500])).round(4).tolist()
        [0.0005, 1.0]
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        check_options(self, positive=("gamma",))

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.minimum(1.0 + 0.0 * p, self.gamma * q / p)

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.minimum(p, self.gamma * q)

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.minimum(0.0 * p + self.gamma, p / q)


class _Soft(Weight):
    """gamma / (SNR + gamma) of the noise's error."""

    _gamma: float

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return self._gamma * q / (p + self._gamma * q)

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return self._gamma * p / (p + self._gamma * q)


@dataclass(frozen=True)
class SoftMinSNR(_Soft):
    """SNR * gamma / (SNR + gamma) of x0's error, a smooth `MinSNR` (Crowson et al. 2024, arXiv 2401.11605).

    Args:
        gamma: 4 in the paper.

    Example:
        >>> ms.training.SoftMinSNR(4.0)(ms.DDPM(), np.array([0, 500])).round(4).tolist()
        [0.0004, 0.9793]
    """

    gamma: float = 4.0

    def __post_init__(self) -> None:
        check_options(self, positive=("gamma",))

    @property
    def _gamma(self) -> float:  # type: ignore[override]
        return self.gamma


@dataclass(frozen=True)
class Sigmoid(_Soft):
    """sigmoid(bias - log SNR) of the noise's error (Hoogeboom et al. 2024, arXiv 2410.19324): `SoftMinSNR` with gamma =
    exp(bias).

    Their loss is an integral over log SNR, as is every loss that is an ELBO of noised data (Kingma and Gao 2023, arXiv
    2303.00848): divide by `log_snr_pdf` of the density that the timesteps are drawn from.

    Args:
        bias: log SNR at which the weight is a half.

    Example:
        >>> ms.training.Sigmoid(0.0)(ms.FlowMatchEuler(), np.array([500.0])).round(4).tolist()
        [0.125]
    """

    bias: float = 0.0

    def __post_init__(self) -> None:
        check_options(self)
        if not abs(self.bias) <= 80:
            raise ScheduleError(f"bias must be in [-80, 80]; given {self.bias!r}.")

    @property
    def _gamma(self) -> float:  # type: ignore[override]
        return math.exp(self.bias)


@dataclass(frozen=True)
class P2(Weight):
    """1 / (k + SNR)^gamma of the noise's error (Choi et al. 2022, arXiv 2204.00227).

    Args:
        k: 1 in the paper.
        gamma: 0.5 or 1 in the paper; 0 is `Constant("epsilon")`.

    Example:
        >>> ms.training.P2(k=1.0, gamma=1.0)(ms.DDPM(), np.array([0, 500])).round(4).tolist()
        [0.0001, 0.9222]
    """

    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("k",), not_negative=("gamma",))

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return (q / (self.k * q + p)) ** self.gamma

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        # The exponent of q is at hand, so that SNR * 0 at the clean sample is its limit.
        return p * q ** (self.gamma - 1) / (self.k * q + p) ** self.gamma


@dataclass(frozen=True)
class EDM(Weight):
    """(sigma^2 + sigma_data^2) / (sigma * sigma_data)^2 of x0's error where alpha = 1: SNR + 1 / sigma_data^2 (Karras
    et al. 2022, arXiv 2206.00364, table 1). Of EDM's own network it is 1.

    Args:
        sigma_data: standard deviation of the data, above 0.

    Example:
        >>> ms.training.EDM(0.5)(ms.EDMEuler(), ms.EDMEuler().plan(3).timesteps).round(4).tolist()
        [1.0, 1.0, 1.0]
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        check_options(self, positive=("sigma_data",))

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return 1 + q / p / self.sigma_data**2

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        return p + q / self.sigma_data**2

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return p / q + 1 / self.sigma_data**2


@dataclass(frozen=True)
class Debiased(Weight):
    """1 / sqrt(SNR) of the noise's error (Yu et al. 2023, arXiv 2310.08442).

    Example:
        >>> ms.training.Debiased()(ms.DDPM(), np.array([0, 500])).round(4).tolist()
        [0.01, 3.443]
    """

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.sqrt(q / p)

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.sqrt(p * q)

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return xp.sqrt(p / q)


@dataclass(frozen=True)
class ByDensity(Weight):
    """pdf(t) of the flow's squared error, t = sigma / (alpha + sigma): times drawn evenly, as if from a density.
    It is w_t = t / (1 - t) * pdf(t) of the losses of Esser et al. 2024 (arXiv 2403.03206, section 3.1).

    Args:
        density: of a time, such as `LogitNormal`, `Mode` or `CosMap`.

    Example:
        >>> weight = ms.training.ByDensity(ms.training.LogitNormal())
        >>> weight(ms.FlowMatchEuler(), np.array([100.0, 500.0])).round(4).tolist()
        [0.3966, 1.5958]
    """

    density: Density = field(default_factory=CosMap)

    def __post_init__(self) -> None:
        if not isinstance(self.density, Density) or self.density.of != "time":
            raise ScheduleError(f"density must be a density of a time, such as CosMap(); given {shown(self.density)}.")

    def _pdf(self, xp: Any, p: Any, q: Any) -> Any:
        sigma, alpha = xp.sqrt(q), xp.sqrt(p)
        return self.density.pdf(sigma / (alpha + sigma))

    def of_noise(self, xp: Any, p: Any, q: Any) -> Any:
        return self.of_v(xp, p, q) / p

    def of_v(self, xp: Any, p: Any, q: Any) -> Any:
        """v's determinant is 1 where alpha^2 + sigma^2 = 1, the flow's alpha + sigma."""
        return self._pdf(xp, p, q) * (xp.sqrt(p) + xp.sqrt(q)) ** 2

    def of_x0(self, xp: Any, p: Any, q: Any) -> Any:
        return self.of_v(xp, p, q) / q
