"""What `rng=` takes."""

from types import ModuleType
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.noise.base import NoiseSource
from multisched.noise.host import HostNoise


def source(rng: Any) -> NoiseSource:
    """The noise source that `rng` stands for.

    Args:
        rng: a seed, a sequence of seeds (one per sample), a NumPy Generator (which gives a seed), or a source, which is
            returned as it is.

    Raises:
        ScheduleError: anything else, or a seed that is none.
    """
    if isinstance(rng, np.random.Generator):
        return HostNoise(int(rng.integers(2**63)))
    if isinstance(rng, (int, np.integer, list, tuple, range)) or (isinstance(rng, np.ndarray) and rng.ndim == 1):
        return HostNoise(rng)  # type: ignore[arg-type]  # which makes a tuple of a sequence
    if hasattr(rng, "normal") and not isinstance(rng, (np.random.RandomState, ModuleType)):
        found: NoiseSource = rng
        return found
    raise ScheduleError(
        f"rng must be a seed, a noise source or a numpy Generator, or a sequence of seeds; given {type(rng).__name__}."
    )
