"""Philox noise for arrays in the host's memory is drawn by NumPy: the bits that the library's own operations give."""

import numpy as np
import pytest

import multisched as ms


@pytest.mark.parametrize("seed", [7, (3, 2**63 + 5, 11)])
@pytest.mark.parametrize("shape", [(0,), (5,), (3, 7), (70_001,)])
def test_the_bits_are_those_of_the_library(seed, shape, backend, device, monkeypatch):
    source, ids = ms.noise.PhiloxNoise(seed), range(3)
    found = backend.to_numpy(source.normal_on(backend, device, ids, 4, 1, shape))
    monkeypatch.setattr(type(backend), "hosted", lambda *_: False)
    wanted = backend.to_numpy(source.normal_on(backend, device, ids, np.int64(4), 1, shape))
    assert found.shape == wanted.shape == (3, *shape)
    assert found.tobytes() == wanted.tobytes()


def test_a_graph_draws_by_itself(backend):
    """A number of the host in what is traced is no reason to put the noise into the graph."""
    source = ms.noise.PhiloxNoise(7)

    def draw(x):
        return x + source.normal_on(backend, None, [0], 4, 1, (1000,))

    if backend.name == "jax":
        import jax

        graph = str(jax.make_jaxpr(draw)(jax.numpy.zeros((1, 1000))))
        assert "shift_right" in graph
    elif backend.name == "torch":
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        graph = make_fx(draw)(torch.zeros(1, 1000)).code
        assert "rshift" in graph
    else:
        assert backend.hosted(None) == (backend.name == "numpy")
