"""Brownian paths: the noise of a run as increments of one path, whatever the number of steps."""

import math
from dataclasses import dataclass

import numpy as np

from multisched.errors import ScheduleError
from multisched.noise.addresses import BROWNIAN, START, keys, purpose
from multisched.noise.base import Ids, Shape
from multisched.noise.host import Seeded, drawn
from multisched.values import count, real

TOGETHER = 1 << 16
"""Normals that are drawn at once, so that small samples cost no call for each node."""


@dataclass(frozen=True)
class BrownianNoise(Seeded):
    """The noise of a row is the increment of a Brownian path over the interval that the row crosses, so that a run of
    20 steps and one of 40 follow one path, and an SDE solver converges to one image as the steps grow finer.

    The path lies on the axis tau = sigma / (alpha + sigma), which is sigma for flow matching and runs from 0, the clean
    sample, to 1, pure noise, for every schedule. A row gets unit normals,

        z = (W(tau_end) - W(tau_start)) / sqrt(tau_start - tau_end)

    W is a virtual tree of fixed depth (as in Li et al. 2020, arXiv 2001.01328, section 4, of unlimited depth): the
    value at the middle m of [a, b] is drawn given its ends, W(m) = (W(a) + W(b)) / 2 + sqrt(b - a) / 2 * z(node), by
    the words of that node's address, so that nothing is kept and any time is found at once. Within a leaf, of length
    2^-depth, W(t) is drawn given the leaf's ends with one number for all of the leaf: its variance is exact, as is that
    of every increment between two leaves; two times in the same leaf are refused.

    Starting noise is that of `HostNoise` with this seed. Draw k of a row takes the k-th of independent paths.

    Args:
        seed: as `Seeded`.
        depth: halvings, 1..30. An evaluation draws depth + 2 normals for each element.

    Raises:
        ScheduleError: if the depth is another, or the interval does not lead towards the clean sample (the noise of a
            corrector or of a step back belongs to no path), lies outside [0, 1] or within one leaf.

    Example:
        >>> source = ms.noise.BrownianNoise(0)
        >>> whole = source.increment([0], 1.0, 0.2, 0, (4,))
        >>> parts = [source.increment([0], *ends, 0, (4,)) for ends in ((1.0, 0.5), (0.5, 0.2))]
        >>> joined = (0.5**0.5 * parts[0] + 0.3**0.5 * parts[1]) / 0.8**0.5
        >>> whole.shape, bool(np.allclose(whole, joined, atol=1e-4))
        ((1, 4), True)
    """

    wants_interval = True

    depth: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "depth", count("depth", self.depth, 30))

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        if step != START:
            raise ScheduleError("BrownianNoise has no noise of a step by its number; ask for the increment of a row.")
        return drawn(*keys(self.seed, sample_ids), 0, draw, shape)

    def increment(self, sample_ids: Ids, start: float, end: float, path: int, shape: Shape) -> np.ndarray:
        """float32 (samples, *shape): the unit normals above, for tau from `start` down to `end`."""
        start, end = real("tau", start), real("tau", end)
        if not 0 <= end < start <= 1:
            raise ScheduleError(
                f"a Brownian path leads from tau = sigma / (alpha + sigma) to a lower one within [0, 1]; given "
                f"{start:g} to {end:g}: take HostNoise for solvers that raise the noise or correct it."
            )
        if self._leaf(start) == self._leaf(end):
            raise ScheduleError(f"tau from {start!r} to {end!r} lies within one leaf of depth {self.depth}; raise it.")
        form, before = self._form(end), self._form(start)
        change = {node: form.get(node, 0.0) - before.get(node, 0.0) for node in sorted(form | before)}
        return np.asarray(self._sum(change, sample_ids, path, shape) / math.sqrt(start - end), np.float32)

    def value(self, sample_ids: Ids, time: float, path: int, shape: Shape) -> np.ndarray:
        """W(time), 0 <= time <= 1: float64 (samples, *shape) of variance `time`."""
        return self._sum(self._form(time), sample_ids, path, shape)

    def _form(self, time: float) -> dict[int, float]:
        """W(time) = sum of weight * z(node): the weight of each node that it hangs on."""
        # Node 0 is the path's end, 1 the root, 2n and 2n + 1 the halves of node n; those below the last are the leaves.
        a, b = 0.0, 1.0
        left: dict[int, float] = {}
        right, node = {0: 1.0}, 1
        for _ in range(self.depth):
            if time in (a, b):
                break
            middle = (a + b) / 2
            value = {**_between(left, right, 0.5), node: 0.5 * math.sqrt(b - a)}
            node *= 2
            if time < middle:
                b, right = middle, value
            else:
                a, left, node = middle, value, node + 1
        share = (time - a) / (b - a)
        if share in (0.0, 1.0):
            return right if share else left
        return {**_between(left, right, share), node: math.sqrt((time - a) * (b - time) / (b - a))}

    def _sum(self, form: dict[int, float], sample_ids: Ids, path: int, shape: Shape) -> np.ndarray:
        """The sum of weight * z(node) in float64, the normals of many nodes drawn at once where they are few."""
        seeds, samples = keys(self.seed, sample_ids)
        stream, count = purpose(BROWNIAN, path), len(samples)
        total = np.zeros((count, *shape))
        nodes, together = list(form), max(1, TOGETHER // max(1, total.size))
        for first in range(0, len(nodes), together):
            some = nodes[first : first + together]
            third = [node for node in some for _ in range(count)]
            z = drawn(seeds * len(some), samples * len(some), third, stream, shape)
            for node, one in zip(some, z.reshape(len(some), count, *shape), strict=True):
                total += one.astype(np.float64) * form[node]  # in one order: BLAS has another on each machine
        return total

    def _leaf(self, time: float) -> int:
        leaves = 1 << self.depth
        return min(int(time * leaves), leaves - 1)


def _between(left: dict[int, float], right: dict[int, float], share: float) -> dict[int, float]:
    """(1 - share) * left + share * right."""
    return {node: left.get(node, 0.0) * (1 - share) + right.get(node, 0.0) * share for node in left | right}
