"""What do a million normals cost, of each source on each backend, beside the library's own generator?

    python -m benchmarks.noise [--out benchmarks/results/NAME] [--no-compile torch ...]

Best of several calls in one process, one thread where a library lets it be set.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import multisched as ms

COUNT = 1 << 20
CALLS = 5
SOURCES: dict[str, Any] = {
    "host": ms.noise.HostNoise(7),
    "philox": ms.noise.PhiloxNoise(7),
    "native": ms.noise.NativeNoise(7),
    "torch_cuda": ms.noise.TorchCudaNoise(7, wave=COUNT),
    "offset(host)": ms.noise.OffsetNoise(7),
    "pyramid(host)": ms.noise.PyramidNoise(7),
    "coloured(host)": ms.noise.ColouredNoise(7),
}
SHAPE = (1, 1024, 1024)


def best_ms(call: Callable[[], object]) -> float:
    """Least milliseconds per million normals of a call that draws COUNT of them."""
    call()
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3 * 1e6 / COUNT


def compiled(name: str, draw: Callable[[Any], Any]) -> Callable[[], Any] | None:
    """`draw` of a traced step, compiled by the library; None where it has no compiler."""
    if name == "jax":
        import jax

        jitted, step = jax.jit(draw), jax.numpy.asarray(3)
    elif name == "mlx":
        import mlx.core as mx

        jitted, step = mx.compile(draw), mx.array(3)
    elif name == "torch":
        import torch

        jitted, step = torch.compile(draw, fullgraph=True), torch.tensor(3)
    else:
        return None
    return lambda: jitted(step)


def measure(skip: list[str]) -> dict[str, dict[str, float]]:
    """Milliseconds per million normals: rows are sources, columns backends."""
    numpy = np.random.default_rng(7)
    philox = np.random.Generator(np.random.Philox(7))
    found: dict[str, dict[str, float]] = {
        "numpy.random Generator(PCG64), float64 rounded": {
            "numpy": best_ms(lambda: numpy.standard_normal(COUNT).astype(np.float32))
        },
        "numpy.random Generator(Philox), float64 rounded": {
            "numpy": best_ms(lambda: philox.standard_normal(COUNT).astype(np.float32))
        },
    }
    names = [one.name for one in ms.backends.available().values() if one.reason is None]
    for name in names:
        backend = ms.backends.get(name)
        if name == "torch":
            import torch

            torch.set_num_threads(1)

        def timed(draw: Callable[[], Any], backend: Any = backend) -> float:
            return best_ms(lambda: backend.synchronize(draw()))

        for label, source in SOURCES.items():
            row = found.setdefault(label, {})
            row[name] = timed(lambda s=source: s.normal_on(backend, None, [0], 3, 0, SHAPE))  # type: ignore[misc]  # noqa: B023
        path = ms.noise.BrownianNoise(7)
        row = found.setdefault("brownian, an increment", {})
        row[name] = timed(lambda: backend.asarray(path.increment([0], 0.71, 0.63, 0, SHAPE), "float32"))  # noqa: B023
        if name not in skip:
            draw = compiled(name, lambda step: SOURCES["philox"].normal_on(backend, None, [0], step, 0, SHAPE))  # noqa: B023
            if draw is not None:
                found.setdefault("philox, compiled", {})[name] = timed(draw)
    return found


def report(found: dict[str, dict[str, float]]) -> str:
    """The measurements as Markdown."""
    columns = list(found["host"])
    versions = ", ".join(f"{name} {ms.backends.get(name).version}" for name in columns)
    lines = [f"# Noise: milliseconds per million normals\n\n{versions}; {os.cpu_count()} cores\n"]
    lines += [f"| source | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label, row in found.items():
        lines.append(f"| {label} | {' | '.join(f'{row[c]:.1f}' if c in row else '' for c in columns)} |")
    ratio = found["host"]["numpy"] / found["numpy.random Generator(PCG64), float64 rounded"]["numpy"]
    return "\n".join([*lines, "", f"host beside NumPy's own generator (PCG64): {ratio:.2f} times"])


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/noise"), help="file, less its ending")
    parser.add_argument("--no-compile", nargs="*", default=[], help="backends whose compiler is left out")
    options = parser.parse_args()
    found = measure(options.no_compile)
    text = report(found)
    print(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".md").write_text(text + "\n")
    options.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
