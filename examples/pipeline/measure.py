"""The page docs/digits.md and its figure: what the shipped network is worth, and what samplers make of it in few calls.

python examples/pipeline/measure.py [--backend numpy] [--count 500] [--out docs/digits.md]      needs torch as well
"""

import argparse
from pathlib import Path

import numpy as np
from draw import recipe_of
from judge import accuracy, classifier, flat, frechet, nearest, real

import multisched as ms
from multisched import digits
from multisched.digits.model import WEIGHTS, shipped

CALLS, GUIDANCE = (5, 8, 12, 20), (1.0, 2.0)
SAMPLERS = {
    "auto": "auto",
    "dpmpp_2m": "DPM++ 2M",
    "uni_pc": "UniPC",
    "ipndm": "iPNDM",
    "heun": "Heun",
    "euler": "Euler",
    "euler_ancestral": "Euler ancestral",
}
SHOWN = 4  # pictures of each class in the figure

PAGE = """# Digits: a pipeline written once

`multisched.digits` is a small class-conditional network of 8 x 8 handwritten digits, a convolutional U-Net with
attention of {size:,} weights, {bytes:.2f} MB in float16, that comes with the package. Its forward pass is written once,
in operations of the array-API standard on a dictionary of arrays, and runs on NumPy, PyTorch, JAX, MLX and whatever
else speaks the standard; from one seed the pictures agree to 1e-3.

```sh
multisched sample --model digits --class 7 --guidance 2 --sampler auto --steps 12
```

```python
import multisched as ms
from multisched import digits

net = digits.load("numpy")  # or "torch", "jax", "mlx"
recipe = ms.sampler("auto", like=digits.RECIPE, calls=12, guidance=2.0)
noise = ms.noise.normal((4, 1, 8, 8), rng=0, backend="numpy")
images = ms.sample(digits.guided(net, [0, 3, 7, 9], 2.0), recipe.plan(12), noise)
```

| in `examples/pipeline/` | |
| --- | --- |
| `train.py` | trains it with torch and the same forward pass: flow matching, in 187 s with one thread |
| `draw.py` | from noise, from another picture (img2img), and into a part of one (inpainting), on every library |
| `export.py` | the same forward pass as an ONNX graph, by the array library ndonnx, drawn with by ONNX Runtime |
| `measure.py` | this page |

`train.py` runs torch with one thread unless `--threads` says otherwise: with that, seed 0 gives the shipped weights to
the bit (hash 9924670c14e86a56). Two threads take 142 s in place of 187 s, and give other last bits (7b751e8bb7ba02da),
since sums are in another order.

## Does it generalise?

Every fifth of scikit-learn's 1,797 digits was held out. Mean squared error of the velocity, on the same noise and
levels: {seen:.4f} on digits trained on, {held:.4f} on those held out. The nearest digit that the network was trained on
is as far from its pictures as from the digits held out: {drawn:.3f} and {between:.3f} (RMS per pixel, mean). So it does
not repeat what it has seen.

## Samplers

{count} pictures of each run, all classes alike. Accuracy is the share in which a classifier (a support vector machine
on the digits that the network was trained on, right on {right:.1f} % of those held out) sees the class that was asked
for. Frechet's distance is that of the pixels' means and covariances from those of all real digits; between the two
halves of the real digits it is {floor:.2f}. Guidance makes digits clearer and more alike, so it costs distance. A call
is one of the guided model; a sampler of two calls a step takes as many steps as fit. All but "auto" are on the spacing
"simple", even levels from 1 to 1 / steps, then 0.

![Digits by "auto" in 12 calls at guidance 2; distance and accuracy over calls](digits.svg)

{tables}

Made by `PYTHONPATH=src python examples/pipeline/measure.py --count {count}`.
"""


def steps_in(name, calls, guidance):
    """The most steps of a sampler that take at most so many calls."""
    fits = (n for n in range(calls, 0, -1) if len(recipe_of(name, n, guidance).plan(n)) <= calls)
    return next(fits)


def drawn(backend, name, calls, guidance, count):
    """Pictures (count, 1, 8, 8), classes 0 to 9 in turn."""
    net, steps = digits.load(backend), steps_in(name, calls, guidance)
    noise = ms.noise.normal((count, 1, 8, 8), rng=0, backend=backend)
    classes = digits.conditions(np.arange(count) % 10, backend)
    plan = recipe_of(name, steps, guidance).plan(steps)
    return backend.to_numpy(ms.sample(digits.guided(net, classes, guidance), plan, noise))


def table(found, number):
    """A table of one number of each run: samplers in rows, calls in columns."""
    head = f"| {'sampler':16} | " + " | ".join(f"{n} calls" for n in CALLS) + " |"
    lines = [head, "| --- |" + " ---: |" * len(CALLS)]
    lines += [
        f"| {label:16} | " + " | ".join(number(found[name, n]) for n in CALLS) + " |"
        for name, label in SAMPLERS.items()
    ]
    return "\n".join(lines)


def figure(images, found):
    """Pictures, and Frechet's distance and accuracy over calls without guidance."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update({"svg.hashsalt": "digits", "svg.fonttype": "none"})
    made = Figure(figsize=(10, 6.5), layout="constrained")
    top, below = made.subfigures(2, 1, height_ratios=(1.1, 1))
    sheet = flat(images).reshape(SHOWN, 10, 8, 8)
    sheet = (
        np.pad(sheet, ((0, 0), (0, 0), (1, 0), (1, 0)), constant_values=0).transpose(0, 2, 1, 3).reshape(SHOWN * 9, 90)
    )
    axes = top.subplots()
    axes.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.axis("off")
    for axes, place, label in zip(below.subplots(1, 2), (1, 0), ("Frechet distance", "accuracy"), strict=True):
        for name, shown in SAMPLERS.items():
            axes.plot(CALLS, [found[name, n][place] for n in CALLS], ".-", label=shown, lw=2.5 if name == "auto" else 1)
        axes.set(xlabel="calls", ylabel=f"{label}, guidance 1", xticks=CALLS)
    axes.legend(fontsize="small")
    return made


def runs(backend, count, guidance):
    """(accuracy, distance) of every sampler and number of calls."""
    found, images, classes = {}, real()[0], np.arange(count) % 10
    for name, n in ((name, n) for name in SAMPLERS for n in CALLS):
        pictures = drawn(backend, name, n, guidance, count)
        found[name, n] = accuracy(pictures, classes), frechet(flat(pictures), images)
    return found


def tables(results):
    """All tables, under what they show."""
    parts = []
    for guidance, found in results.items():
        distance = table(found, lambda pair: f"{pair[1]:.2f}")
        share = table(found, lambda pair: f"{100 * pair[0]:.1f}")
        parts += [f"Frechet's distance, guidance {guidance:g}:", distance]
        parts += [f"Accuracy in per cent, guidance {guidance:g}:", share]
    return "\n\n".join(parts)


def page(backend, count, results):
    """The whole page."""
    import torch
    from train import data, measured

    images, classes, held = real()
    weights = {name: torch.tensor(values) for name, values in shipped().items()}
    seen, unseen = (measured(weights, one[: held.sum()], other[: held.sum()]) for one, other in data())
    return PAGE.format(
        size=sum(values.size for values in shipped().values()),
        bytes=WEIGHTS.stat().st_size / 1e6,
        seen=seen,
        held=unseen,
        drawn=nearest(flat(drawn(backend, "auto", 20, 1.0, count)), images[~held]),
        between=nearest(images[held], images[~held]),
        right=100 * classifier().score(images[held], classes[held]),
        floor=frechet(images[::2], images[1::2]),
        count=count,
        tables=tables(results),
    )


def main():
    """Measure, and write the page and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("docs", "digits.md"))
    asked = parser.parse_args()
    backend = ms.backends.get(asked.backend)
    results = {guidance: runs(backend, asked.count, guidance) for guidance in GUIDANCE}
    asked.out.write_text(page(backend, asked.count, results), encoding="utf-8")
    made = figure(drawn(backend, "auto", 12, 2.0, 10 * SHOWN), results[1.0])
    made.savefig(asked.out.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
