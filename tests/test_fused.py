"""Large sums by numba have the bits of NumPy's, or of torch's."""

import sys

import numpy as np
import pytest

import multisched as ms
from multisched.backends import numpy_sums as arrays_of
from multisched.backends.base import Cut, Terms, nonzero_terms

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


def some_sums(rng, count, operands):
    weights = rng.standard_normal((count, operands)) * (rng.random((count, operands)) < 0.7)
    weights[:, 1] = 1.0
    weights[rng.random((count, operands)) < 0.2] = 1.0
    return [nonzero_terms(row) for row in weights.tolist()]


def some_arrays(rng, dtype, operands, size):
    """With zeros of both signs, whose sums show how a sum begins."""
    arrays = rng.standard_normal((operands, 2, size))
    arrays[rng.random(arrays.shape) < 0.3] *= 0.0
    return [array.astype(dtype) for array in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_a_clipped_sum_on_the_way_has_the_bits_of_numpys(dtype, seed, monkeypatch):
    backend, rng = ms.backends.get("numpy"), np.random.default_rng(seed)
    arrays = some_arrays(rng, dtype, 4, (1 << 14) + 7 * (1 + seed))
    place = int(rng.integers(0, 5))
    cut, sums = Cut(some_sums(rng, 1, 4)[0], -0.5, 0.75, place), some_sums(rng, 3, 5)
    filled = []
    monkeypatch.setattr(arrays_of, "_fused", lambda *given: filled.append(real(*given)) or filled[-1])
    found = backend.cut_sums(cut, sums, arrays, arrays[0].dtype)
    assert filled[0] is not None
    monkeypatch.setattr(arrays_of, "_fused", lambda *given: None)
    for one, other in zip(found, backend.cut_sums(cut, sums, arrays, arrays[0].dtype), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.fixture
def by_torch(monkeypatch):
    """(tensors, sums, out) -> results by numba, results by torch's own kernels."""
    torch = pytest.importorskip("torch", reason="torch's own kernels are compared with")
    from multisched.backends import torch_sums

    fused = torch_sums.in_one_pass

    def both(tensors, sums, out=None):
        backend, taken = ms.backends.get("torch"), []
        monkeypatch.setattr(torch_sums, "in_one_pass", lambda *given: taken.append(fused(*given)) or taken[-1])
        found = [one.clone() for one in backend.weighted_sums(sums, tensors, tensors[0].dtype, out)]
        monkeypatch.setattr(torch_sums, "in_one_pass", lambda *given: False)
        return taken, found, backend.weighted_sums(sums, tensors, tensors[0].dtype, out)

    both.torch = torch
    return both


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("inference", [False, True])
def test_tensors_have_the_bits_of_torchs_kernels(by_torch, dtype, into, seed, inference):
    rng, torch = np.random.default_rng(seed), by_torch.torch
    with torch.inference_mode(inference):
        tensors = [torch.from_numpy(array) for array in some_arrays(rng, dtype, 4, (1 << 15) + 7)]
        out = [torch.empty_like(tensors[0]) for _ in range(3)] if into else None
        versions = [one._version for one in out or () if not inference]
        taken, found, own = by_torch(tensors, some_sums(rng, 3, 4), out)
    assert taken == [True]
    for one, other in zip(found, own, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()
    assert all(one._version > version for one, version in zip(out or (), versions, strict=False))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # by torch's own dual numbers
@pytest.mark.parametrize("watched", ["mode", "class", "forward", "fake", "vmap", "grad"])
def test_torch_computes_what_it_has_to_see(by_torch, watched):
    torch, sums = by_torch.torch, [Terms((0.5, 0.25, -1.0), (0, 1, 2))]
    x, wanted = torch.ones(3, 1 << 15), -2.0

    def step(x):
        taken, found, _ = by_torch([x, 2 * x, 3 * x], sums)
        assert not any(taken)
        return found[0]

    if watched == "mode":
        from torch.utils._python_dispatch import TorchDispatchMode

        seen = []

        class Watching(TorchDispatchMode):
            def __torch_dispatch__(self, call, types, given=(), named=None):
                seen.append(call)
                return call(*given, **(named or {}))

        with Watching():
            assert step(x)[0, 0] == wanted
        assert torch.ops.aten.add_.Tensor in seen
    elif watched == "class":
        called = []

        class Watched(torch.Tensor):
            @classmethod
            def __torch_function__(cls, call, types, given=(), named=None):
                called.append(call)
                return super().__torch_function__(call, types, given, named or {})

        assert step(x.as_subclass(Watched))[0, 0] == wanted
        assert torch.Tensor.add_ in called
    elif watched == "forward":
        with torch.autograd.forward_ad.dual_level():
            found = step(torch.autograd.forward_ad.make_dual(x, x))
            assert torch.autograd.forward_ad.unpack_dual(found).tangent[0, 0] == wanted
    elif watched == "fake":
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode() as mode:
            assert step(mode.from_tensor(x)).shape == x.shape
    elif watched == "vmap":
        assert torch.func.vmap(step)(torch.stack([x, x]))[1, 0, 0] == wanted
    else:
        assert torch.func.grad(lambda x: step(x).sum())(x)[0, 0] == wanted
