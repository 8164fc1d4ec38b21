"""Recipes on the straight path: those of flow matching, which share their options, and some with grids or solvers of
their own. ACE-Step (Gong et al. 2025, arXiv 2506.00045) samples with `FlowMatchEuler`, `FlowMatchHeun` and
`FlowMatchPingPong`."""

import math
from dataclasses import dataclass

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.paths.straight import Exploding, Straight
from multisched.predictions import Opposite, Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import spacing_of_sigmas
from multisched.spacings.base import Chain, DynamicShift, End, Link, TimeShift
from multisched.spacings.change import Respace, Shift, Terminal
from multisched.spacings.placement import Even
from multisched.transforms import MeanShift, Over, Transform
from multisched.values import TRAINING_TIMESTEPS, check_options, shown


@dataclass(frozen=True, repr=False)
class FlowMatch(Recipe):
    """Options of flow matching, under diffusers' names.

    Args:
        num_train_timesteps: T; T * sigma is passed to the model.
        shift: factor of `spacings.Shift`.
        sigma_max: the level that a run begins at, in [1 / T, 1].
        use_dynamic_shifting: whether each run is shifted by a `mu` of its own instead.
        time_shift_type: "exponential" or "linear", see `spacings.DynamicShift`.
        shift_terminal: the last level before 0 that the grid is stretched to (`spacings.Terminal`), or None.
        base_shift: `mu` at base_image_seq_len.
        max_shift: `mu` at max_image_seq_len.
        base_image_seq_len: tokens of an image.
        max_image_seq_len: tokens of another.
        invert_sigmas: whether T * (1 - sigma) is passed to the model, which answers with x0 - noise.
        use_karras_sigmas: even in sigma^(1/7).
        use_exponential_sigmas: even in log(sigma).
        use_beta_sigmas: quantiles of a Beta(0.6, 0.6) law.
        spaced_min: the last of levels of such a spacing; None for the last of the run.
        spaced_max: the first of them; None for the first of the run. Above 1 the path is x0 + sigma * noise, and the
            model returns the noise (under `invert_sigmas` its opposite).

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    sigma_max: float = 1.0
    use_dynamic_shifting: bool = False
    time_shift_type: TimeShift = "exponential"
    shift_terminal: float | None = None
    base_shift: float | None = 0.5
    max_shift: float | None = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    invert_sigmas: bool = False
    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    spaced_min: float | None = None
    spaced_max: float | None = None

    def mu(self, image_seq_len: int) -> float:
        """The dynamic shift `mu` of a run on images of so many tokens, as the pipelines of FLUX.1 choose it: on the
        line through base_shift at base_image_seq_len and max_shift at max_image_seq_len.

        Raises:
            ScheduleError: these options make no line.
        """
        run = self.max_image_seq_len - self.base_image_seq_len
        if self.base_shift is None or self.max_shift is None or not run:
            raise ScheduleError("mu needs a base_shift and a max_shift, at two different lengths.")
        slope = (self.max_shift - self.base_shift) / run
        return self.base_shift + slope * (image_seq_len - self.base_image_seq_len)

    def _flow(self, solver: solvers.Solver, change: Transform | None = None) -> Parts:
        """The parts, with a solver and a change of the model's output."""
        check_options(self, positive=("shift",), counts={"num_train_timesteps": TRAINING_TIMESTEPS})
        total, kind = self.num_train_timesteps, spacing_of_sigmas(self)
        if not 1 / total <= self.sigma_max <= 1:
            raise ScheduleError(f"sigma_max must be in [1 / num_train_timesteps, 1]; given {self.sigma_max!r}.")
        beyond = kind is not None and self.spaced_max is not None and self.spaced_max > 1
        for name in ("spaced_min", "spaced_max") if kind is not None else ():
            end, most = getattr(self, name), 1e6 if beyond else 1.0
            if end is not None and not 0 < end <= most:
                raise ScheduleError(f"{name} must be in (0, {most:g}] or None; given {end!r}.")
        links: list[Link] = [Even(self.sigma_max)]
        links += [DynamicShift(self.time_shift_type) if self.use_dynamic_shifting else Shift(self.shift)]
        links += [] if self.shift_terminal is None else [Terminal(self.shift_terminal)]
        links += [] if kind is None else [Respace(kind, self.spaced_max, self.spaced_min)]
        path = (Exploding if beyond else Straight)(total, self.invert_sigmas)
        if beyond:
            prediction = (Opposite if self.invert_sigmas else Prediction)("epsilon")
        else:
            prediction = Prediction("flow_to_data" if self.invert_sigmas else "flow_prediction")
        return Parts(path, Chain((*links, End())), prediction, solver, change)


@dataclass(frozen=True, repr=False)
class FlowMatchEuler(FlowMatch):
    """Euler steps on the flow's velocity, x + (sigma_next - sigma) * v; order 1.

    Args:
        stochastic_sampling: whether the noise is drawn anew in each step, which is `FlowMatchPingPong`.
        omega: ACE-Step's scaling of the velocity about its mean, 0 = none (see `transforms.MeanShift`).
        omega_mean: the mean is that of each "sample", or of the whole "batch" as in ACE-Step.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.FlowMatchEuler(shift=3.0).plan(4).sigmas.round(3).tolist()
        [1.0, 0.857, 0.601, 0.003, 0.0]
        >>> ms.FlowMatchEuler(use_dynamic_shifting=True).plan(4, mu=1.15).sigmas.round(3).tolist()
        [1.0, 0.863, 0.613, 0.003, 0.0]
    """

    stochastic_sampling: bool = False
    omega: float = 0.0
    omega_mean: Over = "sample"

    def parts(self) -> Parts:
        solver = solvers.PingPong() if self.stochastic_sampling else solvers.Euler()
        return self._flow(solver, _mean_shift(self.omega, self.omega_mean))


@dataclass(frozen=True, repr=False)
class FlowMatchHeun(FlowMatch):
    """Heun steps on the flow's velocity, two model calls a step and one on the last; order 2 without churn.

    Args:
        s_churn: noise added before each step, see `solvers.euler.Churn`.
        s_tmin: the lowest sigma at which it is added.
        s_tmax: the highest.
        s_noise: deviation of the noise added.
        omega: as for `FlowMatchEuler`, in both calls.
        omega_mean: as for `FlowMatchEuler`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.FlowMatchHeun(shift=3.0).plan(4)
        >>> len(plan), plan.order
        (7, 2)
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    omega: float = 0.0
    omega_mean: Over = "sample"

    def parts(self) -> Parts:
        solver = solvers.Heun(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)
        return self._flow(solver, _mean_shift(self.omega, self.omega_mean))


@dataclass(frozen=True, repr=False)
class FlowMatchPingPong(FlowMatch):
    """Denoise, then add fresh Gaussian noise: (1 - sigma_next) * x0 + sigma_next * z. For few-step models.

    Example:
        >>> plan = ms.FlowMatchPingPong().plan(4)
        >>> plan.sigmas.round(3).tolist(), plan.noise_draws
        ([1.0, 0.667, 0.334, 0.001, 0.0], 1)
    """

    def parts(self) -> Parts:
        return self._flow(solvers.PingPong())


@dataclass(frozen=True, repr=False)
class FlowMatchLCM(FlowMatch):
    """`FlowMatchPingPong`, under its name in diffusers.

    Args:
        scale_factors: None. x0 would be resized by them between steps, which leaves samples of another shape.

    Raises:
        ScheduleError: if scale_factors are given, or as `FlowMatchPingPong`.

    Example:
        >>> plan = ms.FlowMatchLCM().plan(4)
        >>> [plan.needs_noise(row) for row in range(4)]
        [True, True, True, False]
    """

    scale_factors: tuple[float, ...] | None = None

    def parts(self) -> Parts:
        if self.scale_factors is not None and not (isinstance(self.scale_factors, tuple) and not self.scale_factors):
            raise ScheduleError(
                f"scale_factors resize the sample between steps; give None, not {shown(self.scale_factors)}."
            )
        return self._flow(solvers.PingPong())


@dataclass(frozen=True, repr=False)
class LTXEulerAncestralRF(FlowMatch):
    """Ancestral Euler steps of rectified flow; order 1 at eta = 0.

    Args:
        eta: how much of the noise is drawn anew, see `solvers.AncestralRF`.
        s_noise: what it is multiplied with.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.LTXEulerAncestralRF(eta=1.0).plan(4)
        >>> plan.weak_order, [plan.needs_noise(row) for row in range(4)]
        (1, [True, True, True, False])
    """

    eta: float = 1.0
    s_noise: float = 1.0

    def parts(self) -> Parts:
        return self._flow(solvers.AncestralRF(self.eta, self.s_noise))


def _mean_shift(omega: float, mean: Over) -> Transform | None:
    change = MeanShift(omega, mean)
    return change if omega else None
