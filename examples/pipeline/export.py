"""The same forward pass as an ONNX graph, and digits drawn with it by ONNX Runtime: equal to those of NumPy.

python examples/pipeline/export.py [--out digits.onnx]      needs ndonnx and onnxruntime

ndonnx is an array library whose arrays are the nodes of a graph; nothing is written for ONNX.
"""

import argparse
from pathlib import Path

import ndonnx as ndx
import numpy as np
import onnxruntime

import multisched as ms
from multisched import digits
from multisched.digits.network import forward

CLOSE = 1e-3


def graph():
    """The network with its weights as an ONNX model of x (N, 1, 8, 8), timesteps (N) and classes (N)."""
    given = {
        "x": ndx.argument(shape=("N", 1, 8, 8), dtype=ndx.float32),
        "timestep": ndx.argument(shape=("N",), dtype=ndx.float32),
        "condition": ndx.argument(shape=("N",), dtype=ndx.int32),
    }
    return ndx.build(given, {"velocity": forward(digits.load("ndonnx").weights, *given.values())})


class Session:
    """A network(x, t, condition) on NumPy arrays, computed by ONNX Runtime."""

    def __init__(self, model):
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def __call__(self, x, t, condition):
        times = np.broadcast_to(np.asarray(t, dtype=np.float32), len(x))
        classes = np.broadcast_to(digits.conditions(condition), len(x))
        return self.session.run(None, {"x": x, "timestep": times, "condition": classes})[0]


def main():
    """Export, draw one of each class by both, and fail if they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the graph")
    asked = parser.parse_args()
    model = graph().SerializeToString()
    if asked.out is not None:
        asked.out.write_bytes(model)
    recipe = ms.sampler("auto", like=digits.RECIPE, calls=12, guidance=2.0)
    noise = ms.noise.normal((10, 1, 8, 8), rng=0)
    by_runtime, by_numpy = (
        ms.sample(digits.guided(net, list(range(10)), 2.0), recipe.plan(12), noise)
        for net in (Session(model), digits.load("numpy"))
    )
    apart = float(np.abs(by_runtime - by_numpy).max())
    print(f"ONNX Runtime: {len(model) / 1e6:.2f} MB, ten digits in 12 steps; apart from NumPy's by {apart:.0e}")
    if apart > CLOSE:
        raise SystemExit("the pictures differ.")


if __name__ == "__main__":
    main()
