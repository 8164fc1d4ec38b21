"""Noise of the framework's own generator."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import check_place, keys
from multisched.noise.base import Ids, Shape
from multisched.noise.host import Seeded


@dataclass(frozen=True)
class NativeNoise(Seeded):
    """The generator of the sample's own library, seeded anew for each (seed, sample, step, draw).

    Fast on a device, and it promises what the library promises: other numbers on another library, and maybe on another
    device or version of it. Images still do not depend on the batch, its order or where a run is resumed. The library's
    seed is a hash (BLAKE2b) of the address, cut to 63 bits, so that two addresses may in principle meet.

    Takes the arguments of `Seeded`.

    Example:
        >>> z = ms.noise.draw(ms.noise.NativeNoise(0), 0, (0,), np.zeros((2, 3), np.float32))[0]
        >>> z.shape, z.dtype.name
        ((2, 3), 'float32')
    """

    on_device = True

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        return np.asarray(self.normal_on(backends.get("numpy"), None, sample_ids, step, draw, shape))

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        check_place(step, draw)
        if not all(isinstance(number, (int, np.integer)) for number in (step, draw)):
            raise ScheduleError(
                "NativeNoise is seeded on the host, where a traced step is not known: take PhiloxNoise."
            )
        if not len(sample_ids):
            return backend.asarray(np.zeros((0, *shape), np.float32), "float32", device)
        seeds = (_hashed(*key, step, draw) for key in zip(*keys(self.seed, sample_ids), strict=True))
        return backend.xp.stack([backend.normal(shape, seed, "float32", device) for seed in seeds])


def _hashed(*address: int) -> int:
    words = b"".join(int(word).to_bytes(8, "little", signed=word < 0) for word in address)
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little") >> 1
