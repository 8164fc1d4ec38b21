"""A small array library that is not quite of the standard: NumPy arrays in boxes.

It has the functions that multisched calls and no others, no devices, and no way of its own to NumPy.
"""

import operator
import sys
from types import SimpleNamespace

import numpy as np
from array_api_compat import numpy as standard  # NumPy 2.0 lacks functions of the standard

FUNCTIONS = """
    abs all any asarray astype atan broadcast_to clip concat cos cumulative_sum exp expm1 floor full_like isfinite log
    logical_or max maximum mean min minimum ones_like reshape round sin sort sqrt stack sum take tan where zeros
    zeros_like
"""
DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"


class Array:
    """A box around a NumPy array."""

    def __init__(self, inside):
        self.inside = np.asarray(inside)

    shape = property(lambda self: self.inside.shape)
    dtype = property(lambda self: self.inside.dtype)
    ndim = property(lambda self: self.inside.ndim)
    size = property(lambda self: self.inside.size)

    def __getitem__(self, key):
        return Array(self.inside[unboxed(key)])

    def __len__(self):
        return len(self.inside)

    def __array_namespace__(self, api_version=None):
        return sys.modules[__name__]

    def __repr__(self):
        return f"boxed.Array({self.inside!r})"


def unboxed(value):
    """What is inside, also of tuples and lists."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(unboxed, value))
    return value.inside if isinstance(value, Array) else value


def boxed(value):
    """NumPy arrays in boxes, also those of tuples and lists."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(boxed, value))
    return Array(value) if isinstance(value, (np.ndarray, np.generic)) else value


def lifted(function):
    """A function of NumPy arrays as one of boxes."""

    def call(*arguments, **options):
        options = {name: unboxed(value) for name, value in options.items()}
        return boxed(function(*map(unboxed, arguments), **options))

    return call


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift"):
    _function = lifted(getattr(operator, _name))
    setattr(Array, f"__{_name.rstrip('_')}__", _function)
    setattr(Array, f"__r{_name.rstrip('_')}__", lambda self, other, function=_function: function(other, self))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "abs", "invert"):
    setattr(Array, f"__{_name}__", lifted(getattr(operator, _name)))
for _kind in (bool, int, float):
    setattr(Array, f"__{_kind.__name__}__", lambda self, kind=_kind: kind(self.inside))

globals().update({name: lifted(getattr(standard, name)) for name in FUNCTIONS.split()})
globals().update({name: np.dtype(name) for name in DTYPES.split()})
fft = SimpleNamespace(rfftn=lifted(np.fft.rfftn), irfftn=lifted(np.fft.irfftn))  # for coloured noise
