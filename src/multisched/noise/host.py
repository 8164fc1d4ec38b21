"""Noise drawn on the host: the same numbers on every backend, for every batch size and order of work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import check_place, check_seed, keys
from multisched.noise.base import UNIT, Ids, NoiseSource, Shape, Source
from multisched.noise.words import blocks, normals
from multisched.values import shown


@dataclass(frozen=True)
class Seeded(Source):
    """A source with a seed.

    Args:
        seed: a whole number in 0..2^64 - 1, or a sequence of them, one per sample; sample k of a batch is then sample 0
            of the k-th seed.

    Raises:
        ScheduleError: if the seed is another kind of value, or the batch has another size than there are seeds.
    """

    seed: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))

    def uniform_on(
        self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape
    ) -> Any:
        """(w + 1/2) / 2^23 of the 23 high bits w of each word: the same numbers on every backend."""
        self.check_host(step, draw)
        words = HostNoise(self.seed).words(sample_ids, int(step), int(draw), math.prod(shape))
        drawn = ((words >> 9).astype(np.float32) + np.float32(0.5)) * np.float32(UNIT)
        return backend.asarray(drawn.reshape((len(sample_ids), *shape)), "float32", device)

    def check_batch(self, samples: int) -> None:
        if isinstance(self.seed, tuple) and len(self.seed) != samples:
            raise ScheduleError(f"{len(self.seed)} seeds are given, one per sample; the batch has {samples}.")


@dataclass(frozen=True)
class HostNoise(Seeded):
    """Counter-based noise of the host: Philox-4x32-10 words by address, Box-Muller in float64, rounded to float32 once.

    The bits are the same on every machine. Uniforms have 24 bits, which `PhiloxNoise` shares; no normal exceeds 5.9.

    Takes the arguments of `Seeded`.

    Example:
        >>> z = ms.noise.HostNoise(0).normal([0, 1], step=3, draw=0, shape=(2,))
        >>> again = ms.noise.HostNoise(0).normal([1], step=3, draw=0, shape=(2,))
        >>> z.shape, z.dtype.name, bool(np.all(z[1] == again[0]))
        ((2, 2), 'float32', True)
    """

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        check_place(step, draw)
        return drawn(*keys(self.seed, sample_ids), step + 1, draw, shape)

    def words(self, sample_ids: Ids, step: int, draw: int, count: int) -> np.ndarray:
        """The words themselves: uint32 (samples, count), of the first blocks of each sample."""
        check_place(step, draw)
        seeds, samples = keys(self.seed, sample_ids)
        size = -(-count // 4)
        out = np.empty((len(samples) * size, 4), np.uint32)
        for place, words in blocks(seeds, samples, step + 1, draw, size):
            for column, word in enumerate(words):
                out[place, column] = word
        return out.reshape(len(samples), -1)[:, :count]


def source(rng: Any) -> NoiseSource:
    """The noise source that `rng=` stands for.

    Args:
        rng: a seed, a sequence of seeds (one per sample), a NumPy Generator (it gives a seed), a key of JAX or MLX or a
            torch.Generator (`FrameworkNoise`), or a source as it is.

    Raises:
        ScheduleError: if it is anything else, or a seed is none.

    Example:
        >>> type(ms.noise.source(7)).__name__, type(ms.noise.source(np.random.default_rng(0))).__name__
        ('HostNoise', 'HostNoise')
    """
    if isinstance(rng, np.random.Generator):
        return HostNoise(int(rng.integers(2**63)))
    if isinstance(rng, (int, np.integer, list, tuple, range)) or (isinstance(rng, np.ndarray) and rng.ndim == 1):
        return HostNoise(rng)  # type: ignore[arg-type]  # which makes a tuple of a sequence
    if hasattr(rng, "normal") and not isinstance(rng, (np.random.RandomState, ModuleType)):
        found: NoiseSource = rng
        return found
    if backends.of_random(rng) is not None:
        from multisched.noise.framework import FrameworkNoise  # which is a source itself

        return FrameworkNoise(rng)
    raise ScheduleError(
        "rng must be a seed, a noise source or a numpy Generator, a sequence of seeds, a key of JAX or MLX or a "
        f"torch.Generator; given {shown(rng)}."
    )


def drawn(
    seeds: Sequence[int], samples: Sequence[int], third: int | Sequence[int], fourth: int, shape: Shape
) -> np.ndarray:
    """float32 normals (samples, *shape) whose counters end in the words `third`, which may be one per sample, and
    `fourth`."""
    size = math.prod(shape)
    per_sample = -(-size // 4)
    out = np.empty((len(samples) * per_sample, 4), np.float32)
    for place, words in blocks(seeds, samples, third, fourth, per_sample):
        normals(words, out[place])
    whole = out.reshape(len(samples), per_sample * 4)
    return np.ascontiguousarray(whole[:, :size]).reshape((len(samples), *shape))
