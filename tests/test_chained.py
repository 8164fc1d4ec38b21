"""Sums as chains of calls: the same numbers, and only for arrays that are alike."""

import numpy as np
import pytest

import multisched as ms
from multisched.backends.base import Terms, nonzero_terms

ROWS = [(1.0, -0.3, 0.0), (0.7, 0.0, 0.9), (0.0, -0.5, 0.0), (0.0, 1.0, 0.0), (1.0, 2.5, -0.1), (0.2, 1.0, 1.0)]


@pytest.fixture
def arrays(make):
    rng = np.random.default_rng(0)
    return [make(rng.standard_normal((2, 3, 5))) for _ in range(3)]


@pytest.fixture
def chained(backend, arrays):
    if backend.chained([nonzero_terms(ROWS[0])], arrays) is None:
        pytest.skip(f"{backend.name} has no quicker way")
    return backend.chained


@pytest.mark.host
def test_a_chain_is_its_sum():
    rng = np.random.default_rng(0)
    for weights in [*ROWS, *rng.standard_normal((20, 3)).tolist()]:
        values = rng.standard_normal(3).tolist()
        start, first, weight, rest = nonzero_terms(weights).chain
        total = 0.0 if start == -1 else values[start]
        if rest is not None:
            total += sum(values[k] * factor for k, factor in [(first, weight), *rest])
        np.testing.assert_allclose(total, np.dot(weights, values), rtol=1e-12, atol=1e-12)
    assert nonzero_terms([0.0, 0.0]).chain is None


def test_chains_have_the_bits_of_sums(backend, arrays, chained):
    sums = [nonzero_terms(row) for row in ROWS]
    plain = backend.weighted_sums([Terms(*one[:2]) for one in sums], arrays, arrays[0].dtype)
    for one, other in zip(chained(sums, arrays), plain, strict=True):
        assert backend.to_numpy(one).tobytes() == backend.to_numpy(other).tobytes()


@pytest.mark.parametrize("unlike", ["shape", "dtype", "library", "no array", "half", "known not"])
def test_what_is_not_alike_takes_the_long_way(backend, make, arrays, chained, unlike):
    sums = [nonzero_terms(ROWS[0])]
    ones = np.ones((2, 3, 5))
    if unlike == "half":
        arrays = [make(ones, "float16")] * 3
    elif unlike == "known not":
        sums = [Terms(*sums[0][:2])]
    else:
        arrays[1] = {
            "shape": lambda: make(ones[..., :1]),
            "dtype": lambda: make(ones, "float16"),
            "library": lambda: ones if backend.name != "numpy" else memoryview(ones),
            "no array": lambda: 1.0,
        }[unlike]()
    assert chained(sums, arrays) is None


def test_unlike_arrays_are_refused_all_the_same(backend, make):
    plan = ms.FlowMatchEuler().plan(4)
    state = plan.start(make(np.ones((2, 3))))
    with pytest.raises(ms.ScheduleError, match="the model's output has shape"):
        plan.step(state, make(np.ones((2, 1))))


def test_a_clipped_step_takes_it_too(backend, make, chained, monkeypatch):
    plan = ms.DDIM(clip_sample=True).plan(5)
    x, output = (make(np.random.default_rng(seed).standard_normal((2, 3, 5))) for seed in (0, 1))
    quick = plan.step(plan.start(x), output)
    taken = []
    monkeypatch.setattr(backend, "chained", lambda *given: taken.append(given))
    monkeypatch.setattr(type(backend), "weighted_sums", _without_chains(type(backend).weighted_sums))
    long = plan.step(plan.start(x), output)
    assert taken and backend.to_numpy(quick.sample).tobytes() == backend.to_numpy(long.sample).tobytes()


def _without_chains(weighted_sums):
    def sums_of(self, sums, *rest, **named):
        return weighted_sums(self, [Terms(*one[:2]) for one in sums], *rest, **named)

    return sums_of
