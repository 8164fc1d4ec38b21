"""Two other changes of classifier-free guidance, which diffusers has guiders for."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Scaled, changed, split_numbers
from multisched.guidance.level import On
from multisched.guidance.vectors import dot, norm, ratio, root


@dataclass(frozen=True, eq=False, repr=False)
class Tangential(Scaled):
    """Tangential damping (Kwon et al. 2025, arXiv 2503.18137): of the unconditional output only what lies along the
    first right singular vector of the two outputs is kept.

        output = kept + scale * (conditional - kept)

    The vector is that of the larger eigenvalue l of the matrix of dot products [[cc, cu], [cu, uu]], in closed form:
    with r = sqrt((cc - uu)^2 + 4 cu^2), l = (cc + uu + r) / 2 and unit eigenvector (p, q),
    kept = (p * cu + q * uu) / l * (p * conditional + q * unconditional).

    Args:
        scale: 1 is no guidance; a number, one for each sample, or a function of the level.
        on: the quantity that the formula is applied to.

    Raises:
        ScheduleError: as `cfg`.

    Example:
        >>> ms.guidance.tangential(4.0)
        tangential(4.0)
    """

    on: On = "output"

    name: ClassVar[str] = "tangential"

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional")

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        (scale, weights), backend = split_numbers(call, numbers), call.backend
        c, u = (call.quantity(call.outputs[one], weights) for one in self.branches)
        cc, cu, uu = dot(backend, c, c), dot(backend, c, u), dot(backend, u, u)
        r = root(backend, (cc - uu) * (cc - uu) + 4.0 * cu * cu)
        cosine, sine = ratio(backend, cc - uu, r), ratio(backend, 2.0 * cu, r)
        pp, qq, pq = 0.5 * (1.0 + cosine), 0.5 * (1.0 - cosine), 0.5 * sine
        over = ratio(backend, 2.0 + 0.0 * r, cc + uu + r)
        kept = over * (pp * cu + pq * uu) * c + over * (pq * cu + qq * uu) * u
        return made + changed(call, (scale - 1.0) * (c - kept), weights), memory


@dataclass(frozen=True, eq=False, repr=False)
class MagnitudeAware(Scaled):
    """A scale that falls with the size of the change (MAMBO-G, arXiv 2508.03442).

        w      = 1 + (scale - 1) * exp(-damping * |conditional - unconditional| / |unconditional|),   of each sample
        output = unconditional + w * (conditional - unconditional)

    Args:
        scale: 1 is no guidance; a number, one for each sample, or a function of the level.
        damping: the paper's alpha; 0 is `cfg`.
        on: the quantity that the norms are of.

    Raises:
        ScheduleError: as `cfg`, or if the damping is negative.

    Example:
        >>> ms.guidance.magnitude_aware(4.0)
        magnitude_aware(4.0)
    """

    damping: float = 8.0
    on: On = "output"

    name: ClassVar[str] = "magnitude_aware"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.damping < math.inf:
            raise ScheduleError(f"damping must be a finite number >= 0; given {self.damping!r}.")

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional")

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        (scale, weights), backend = split_numbers(call, numbers), call.backend
        c, u = (call.quantity(call.outputs[one], weights) for one in self.branches)
        size = ratio(backend, norm(backend, c - u), norm(backend, u), math.inf)
        w = (scale - 1.0) * backend.xp.exp(-self.damping * size) if self.damping else scale - 1.0
        return made + w * (call.outputs[FIRST] - call.outputs["unconditional"]), memory


tangential = Tangential
magnitude_aware = MagnitudeAware
