"""The numbers of torch.randn on a CUDA device, without the device."""

import math
from dataclasses import dataclass

import numpy as np

from multisched.errors import ScheduleError
from multisched.noise.addresses import START, check_place, keys
from multisched.noise.base import Ids, Shape
from multisched.noise.host import Seeded
from multisched.noise.words import rounds
from multisched.values import check_options


@dataclass(frozen=True)
class TorchCudaNoise(Seeded):
    """float32 torch.randn(shape, device="cuda") of a generator with this seed, on any backend.

    cuRAND's Philox-4x32-10 at offset n has, for thread k, key = seed and counter = (n, 0, k, 0). torch gives each
    element a thread of its own as long as all threads run at once, and takes the first of each thread's four normals,

        z = sqrt(-2 log u) * sin v,   u = w0 / 2^32 + 2^-33,   v = 2 pi (w1 / 2^32 + 2^-33)        in float32

    Each call moves the offset by one block. The starting noise is the first call of the generator, and draw d of
    step s the call 1 + s * calls + d, as in a loop that draws the noise of each step in turn. A batch is one call, so
    sample k begins at thread k * (elements of a sample); with a seed per sample, each is the only one of its generator.

    Values are taken in float64 where a device's log and sin are approximations of its own: they agree to about 1e-6.
    Checked against published numbers of real devices, not against a device.

    Args:
        seed: as `Seeded`.
        wave: elements of a batch that the GPU in mind serves in one wave, its multiprocessors times the threads that
            each holds: 40,960 on a T4, the least known. Of more, the numbers depend on the GPU and are refused.
        calls: normals that the loop draws per step.

    Raises:
        ScheduleError: if a wave or number of calls is below 1, the batch has more than `wave` elements, or a draw is
            beyond `calls`.

    Example:
        >>> z = ms.noise.normal((1, 2, 2), rng=ms.noise.TorchCudaNoise(0))
        >>> z.astype(float).round(4).tolist()  # of torch.randn(1, 2, 2, device="cuda") after torch.manual_seed(0)
        [[[-0.9247, -0.4253], [-2.6438, 0.1452]]]
    """

    wave: int = 40_960
    calls: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, counts={"wave": 1 << 32, "calls": 1 << 31})

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        check_place(step, draw)
        size = math.prod(shape)
        seeds, samples = keys(self.seed, sample_ids)
        threads = size * (max(samples, default=0) + 1)
        if threads > self.wave:
            raise ScheduleError(
                f"torch's CUDA numbers are the same on every GPU up to one wave of threads, {self.wave} elements of a "
                f"batch; here are {threads}: set wave= to what your GPU runs at once."
            )
        if draw >= (1 if step == START else self.calls):
            raise ScheduleError(
                f"calls={self.calls} draws a step are counted; this is draw {draw}: set calls= to more."
            )
        call = 0 if step == START else 1 + step * self.calls + draw
        out = np.empty((len(seeds), size), np.float32)
        for row, (seed, sample) in enumerate(zip(seeds, samples, strict=True)):
            thread = np.arange(sample * size, (sample + 1) * size, dtype=np.uint64)
            counter = (np.full_like(thread, call), np.zeros_like(thread), thread, np.zeros_like(thread))
            w0, w1, _, _ = rounds(counter, (np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)))
            radius, angle = _uniform(w0, 2.0**-32), _uniform(w1, float(np.float32(2.0**-32 * 2 * math.pi)))
            out[row] = np.sqrt(-2 * np.log(radius)) * np.sin(angle)
        return out.reshape((len(seeds), *shape))


def _uniform(word: np.ndarray, unit: float) -> np.ndarray:
    """word * unit + unit / 2 as a device takes it: the word and the sum rounded to float32 (one fused operation)."""
    wide = word.astype(np.float32).astype(np.float64) * unit + unit / 2
    return wide.astype(np.float32).astype(np.float64)
