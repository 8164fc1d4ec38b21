"""Large sums by numba have the bits of NumPy's."""

import sys

import numpy as np
import pytest

import multisched as ms
from multisched.backends import numpy_sums as arrays_of
from multisched.backends.base import Terms

pytestmark = pytest.mark.host
pytest.importorskip("numba", reason="numba is an extra of its own")

SUMS = [
    Terms((1.0, -0.3), (0, 1)),
    Terms((0.7, 0.3, -0.1, 0.25, 0.9), (4, 1, 2, 3, 0)),
    Terms((0.7, 0.3, -0.1, 0.25), (4, 1, 2, 3)),
    Terms((-0.7, 1.3, 0.1), (4, 1, 0)),
    Terms((-0.5,), (2,)),
    Terms((1.0,), (3,)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [1 << 14, 1 << 30])
@pytest.mark.parametrize("into", [False, True])
def test_the_bits_are_numpys(dtype, share, into, monkeypatch):
    monkeypatch.setattr(arrays_of, "SHARE", share)
    backend, rng = ms.backends.get("numpy"), np.random.default_rng(0)
    arrays = [rng.standard_normal((3, (1 << 15) + 7)).astype(dtype) for _ in range(5)]
    out = [np.full_like(arrays[0], np.nan) for _ in SUMS] if into else None
    filled = []
    monkeypatch.setattr(arrays_of, "_fused", lambda *given: filled.append(real(*given)) or filled[-1])
    found = backend.weighted_sums(SUMS, arrays, arrays[0].dtype, out)
    assert filled[0] is not None
    monkeypatch.setattr(arrays_of, "_fused", lambda *given: None)
    for one, other in zip(found, backend.weighted_sums(SUMS, arrays, arrays[0].dtype), strict=True):
        assert one.tobytes() == other.tobytes()
    assert out is None or all(one is other for one, other in zip(out, found, strict=True))


real = arrays_of._fused


def test_it_is_not_imported_for_small_arrays(monkeypatch):
    """It takes longer to import than it saves."""
    result = np.empty(100, np.float32)
    given = [Terms((0.5,), (0,))], [np.ones(100, np.float32)], [result], None
    assert real(*given) is not None
    monkeypatch.delitem(sys.modules, "numba")
    assert real(*given) is None


@pytest.mark.parametrize("given", ["float16", "mixed", "raising", "empty"])
def test_what_it_does_not_serve_is_numpys(given):
    result = np.empty(100, np.float16 if given == "float16" else np.float32)
    array = np.ones(100, result.dtype if given != "mixed" else np.float64)
    sums = [Terms((), ()) if given == "empty" else Terms((0.5,), (0,))]
    with np.errstate(over="raise" if given == "raising" else "warn"):
        assert real(sums, [array], [result], None) is None
