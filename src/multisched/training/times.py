"""What a density of training times is."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from multisched import backends, noise
from multisched.errors import ScheduleError
from multisched.paths.straight import shift
from multisched.schedulers import Recipe
from multisched.schedulers.forward import made
from multisched.spacings.change import Shift
from multisched.values import check_options, option, real, shown

Spread = Literal["independent", "low_discrepancy", "stratified"]
END = 2.0**-24
SPREADS = ("independent", "low_discrepancy", "stratified")


class Density(ABC):
    """A law of training times: frozen, hashable, of no backend.

    Attributes:
        of: what is drawn. "time": a share t in (0, 1) of the training time, from the cleanest; on the straight path t
            is sigma. "ratio": k = sigma / alpha, above 0.

    Example:
        >>> isinstance(ms.training.Uniform(), ms.training.Density)
        True
    """

    of: ClassVar[Literal["time", "ratio"]] = "time"

    def quantile(self, u: Any) -> Any:
        """The value below which a share u of what is drawn lies: it maps unit uniforms to draws.

        Args:
            u: in (0, 1): numbers, a list or a NumPy array; or an array of another library, which is not read.

        Returns:
            Shaped as u: float64 NumPy, or an array of that library in its dtype.

        Raises:
            ScheduleError: if u is no number, or one of the host outside (0, 1).
        """
        xp, values = _numbers("u", u)
        if xp is np and not np.all((values > 0) & (values < 1)):
            raise ScheduleError(f"u must lie in (0, 1); given {shown(u)}.")
        return self._quantile(xp, values)

    def pdf(self, values: Any) -> Any:
        """The density at values, for weights such as wanted.pdf(t) / used.pdf(t). Arguments and result as of
        `quantile`; 0 outside of what is drawn.

        Raises:
            ScheduleError: if values are no numbers.
        """
        xp, values = _numbers("values", values)
        top = 1.0 if self.of == "time" else math.inf
        inside = (values >= 0) & (values <= top) & (values < math.inf)
        # At the ends formulas have limits, which are those a little within.
        some = xp.ones_like(values)
        end = xp.where(values > 0.5, some - END, some * END)
        safe = xp.where((values > 0) & (values < top), values, end)
        return xp.where(inside, self._pdf(xp, safe), 0.0 * safe)

    @abstractmethod
    def _quantile(self, xp: Any, u: Any) -> Any: ...

    @abstractmethod
    def _pdf(self, xp: Any, values: Any) -> Any: ...

    def shifted(self, by: Any) -> "Shifted":
        """This density with sigma / alpha times a factor, see `Shifted`.

        Args:
            by: the factor, or a `spacings.Shift`, whose factor is taken. `resolution_shift(tokens, base)` is that of a
                resolution, and exp(recipe.mu(tokens)) that of a recipe with a dynamic shift.
        """
        return Shifted(self, by.factor if isinstance(by, Shift) else by)

    def draw(
        self,
        shape: tuple[int, ...],
        rng: Any = 0,
        step: Any = 0,
        spread: Spread = "independent",
        backend: Any = "numpy",
        device: Any = None,
        dtype: Any = None,
    ) -> Any:
        """Draws by address: of a seed the same numbers on every backend, computed in float64 on the host and rounded
        once. With `noise.PhiloxNoise` or a key they are computed on the device, also inside jit.

        Args:
            shape: (samples,), (samples, frames) and so on; sample k has the same draws in any batch that is
                independent.
            rng, backend, device, dtype: as of `noise.normal`.
            step: number of the training step. With `noise.PhiloxNoise` or a key it may be a traced integer array.
            spread: "independent"; "low_discrepancy", where sample i of n has u = (u0 + i / n) mod 1 (Kingma et al.
                2021, arXiv 2107.00630, appendix I.1), with a u0 for each frame or token; "stratified", where it has
                u = (i + u_i) / n.

        Raises:
            ScheduleError: as `noise.uniform`, or if the spread is another.

        Example:
            >>> density = ms.training.LogitNormal().shifted(3.0)
            >>> density.draw((4,), rng=0, spread="stratified").astype(float).round(3).tolist()
            [0.39, 0.625, 0.791, 0.98]
        """
        return self._placed(lambda one: one, shape, rng, step, spread, backend, device, dtype)

    def timesteps(
        self,
        recipe: Recipe,
        shape: tuple[int, ...],
        rng: Any = 0,
        step: Any = 0,
        spread: Spread = "independent",
        backend: Any = "numpy",
        device: Any = None,
        dtype: Any = None,
    ) -> Any:
        """Draws as timesteps of a recipe, to be passed to the model, `recipe.add_noise` and `recipe.target`.

        A share t of the training time is T t on the straight path, and the whole timestep floor(T t) on a discrete
        one; levels of `VarianceExploding` are even in log(sigma). A ratio is the timestep where sigma / alpha has it.

        Args:
            recipe: of the model.
            shape, rng, step, spread, backend, device, dtype: as of `draw`.

        Raises:
            ScheduleError: as `draw`.

        Example:
            >>> recipe = ms.FlowMatchEuler()
            >>> t = ms.training.Uniform().timesteps(recipe, (4,), rng=0)
            >>> x0, noise = ms.noise.normal((4, 8), rng=1), ms.noise.normal((4, 8), rng=2)
            >>> recipe.add_noise(x0, noise, t).shape
            (4, 8)
        """
        return self._placed(lambda one: self.place(recipe, one), shape, rng, step, spread, backend, device, dtype)

    def place(self, recipe: Recipe, values: Any) -> Any:
        """The timesteps of a recipe at given values of this density, as `timesteps` has them."""
        if not isinstance(recipe, Recipe):
            raise ScheduleError(f"recipe must be a recipe, such as ms.FlowMatchEuler(); given {shown(recipe)}.")
        path = made(recipe).path
        return path.time_of(values) if self.of == "time" else path.point(values).timestep

    def _placed(
        self, rule: Any, shape: Any, rng: Any, step: Any, spread: Any, backend: Any, device: Any, dtype: Any
    ) -> Any:
        option("spread", spread, SPREADS)
        found, origin = backends.resolve(backend), noise.source(rng)
        narrow = "float32" if dtype is None else dtype
        found.compute_dtype(found.dtype(narrow))
        on_device = getattr(origin, "on_device", False)
        u = noise.uniform(
            shape, origin, step, backend=found if on_device else "numpy", device=device if on_device else None
        )
        if not on_device or found.name == "numpy":
            u = np.asarray(u, np.float64)
        drawn = rule(self._quantile(np if isinstance(u, np.ndarray) else found.xp, _spread(u, spread)))
        if isinstance(drawn, np.ndarray):
            return found.asarray(drawn, narrow, device)
        return found.astype(drawn, found.dtype(narrow))


def _spread(u: Any, spread: str) -> Any:
    """Uniforms of samples that share out the unit interval."""
    if spread == "independent":
        return u
    backend, samples = backends.of(u), u.shape[0]
    place = np.arange(samples).reshape(-1, *(1,) * (len(u.shape) - 1))
    if spread == "stratified":
        place = backend.asarray(place, u.dtype, backend.device(u))
        return backend.xp.clip((u + place) / samples, noise.base.UNIT / 2, 1 - noise.base.UNIT / 2)
    moved = u[:1, ...] + backend.asarray(place / samples, u.dtype, backend.device(u))
    return backend.xp.clip(moved - backend.xp.floor(moved), noise.base.UNIT / 2, 1 - noise.base.UNIT / 2)


def _numbers(name: str, values: Any) -> tuple[Any, Any]:
    """(namespace, array): float64 of the host, or an array of another library."""
    if hasattr(values, "dtype") and not isinstance(values, (np.ndarray, np.generic)):
        backend = backends.of(values)
        backend.compute_dtype(values.dtype)
        return backend.xp, values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise ScheduleError(f"{name} must be numbers; given {shown(values)}.")
    return np, array.astype(np.float64)


@dataclass(frozen=True)
class Shifted(Density):
    """Another density with its ratio times a factor, or its time t moved to

        factor * t / (1 + (factor - 1) * t)       (Esser et al. 2024, arXiv 2403.03206, eq. 23)

    which on the straight path is the same.

    Args:
        density: the other.
        factor: above 1 for more noise; `resolution_shift` is that of a resolution.

    Raises:
        ScheduleError: if it is no density, or the factor is not positive.

    Example:
        >>> ms.training.Shifted(ms.training.Uniform(), 3.0).quantile(np.array([0.5])).round(3).tolist()
        [0.75]
    """

    density: Density
    factor: float

    def __post_init__(self) -> None:
        if not isinstance(self.density, Density):
            raise ScheduleError(f"density must be a density of ms.training; given {shown(self.density)}.")
        check_options(self, positive=("factor",))

    @property
    def of(self) -> Literal["time", "ratio"]:  # type: ignore[override]
        return self.density.of

    def _quantile(self, xp: Any, u: Any) -> Any:
        value = self.density._quantile(xp, u)
        return shift(value, self.factor) if self.of == "time" else value * self.factor

    def _pdf(self, xp: Any, values: Any) -> Any:
        if self.of == "ratio":
            return self.density._pdf(xp, values / self.factor) / self.factor
        before = values + self.factor * (1 - values)
        return self.density._pdf(xp, values / before) * self.factor / (before * before)


def resolution_shift(tokens: float, base: float) -> float:
    """The factor sqrt(tokens / base) of a resolution, where levels of an image of `base` pixels or tokens are those of
    one of `tokens` (Esser et al. 2024, arXiv 2403.03206, eq. 23).

    Args:
        tokens: of an image.
        base: tokens of the images that no shift is for.

    Raises:
        ScheduleError: if a number is not positive.

    Example:
        >>> ms.training.resolution_shift(tokens=4096, base=1024)
        2.0
    """
    given = {"tokens": real("tokens", tokens), "base": real("base", base)}
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise ScheduleError(f"{name} must be a positive number; given {value!r}.")
    return math.sqrt(given["tokens"] / given["base"])
