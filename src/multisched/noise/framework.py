"""Noise that a framework's own random state drives: a key of JAX or MLX, a generator of torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import START, check_place
from multisched.noise.base import Ids, Shape, Source


@dataclass(frozen=True, eq=False)
class FrameworkNoise(Source):
    """Unit normals in float32, drawn by a framework as its own programs draw them; `rng=` makes it.

        JAX    the starting noise is jax.random.normal(key, shape); draw d of step s has the key
               fold_in(fold_in(key, s + 1), d). Traceable, and the key may be traced.
        MLX    the starting noise is mx.random.normal(shape, key=key); draw d of step s has the key
               split(key + [s + 1, d])[0]. Traceable likewise.
        torch  torch.randn(shape, generator=generator, device=generator.device), in the order of drawing: the starting
               noise where it is drawn, then each row's draws. The generator moves on, so a run
               that is resumed has other noise.

    It is drawn for the whole batch at once, so the noise of a sample depends on the batch that it is in, and `Select`
    cannot choose from it. On another library than its own it is drawn there and moved.

    Args:
        state: the key or the generator.

    Raises:
        ScheduleError: if a part of the batch is asked for.

    Example:
        >>> try:
        ...     ms.noise.FrameworkNoise(np.random.default_rng(0))
        ... except ms.ScheduleError as error:
        ...     print(error)
        FrameworkNoise takes a key of JAX or MLX, or a torch.Generator.
    """

    state: Any

    on_device = True

    def __post_init__(self) -> None:
        own = backends.of_random(self.state)
        if own is None:
            raise ScheduleError("FrameworkNoise takes a key of JAX or MLX, or a torch.Generator.")
        object.__setattr__(self, "traceable", own.addressed)
        object.__setattr__(self, "_own", own)

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        return np.asarray(self.normal_on(backends.get("numpy"), None, sample_ids, step, draw, shape))

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        check_place(step, draw)
        if list(sample_ids) != list(range(len(sample_ids))):
            raise ScheduleError("a framework's key or generator draws for the whole batch; give a seed to choose from.")
        own: Any = self._own  # type: ignore[attr-defined]
        address = (
            None if isinstance(step, int) and step == START and isinstance(draw, int) and draw == 0 else (step, draw)
        )
        drawn = own.normal_from(self.state, (len(sample_ids), *shape), address)
        if own is not backend:
            drawn = own.to_numpy(drawn)
        return backend.asarray(drawn, "float32", device)
