"""The network: a convolutional U-Net of two sizes, 8 x 8 and 4 x 4, its forward pass in operations of the array-API
standard alone.

    x (samples, 1, 8, 8) -> convolution -> block -------------------------------- + -> block -> convolution -> velocity
                                             |                                      |
                                             2 x 2 pixels -> block -> attention -> block -> 2 x 2 pixels

Every block is conditioned on the timestep and the class. A convolution is a matrix product with the nine shifted views
of a padded image. Inside, images are (samples, height, width, channels).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend

SIDE, HALF, CLASSES = 8, 4, 10
WIDE, DEEP, TOLD, FREQUENCIES = 32, 64, 128, 24  # channels at 8 x 8 and 4 x 4; numbers that a block is conditioned on
GROUPS, HEADS = 8, 4
TRAINING = 1000.0  # timesteps
ANGLES = np.exp(np.linspace(0.0, math.log(100.0), FREQUENCIES)).tolist()  # lists, which compilers read
LABELS = list(range(CLASSES + 1))
BLOCKS = {"first": WIDE, "second": DEEP, "third": DEEP, "fourth": WIDE}
"""The blocks and their channels."""


def shapes() -> dict[str, tuple[int, ...]]:
    """The weights by name: matrices (inputs, outputs), and biases (outputs,)."""
    pairs = {
        "time": (2 * FREQUENCIES + 1, TOLD),
        "told": (TOLD, TOLD),
        "enter": (9, WIDE),
        "down": (4 * WIDE, DEEP),
        "query": (DEEP, 3 * DEEP),
        "joined": (DEEP, DEEP),
        "up": (DEEP, 4 * WIDE),
        "leave": (9 * WIDE, 1),
    }
    for name, width in BLOCKS.items():
        pairs |= {f"{name}.{part}": (9 * width, width) for part in ("inner", "outer")}
        pairs |= {f"{name}.told": (TOLD, 2 * width)}
    biases = {f"{name}.bias": pair[1:] for name, pair in pairs.items()}
    return {"label": (CLASSES + 1, TOLD), **pairs, **biases}


def initial(seed: int) -> dict[str, np.ndarray]:
    """Weights to begin training with, float32: normal, scaled by the number of inputs. What ends a block is zero, so
    that the block changes nothing at first."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes().items():
        zero = len(shape) == 1 or name.endswith("outer") or name in ("joined", "leave")
        size = 0.0 if zero else 1.0 / math.sqrt(1 if name == "label" else shape[0])
        found[name] = (size * random.standard_normal(shape)).astype(np.float32)
    return found


def forward(weights: Mapping[str, Any], x: Any, t: Any, condition: Any) -> Any:
    """The velocity, noise - x0, that the network sees in x.

    Args:
        weights: as `shapes` names them; arrays of the library of x. What they are computed in is their dtype.
        x: (samples, 1, 8, 8), x = (1 - t / 1000) * x0 + t / 1000 * noise.
        t: timesteps in 0..1000: an array () or (samples,).
        condition: integers (samples,): the digit 0..9, or 10 for none.

    Returns:
        An array shaped and typed as x.
    """
    net = _Layers(backends.of(x), weights)
    told = net.told(t, condition)
    seen = net.xp.reshape(net.backend.astype(x, weights["enter"].dtype), (-1, SIDE, SIDE, 1))
    wide = net.block("first", net.convolve("enter", seen, SIDE), told, SIDE)
    deep = net.block("second", net.linear("down", net.gathered(wide), HALF, HALF), told, HALF)
    deep = net.block("third", deep + net.attention(deep), told, HALF)
    wide = net.block("fourth", wide + net.scattered(net.linear("up", deep, HALF, HALF)), told, SIDE)
    out = net.convolve("leave", net.silu(net.normal(wide, SIDE, WIDE)), SIDE)
    return net.backend.astype(net.xp.reshape(out, (-1, 1, SIDE, SIDE)), x.dtype)


class _Layers:
    """What the network is made of. No array's shape is read but the weights': a graph may leave open how many samples
    there are, and then some libraries know no shape in it."""

    def __init__(self, backend: Backend[Any], weights: Mapping[str, Any]) -> None:
        self.backend, self.xp, self.weights = backend, backend.xp, weights

    def told(self, t: Any, condition: Any) -> Any:
        """Timestep and class as one vector for each sample, (samples, TOLD)."""
        xp, like = self.xp, self.weights["label"]
        device = self.backend.device(like)
        share = xp.reshape(self.backend.astype(t, like.dtype), (-1, 1)) * (1.0 / TRAINING)
        angles = share * self.backend.asarray(ANGLES, like.dtype, device)
        features = xp.concat([share, xp.sin(angles), xp.cos(angles)], axis=1)
        classes = self.backend.asarray(LABELS, "int32", device)
        chosen = xp.reshape(self.backend.astype(condition, classes.dtype), (-1, 1)) == classes
        label = xp.matmul(self.backend.astype(chosen, like.dtype), like)
        return self.silu(self.linear("told", self.silu(self.linear("time", features))) + label)

    def linear(self, name: str, h: Any, *places: int) -> Any:
        """h (samples, *places, inputs) -> (samples, *places, outputs)."""
        matrix = self.weights[name]
        flat = self.xp.matmul(self.xp.reshape(h, (-1, matrix.shape[0])), matrix) + self.weights[f"{name}.bias"]
        return self.xp.reshape(flat, (-1, *places, matrix.shape[1]))

    def convolve(self, name: str, h: Any, side: int) -> Any:
        """A convolution of 3 x 3 places, zero beyond the image."""
        xp = self.xp
        none = xp.zeros_like(h[:, :1, :, :])
        h = xp.concat([none, h, none], axis=1)
        none = xp.zeros_like(h[:, :, :1, :])
        h = xp.concat([none, h, none], axis=2)
        views = [h[:, i : i + side, j : j + side, :] for i in range(3) for j in range(3)]
        return self.linear(name, xp.concat(views, axis=3), side, side)

    def normal(self, h: Any, side: int, width: int) -> Any:
        """Group normalisation (arXiv 1803.08494): mean 0 and variance 1 over the places and a group's
        channels."""
        xp = self.xp
        grouped = xp.reshape(h, (-1, side * side, GROUPS, width // GROUPS))
        apart = grouped - xp.mean(grouped, axis=(1, 3), keepdims=True)
        variance = xp.mean(apart * apart, axis=(1, 3), keepdims=True)
        return xp.reshape(apart / xp.sqrt(variance + 1e-5), (-1, side, side, width))

    def silu(self, h: Any) -> Any:
        """h * sigmoid(h), which never overflows in this form."""
        return 0.5 * h * (1.0 + self.xp.tanh(0.5 * h))

    def block(self, name: str, h: Any, told: Any, side: int) -> Any:
        """Two convolutions, between them a scale and a shift of each channel by timestep and class."""
        width = BLOCKS[name]
        moves = self.linear(f"{name}.told", told, 1, 1)
        inner = self.normal(self.convolve(f"{name}.inner", self.silu(self.normal(h, side, width)), side), side, width)
        inner = inner * (1.0 + moves[:, :, :, :width]) + moves[:, :, :, width:]
        return h + self.convolve(f"{name}.outer", self.silu(inner), side)

    def attention(self, h: Any) -> Any:
        """Self-attention between all places of a small image (arXiv 1706.03762)."""
        xp, places, part = self.xp, HALF * HALF, DEEP // HEADS
        parts = xp.reshape(self.linear("query", self.normal(h, HALF, DEEP)), (-1, places, 3, HEADS, part))
        query, key, value = (xp.permute_dims(parts[:, :, k, :, :], (0, 2, 1, 3)) for k in range(3))
        scores = xp.matmul(query, xp.permute_dims(key, (0, 1, 3, 2))) * (1.0 / math.sqrt(part))
        shares = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        seen = xp.matmul(shares / xp.sum(shares, axis=-1, keepdims=True), value)
        return self.linear("joined", xp.permute_dims(seen, (0, 2, 1, 3)), HALF, HALF)

    def gathered(self, h: Any) -> Any:
        """2 x 2 places as one of four times the channels."""
        tiles = self.xp.reshape(h, (-1, HALF, 2, HALF, 2, WIDE))
        tiles = self.xp.permute_dims(tiles, (0, 1, 3, 2, 4, 5))
        return self.xp.reshape(tiles, (-1, HALF, HALF, 4 * WIDE))

    def scattered(self, h: Any) -> Any:
        """And back."""
        tiles = self.xp.reshape(h, (-1, HALF, HALF, 2, 2, WIDE))
        tiles = self.xp.permute_dims(tiles, (0, 1, 3, 2, 4, 5))
        return self.xp.reshape(tiles, (-1, SIDE, SIDE, WIDE))
