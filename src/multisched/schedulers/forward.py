"""The forward process of a recipe: levels, noised samples and training targets, for timesteps of any shape."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from multisched import backends
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path
from multisched.predictions import Prediction
from multisched.solvers import Solver
from multisched.spacings.base import Asked, Spacing
from multisched.table.kernel import mix
from multisched.transforms import Transform
from multisched.values import shown

Rule = Callable[[Any, Any], tuple[Any, Any]]
"""(alpha, sigma) -> the weights (a, b) of a * x0 + b * noise."""


class Parts(NamedTuple):
    """What a recipe is made of.

    Attributes:
        path: the levels.
        spacing: where the steps of a run stand.
        prediction: what the model's output means.
        solver: the update.
        output_transform, denoised_transform: changes made to the output and to the estimate of x0, or None.
        told: None, or (grid, asked) -> the timesteps of its steps (steps,) in place of the grid's own; or those of each
            call of a step, (steps, calls), NaN where they stay.
        absolute: whether a run that starts in mid-schedule takes the rows that the whole schedule has there, though its
            memory holds nothing. It begins anew otherwise, with the order that a first step has.

    Example:
        >>> parts = ms.FlowMatchEuler(shift=3.0).parts()
        >>> parts.solver == ms.solvers.Euler(), parts.prediction.name
        (True, 'flow_prediction')
    """

    path: Path
    spacing: Spacing
    prediction: Prediction
    solver: Solver
    output_transform: Transform | None = None
    denoised_transform: Transform | None = None
    told: Callable[[Grid, Asked], Any] | None = None
    absolute: bool = False

    def grid(self, n: int | None = None, **asked: Any) -> Grid:
        """The grid of a run of n steps, or of what else is asked for: timesteps=, sigmas=, ratios=, mu=."""
        return self.spacing.grid(self.path, Asked(n, **asked))


class Forward(ABC):
    """What a recipe says of training: pure functions of timesteps, which may be compiled, scanned and differentiated.

    Timesteps are a number, a (nested) list of numbers, or an array. Of shape () or (1,) they are those of all samples;
    (samples,) is one per sample; a shape of more axes is matched from the left, (samples, frames) or (1, frames) for
    samples (samples, frames, ...), or has all axes of the samples, as (samples, 1, tokens). The values of numbers,
    lists and NumPy arrays are checked; those of arrays on devices are not read.
    """

    @abstractmethod
    def parts(self) -> Parts:
        """The parts that the options stand for."""

    @cached_property
    def _made(self) -> Parts:
        return self.parts()

    def levels(self, timesteps: Any) -> tuple[Any, Any]:
        """(alpha, sigma) of x = alpha * x0 + sigma * noise at timesteps.

        Args:
            timesteps: see `Forward`.

        Returns:
            Two arrays shaped as the timesteps: float64 NumPy for numbers, lists and NumPy arrays, else of their library
            and on their device, in float64 if they are, else in float32.

        Raises:
            ScheduleError: if timesteps are no numbers, or numbers of the host outside the path.
        """
        values, backend = _placed(timesteps)
        found: tuple[Any, Any] = self._made.path.levels(values, backend)
        return found

    def snr(self, timesteps: Any) -> Any:
        """The signal-to-noise ratio (alpha / sigma)^2 at timesteps: 0 at zero terminal SNR, so that a weight such as
        min(snr, 5) / (snr + 1) is 0 there; infinite at sigma = 0. Arguments, arrays and errors as of `levels`."""
        alpha, sigma = self.levels(timesteps)
        xp = np if isinstance(sigma, (np.ndarray, np.generic)) else backends.of(sigma).xp
        with np.errstate(over="ignore"):
            ratio = alpha / xp.where(sigma == 0, xp.ones_like(sigma), sigma)
            return xp.where(sigma == 0, xp.full_like(sigma, np.inf), ratio * ratio)

    def add_noise(self, sample: B, noise: B, timesteps: Any) -> B:
        """The forward process alpha_t * sample + sigma_t * noise.

        Args:
            sample, noise: floating arrays of one library and shape (samples, ...).
            timesteps: see `Forward`; numbers, lists, NumPy arrays, or an array of the samples' library.

        Returns:
            An array shaped and typed as `sample`.

        Raises:
            ScheduleError: if arrays do not go together, timesteps are of no shape named there or could be read in two
                ways, or numbers of the host lie outside the path.
        """
        return mixed(self, sample, noise, timesteps, lambda alpha, sigma: (alpha, sigma))

    def target(self, x0: B, noise: B, timesteps: Any) -> B:
        """The training target: the output that a perfect model of the recipe's prediction type gives where it sees the
        sample x0 noised to the timesteps.

        Of a model that also returns a variance, it is the target of the first half of its output; of `Piflow`'s, that
        of each of its parts; of `CMStochasticIterative`'s, the output for which the consistency function is x0.
        Arguments, result and errors as of `add_noise`.

        Raises:
            ScheduleError: if the target is not finite at a timestep of the host, as the score at sigma = 0.
        """
        path, _, prediction, solver, *_ = self._made

        def weights(alpha: Any, sigma: Any) -> tuple[Any, Any]:
            return solver.target(prediction, alpha, sigma, path.scale(alpha, sigma))

        return mixed(self, x0, noise, timesteps, weights)

    def get_velocity(self, sample: B, noise: B, timesteps: Any) -> B:
        """The velocity of the path. Arguments and result as of `add_noise`.

        On variance-preserving paths the v target alpha_t * noise - sigma_t * sample (arXiv 2202.00512, appendix D), for
        recipes on x0 + sigma * noise that of what the model sees; on TrigFlow with its data deviation (arXiv
        2410.11081, eq. 4); on straight paths noise - sample (arXiv 2209.03003, eq. 1).

        Raises:
            ScheduleError: as `add_noise`, or if the path is of neither kind; `target` is the recipe's own.
        """
        path = self._made.path

        def weights(alpha: Any, sigma: Any) -> tuple[Any, Any]:
            found = path.velocity(alpha, sigma)
            if found is None:
                raise ScheduleError(
                    f"the path of {type(self).__name__} is neither straight nor variance preserving, so it has no "
                    "velocity target; target(x0, noise, timesteps) is that of its own prediction."
                )
            return found

        return mixed(self, sample, noise, timesteps, weights)


def made(recipe: Forward) -> Parts:
    """The parts of a recipe, as its quirks have changed them."""
    return recipe._made


@np.errstate(over="ignore")  # a sample may be infinite, as may what it makes
def mixed(recipe: Forward, sample: B, noise: B, timesteps: Any, rule: Rule) -> B:
    """a * sample + b * noise with the weights that a rule has for the levels."""
    backend = backends.of(sample)
    dtype: Any = backend.compute_dtype(sample.dtype)
    values, on = _placed(timesteps, backend)
    shape, device = aligned(tuple(values.shape), tuple(sample.shape)), backend.device(sample)
    with np.errstate(all="ignore"):
        pair = rule(*recipe._made.path.levels(values, on))
    if on is not None:
        a, b = (one if isinstance(one, float) else _moved(backend, one, dtype, shape, device) for one in pair)
        return mix(a, sample, b, noise)
    if not all(np.all(np.isfinite(one)) for one in pair):
        raise ScheduleError(f"what is asked for is not finite at timesteps {shown(timesteps)}.")
    if values.size == 1:
        a, b = (float(np.reshape(one, ())) for one in pair)
        return mix(a, sample, b, noise)
    wide = (np.reshape(np.broadcast_to(one, values.shape), shape) for one in pair)
    a, b = (backend.asarray(one, dtype, device) for one in wide)
    return mix(a, sample, b, noise)


def _placed(timesteps: Any, wanted: Any = None) -> tuple[Any, Any]:
    """Timesteps as an array, and the backend of one that is not the host's: else float64 of NumPy, and None."""
    if hasattr(timesteps, "shape") and not isinstance(timesteps, (np.ndarray, np.generic)):
        backend = backends.of(timesteps)
        if wanted is not None and backend is not wanted:
            raise ScheduleError(f"timesteps are an array of {backend.name}, the sample of {wanted.name}.")
        name = str(timesteps.dtype).rpartition(".")[2]
        if not name.startswith(("int", "uint", "float", "bfloat")):
            raise ScheduleError(f"timesteps must be numbers; given an array of {name}.")
        wide = name in ("float32", "float64")
        return timesteps if wide else backend.astype(timesteps, backend.dtype("float32")), backend
    try:
        array = np.asarray(timesteps)
        known = array.dtype.kind in "iuf"
    except (TypeError, ValueError, RuntimeError):
        known = False
    if not known:
        raise ScheduleError(f"timesteps must be a number, a list of numbers or an array; given {shown(timesteps)}.")
    with np.errstate(over="ignore"):
        return array.astype(np.float64), None


def _moved(backend: Any, weight: Any, dtype: Any, shape: tuple[int, ...], device: Any) -> Any:
    found = backend.xp.reshape(backend.astype(weight, dtype), shape)
    here = backend.device(found)
    if device is None or here is None or here == device:
        return found
    try:
        return backend.asarray(found, dtype, device)
    except (RuntimeError, ValueError):
        raise ScheduleError(f"timesteps lie on {backend.device(found)}, the sample on {device}.") from None


def aligned(shape: tuple[int, ...], sample: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, of as many axes as the samples, that timesteps of a shape stand for.

    Raises:
        ScheduleError: if they do not fit, or fit in two ways.
    """
    axes = range(len(shape))
    if shape in ((), (1,)):
        return (1,) * len(sample)
    if len(shape) > len(sample) or any(shape[k] not in (1, sample[k]) for k in axes):
        raise ScheduleError(f"timesteps of shape {shape} do not fit samples of shape {sample}: {_readings(sample)}.")
    found = (*shape, *(1,) * (len(sample) - len(shape)))
    for k in axes[1:] if len(shape) < len(sample) else ():
        later = [j for j in range(k + 1, len(sample)) if sample[j] == shape[k] != 1]
        if later:
            other = tuple(shape[k] if j == later[0] else 1 if j == k else size for j, size in enumerate(found))
            raise ScheduleError(
                f"timesteps {shape} for samples {sample} could mean {found} or {other}; give all {len(sample)} axes."
            )
    return found


def _readings(sample: tuple[int, ...]) -> str:
    if not sample:
        return "give one number"
    if len(sample) == 1:
        return f"one per sample is ({sample[0]},)"
    frames = f"one per frame of each (1, {sample[1]}) or ({sample[0]}, {sample[1]})"
    return f"one per sample is ({sample[0]},), {frames}, any other has {len(sample)} axes"
