"""The picture at the top of the README: error over calls of eight samplers, and one seed's digits on four libraries.

    python -m benchmarks.headline [--out docs/_static/headline.svg]

The errors are those of `benchmarks/results/accuracy.json`. The digits are drawn anew, by the network that comes with
the package, and the largest difference of a pixel from NumPy's stands beside each library. The colours follow the
reader's light or dark scheme, on a background of the picture's own.
"""

import argparse
import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import multisched as ms
from multisched import digits

RESULTS = Path(__file__).with_name("results") / "accuracy.json"
CELL = "vp@1"
LINES = {
    "auto": ("multisched auto", "#e5484d"),
    "UniPC 2, our spacing": ("UniPC, our spacing", "#9a5fd6"),
    "UniPC 2, karras": ("UniPC, Karras", "#2f81f7"),
    "iPNDM 4, karras": ("iPNDM, Karras", "#12a594"),
    "DPM++ 2M, karras": ("DPM++ 2M, Karras", "#f08c2e"),
    "Euler, karras": ("Euler, Karras", "#a0754f"),
    "UniPC 2, linspace": ("UniPC, linspace", "#6f8fb0"),
    "Euler, trailing": ("Euler, trailing", "#8b929a"),
}
"""Settings of the file, each with its label and its colour."""

LIBRARIES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "mlx": "MLX"}
CLASSES, GUIDANCE, CALLS, SEED = (2, 3, 5, 7, 8), 2.0, 12, 1
WIDTH, HEIGHT = 900, 372
LEFT, TOP, ACROSS, DOWN = 56, 62, 300, 256  # the axes
SIDE, GAP, ROWS = 52, 8, 590  # a digit, the space between two, and where the rows of digits begin
STYLE = """
.ground { fill: #ffffff } .ink { fill: #1f2328 } .dim { fill: #59636e } .rule { stroke: #d8dee4 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 } .ink { fill: #f0f6fc } .dim { fill: #9198a1 } .rule { stroke: #2d333b }
}
"""


def text(x: float, y: float, words: str, kind: str = "ink", anchor: str = "start", more: str = "") -> str:
    """Words at a place, of a class of the style."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{words}</text>'


def chart(errors_of: dict[str, Any]) -> list[str]:
    """Both axes logarithmic; each line has its name at its end."""
    calls = [int(n) for n in errors_of]
    errors = {name: [errors_of[str(n)]["settings"][name]["rms"] for n in calls] for name in LINES}
    every = [value for line in errors.values() for value in line]
    low, high = math.floor(math.log10(min(every))), math.log10(max(every)) + 0.1

    def across(n: float) -> float:
        return LEFT + ACROSS * math.log(n / calls[0]) / math.log(calls[-1] / calls[0])

    def down(value: float) -> float:
        return TOP + DOWN * (high - math.log10(value)) / (high - low)

    parts = [text(LEFT, 28, "Error over calls of the model", more=' font-size="15" font-weight="600"')]
    parts.append(text(LEFT, 46, "deviation from the network's own flow (RMS); noise prediction", "dim"))
    for power in range(low, math.floor(high) + 1):
        y = down(10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{ACROSS}" class="rule"/>')
        exponent = f'<tspan dy="-5" font-size="9">&#8722;{-power}</tspan>'
        parts.append(text(LEFT - 8, y + 4, f"10{exponent}", "dim", "end"))
    parts += [text(across(n), TOP + DOWN + 18, str(n), "dim", "middle") for n in calls]
    parts.append(text(LEFT + ACROSS / 2, TOP + DOWN + 38, "calls", "dim", "middle"))
    for name, (_, colour) in reversed(LINES.items()):
        wide = 3.5 if name == "auto" else 1.8
        points = "L".join(f"{across(n):.1f} {down(value):.1f}" for n, value in zip(calls, errors[name], strict=True))
        parts.append(f'<path d="M{points}" fill="none" stroke="{colour}" stroke-width="{wide}"/>')
        parts += [
            f'<circle cx="{across(n):.1f}" cy="{down(value):.1f}" r="{wide:.1f}" fill="{colour}"/>'
            for n, value in zip(calls, errors[name], strict=True)
        ]
    place = -math.inf
    for name in sorted(LINES, key=lambda one: down(errors[one][-1])):
        place, (label, colour) = max(place + 16, down(errors[name][-1])), LINES[name]
        parts.append(f'<circle cx="{LEFT + ACROSS + 16}" cy="{place:.1f}" r="4" fill="{colour}"/>')
        heavy = ' font-weight="600"' if name == "auto" else ""
        parts.append(text(LEFT + ACROSS + 26, place + 4, label, more=heavy))
    return parts


def drawn(library: str) -> np.ndarray:
    """Digits of one seed by one library, float64 (digits, 8, 8) in [-1, 1]."""
    recipe = ms.sampler("auto", like=digits.RECIPE, calls=CALLS, guidance=GUIDANCE)
    noise = ms.noise.normal((len(CLASSES), 1, 8, 8), rng=SEED, backend=library)
    model = digits.guided(digits.load(library), list(CLASSES), GUIDANCE)
    images = ms.backends.get(library).to_numpy(ms.sample(model, recipe.plan(CALLS), noise))
    return np.asarray(images[:, 0], np.float64)


def png(image: np.ndarray) -> str:
    """An image of one channel in [-1, 1] as a data address, its pixels enlarged."""
    from PIL import Image

    pixels = np.round((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def rows() -> list[str]:
    """A row of digits for each library."""
    images = {library: drawn(library) for library in LIBRARIES}
    parts = [text(ROWS, 28, "One seed on four libraries", more=' font-size="15" font-weight="600"')]
    parts.append(text(ROWS, 46, f"the network of digits, {CALLS} calls", "dim"))
    for row, (library, name) in enumerate(LIBRARIES.items()):
        y = TOP + row * (SIDE + 2 * GAP)
        apart = np.max(np.abs(images[library] - images["numpy"]))
        parts += [
            f'<image x="{ROWS + k * (SIDE + 2)}" y="{y}" width="{SIDE - 4}" height="{SIDE - 4}" href="{png(one)}"/>'
            for k, one in enumerate(images[library])
        ]
        parts.append(text(ROWS - 12, y + 24, name, "ink", "end"))
        if row:
            parts.append(text(ROWS - 12, y + 40, f"{apart:.0e}".replace("e-0", "e-"), "dim", "end", ' font-size="11"'))
    below = TOP + 4 * (SIDE + 2 * GAP) + 14
    parts.append(text(ROWS, below, "number: largest difference of a pixel", "dim"))
    return [*parts, text(ROWS, below + 17, "from NumPy's, in pixels of -1 to 1", "dim")]


def cells() -> dict[str, Any]:
    """Measured errors by the number of calls."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))["cells"][CELL]
    return found


def figure() -> str:
    """The whole picture, as SVG."""
    body = "\n".join([f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" class="ground"/>', *chart(cells()), *rows()])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    title = "<title>Error over calls of eight samplers; one seed's digits on NumPy, PyTorch, JAX and MLX</title>"
    fonts = 'font-family="system-ui, sans-serif" font-size="12.5"'
    return f"{head} {fonts}>\n{title}\n<style>{STYLE}</style>\n{body}\n</svg>\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/_static/headline.svg"))
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(figure(), encoding="utf-8")
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
