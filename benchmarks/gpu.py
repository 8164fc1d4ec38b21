"""What a step costs on an accelerator, in one command of under nine minutes.

    python -m benchmarks.gpu [--device cuda] [--libraries torch jax] [--seconds 480] [--quick] [--out NAME]

Every library at hand that has an accelerator is measured on it, diffusers beside torch where it is installed. The page
is kept as benchmarks/results/DEVICE.md and .json. `--device cpu` shows that all works.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import multisched as ms
from benchmarks import boards, gpu_noise, ours
from benchmarks.boards import Board
from benchmarks.machine import facts
from benchmarks.page import Section

SHAPES = ((1, 4, 64, 64), (2, 16, 128, 128), (1, 16, 21, 90, 160), (4, 16, 21, 60, 104))
DTYPES = ("float32", "bfloat16")
STEPS = 10
RECIPES: dict[str, Any] = {
    "Euler": ms.FlowMatchEuler(shift=3.0),
    "DPM++2M": ms.DPMSolverMultistep(),
    "UniPC 2": ms.UniPCMultistep(solver_order=2),
    "Heun": ms.Heun(),
    "Euler ancestral": ms.EulerAncestral(),
    "DDIM": ms.DDIM(clip_sample=False),
    "auto": ms.sampler("auto", like=ms.FlowMatchEuler(shift=3.0), calls=STEPS),
}
DIFFUSERS = {
    "Euler": "FlowMatchEulerDiscreteScheduler",
    "DPM++2M": "DPMSolverMultistepScheduler",
    "UniPC 2": "UniPCMultistepScheduler",
    "Heun": "HeunDiscreteScheduler",
    "Euler ancestral": "EulerAncestralDiscreteScheduler",
    "DDIM": "DDIMScheduler",
}
PACKAGES = ("multisched-diffusion", "numpy", "torch", "triton", "jax", "jaxlib", "mlx", "diffusers")
RESULTS = Path("benchmarks/results")


class LateError(Exception):
    """The time is up."""


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="instead of each library's first accelerator: cuda, mps, gpu, tpu, metal, cpu")
    parser.add_argument("--libraries", nargs="+", choices=list(boards.BOARDS), metavar="NAME", help="torch, jax, mlx")
    parser.add_argument("--seconds", type=float, default=480.0, help="after which nothing new is begun (480)")
    parser.add_argument("--quick", action="store_true", help="the smallest shape and few rounds, to see that all works")
    parser.add_argument("--out", type=Path, help="file to write, less its ending; without it the device's name")
    given = parser.parse_args()
    places = chosen(given.device, given.libraries)
    if not places:
        sys.exit("no library here has an accelerator; --device cpu shows that the benchmark works")
    deadline, sections = time.monotonic() + given.seconds, []
    made = [boards.BOARDS[name](device) for name, device in places.items()]
    out = given.out or RESULTS / made[0].about().replace(" ", "_").lower()
    share = given.seconds / len(made)
    for place, board in enumerate(made, 1):
        until = min(deadline, deadline - given.seconds + place * share)
        for measure in (steps, gpu_noise.measure):
            sections.append(measured(measure, board, given.quick, until))
            keep(sections, made, given.quick, out)  # so that nothing measured is lost
    print(out.with_suffix(".md").read_text(encoding="utf-8"))


def chosen(device: str | None, libraries: list[str] | None) -> dict[str, str]:
    """The device of each library."""
    if device is None:
        return {name: one for name, one in boards.found().items() if libraries is None or name in libraries}
    return dict.fromkeys(libraries or ["torch"], device)


def measured(measure: Callable[..., None], board: Board, quick: bool, until: float) -> Section:
    """A section, with what there was no time for named."""
    section = Section(f"{board.name}: {measure.__doc__ or ''}".rstrip(".\n"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            measure(board, section, quick, until)
        except LateError:
            section.say("The rest of this section is left out: the time was up.")
    return section


def keep(sections: list[Section], made: list[Board], quick: bool, out: Path) -> None:
    """The page and its figures."""
    machine = facts(PACKAGES)
    devices = ", ".join(f"{board.name} on {board.about()}" for board in made)
    parts = ["# On an accelerator", f"{devices}; {', '.join(f'{key} {value}' for key, value in machine.items())}."]
    parts += ["A quick run, whose figures mean little."] if quick else []
    text = "\n\n".join([*parts, *(section.markdown() for section in sections)])
    data = {"machine": machine, "devices": devices, "quick": quick}
    figures = {section.title: section.data for section in sections}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps({**data, **figures}, indent=1) + "\n", encoding="utf-8")


def steps(board: Board, section: Section, quick: bool, until: float) -> None:
    """a step in the middle of a run."""
    section.say(
        "`host` is what the host spends on a step, in microseconds, while the device works behind; `time` that of one",
        "step of many in a row, `floor` the time that the library's fastest copy takes for the bytes that the step has",
        "to move, so that `time / floor` of 1 is the pace of the memory; small steps are bound by the host instead.",
        "`launches` are kernels, counted by the profiler; `silent` is yes where a step reads nothing from the device.",
    )
    plans = {name: recipe.plan(STEPS) for name, recipe in RECIPES.items()}
    for shape in SHAPES[:1] if quick else SHAPES:
        for dtype in DTYPES:
            label = f"{'x'.join(map(str, shape))} {dtype}"
            rows: dict[str, dict[str, Any]] = {}
            section.data[label] = rows
            try:
                per_byte = board.per_byte(board.draw(shape, 0), 0.02 if quick else 0.1)
                for name, plan in plans.items():
                    for column, value in row_of(board, plan, name, shape, dtype, per_byte, quick, until):
                        rows.setdefault(name, {})[column] = value
            finally:
                section.say(f"### {label}")
                section.show("", rows)


def row_of(
    board: Board,
    plan: ms.Plan,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    per_byte: float,
    quick: bool,
    until: float,
) -> Iterator[tuple[str, Any]]:
    """The columns of a recipe: (name, value)."""
    seconds = 0.02 if quick else 0.08
    row = ours.middle(plan)[0]
    output, *noise = (board.draw(shape, 3 + k, dtype) for k in range(1 + plan.noise_draws))
    registers = tuple(board.draw(shape, 20 + k) for k in range(len(plan.tableau.registers)))  # float32, as sample() has
    floor = per_byte * bytes_moved(plan, row, registers[0].nbytes, output.nbytes)
    yield "floor, us", floor
    state = ms.State(registers[0], registers[1:], row)

    def step(compile: bool = False) -> Any:
        after = plan.step(state, output, tuple(noise), compile=compile)
        return (after.sample, *after.memory)

    modes: dict[str, Callable[[], Any]] = {"eager": step, "compiled": lambda: step(True)}
    if (replay := board.replayed(lambda: step(True))) is not None:
        modes["graph"] = replay
    for mode, call in modes.items():
        if time.monotonic() > until:
            raise LateError
        yield f"{mode} host", board.host(call, seconds)
        took = board.whole(call, seconds)
        yield f"{mode} time", took
        yield f"{mode} time / floor", took / floor
        if (counted := board.launches(call)) is not None:
            yield f"{mode} launches", counted[0]
            yield f"{mode} kernels / floor", counted[1] / floor
        if mode != "graph":
            yield f"{mode} silent", board.silent(call)
    if board.name == "torch":
        yield from gpu_noise.beside(board, DIFFUSERS.get(name), registers[0], output, seconds)


def bytes_moved(plan: ms.Plan, row: int, register: int, given: int) -> int:
    """Bytes that a row has to move: each operand of its sums once, at the size of a register or of what is given, and
    their results."""
    made, registers = ours.sums(plan, row), len(plan.tableau.registers)
    read = sum(register if operand < registers else given for operand in set().union(*made))
    return read + register * len(made)


if __name__ == "__main__":
    main()
