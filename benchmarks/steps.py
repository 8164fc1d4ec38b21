"""What does the host spend on a step, for every scheduler that both diffusers and we have?

Both sides have torch on one thread, inference mode, their timesteps set and their noise drawn beforehand.
"""

import statistics
import time
from collections.abc import Callable

import torch

import multisched as ms
from benchmarks import ours, peers
from benchmarks.page import Section
from benchmarks.timing import geometric_mean, rounds

NAME = "steps"
SHAPES = ((1, 4, 8, 8), (1, 4, 64, 64))
CALLED_OUT = ("UniPCMultistepScheduler", "SASolverScheduler")
RATIO, KERNELS, BOUND = "diffusers / torch", "torch kernels", "diffusers / kernels"
ALIKE = 5e-3  # of what both sides end at: a check that both are set alike; `tests/peers` compares coefficients


def measure(quick: bool) -> Section:
    """A table for each shape."""
    torch.set_num_threads(1)
    section = Section("Host time of an eager step")
    section.say(
        "Microseconds per model call, median of many runs that take turns: diffusers on torch, and ours on each",
        "backend, each call waited for. Both sides use the defaults of diffusers' class, and outputs and noise drawn",
        "beforehand; `set_timesteps` and `plan` are not counted, and neither is the scaling of the model's input.",
        f"`{RATIO}` above 1 says that ours is faster on the same library. `{KERNELS}` is what a step takes by torch's",
        "own calls with nothing around them: one for each term of its sums, and those that clip, measure norms and lay",
        f"a known image in. No eager step that does the same can be faster, so that `{BOUND}` is the most that the",
        "ratio could be.",
    )
    for shape in SHAPES:
        rows, left_out, unlike = {}, {}, []
        for name in peers.NAMES:
            try:
                rows[name], error = measure_one(name, shape, 0.05 if quick else 2.0)
            except (ValueError, TypeError, RuntimeError) as failure:
                left_out[name] = f"{type(failure).__name__}: {failure}"
                continue
            if error > ALIKE:
                unlike.append(name)
        report(section, "x".join(map(str, shape)), rows, left_out, unlike)
    return section


def measure_one(name: str, shape: tuple[int, ...], seconds: float) -> tuple[dict[str, float], float]:
    """Microseconds by contestant, and by how much the ends of the two runs differ."""
    peer = peers.Peer(name)
    plan = peer.recipe.plan(peer.steps)
    shape, output_shape = peer.shape(shape), peer.output_shape(shape)
    inputs = {backend: ours.Inputs(plan, backend, shape, output_shape) for backend in ours.names()}
    mine = inputs["torch"]
    x, output, z = mine.state.sample, mine.output, ours.draw("torch", shape, 1)

    def theirs() -> float:
        return peer.run(x, output, z)[1]

    with torch.inference_mode(), peer.drawn(z):
        error = difference(peer.run(x, output, z)[0], mine.run())
        contestants: dict[str, Callable[[], float]] = {"diffusers": theirs}
        contestants |= {backend: given.contestant() for backend, given in inputs.items()}
        contestants[KERNELS] = kernels(plan, shape)
        found = {key: value * 1e6 for key, value in rounds(contestants, seconds).items()}
    found[RATIO], found[BOUND] = found["diffusers"] / found["torch"], found["diffusers"] / found[KERNELS]
    return found, error


def kernels(plan: ms.Plan, shape: tuple[int, ...]) -> Callable[[], float]:
    """Seconds per row of torch's own kernels for what a plan does, one to a term, called with nothing around them: what
    no step that does the same by eager torch can do without."""
    tableau, zero = plan.folded, torch.zeros(())
    arrays = [ours.draw("torch", shape, k) for k in range(len(tableau.operands))]
    sums = []
    for row, x0 in zip(tableau.weights.tolist(), tableau.x0_weights.tolist(), strict=True):
        for register in (*row, *([] if plan.denoised_transform is None else [x0])):
            terms = [(array, weight) for array, weight in zip(arrays, register, strict=False) if weight]
            if terms and [weight for _, weight in terms] != [1.0]:
                first = terms.pop(0) if terms[0][1] == 1.0 else (zero, 1.0)
                sums.append((first[0], terms[0], terms[1:]))
    others = [call for row in range(len(plan)) for call in between(plan, row, arrays[0])]

    def run() -> float:
        began = time.perf_counter()
        for start, (array, weight), rest in sums:
            total = torch.add(start, array, alpha=weight)
            for array, weight in rest:
                total.add_(array, alpha=weight)
        for call in others:
            call()
        return (time.perf_counter() - began) / len(plan)

    return run


def between(plan: ms.Plan, row: int, array: torch.Tensor) -> list[Callable[[], object]]:
    """What a row does beside its sums."""
    found: list[Callable[[], object]] = []
    if isinstance(plan.denoised_transform, ms.transforms.Clip):
        limit = plan.denoised_transform.limit
        found.append(lambda: torch.clamp(array, -limit, limit))
    if plan.layout.masked is not None:
        found.append(lambda: torch.mul(array, array).add_((1.0 - array).mul_(array)))
    if isinstance(plan.noise_transform, ms.transforms.Langevin) and float(plan.noise_parameters[row, 0]) >= 0:
        found.append(lambda: langevin(array))
    elif isinstance(plan.noise_transform, ms.transforms.LearnedVariance):
        found.append(lambda: torch.mul(array, 0.5).add_(1.0).exp_().mul_(array))
    return found


def langevin(array: torch.Tensor) -> None:
    """The norms of the noise and the score, and both scaled."""
    c = torch.linalg.vector_norm(array) / torch.linalg.vector_norm(array)
    torch.mul(array, c * c)
    torch.mul(array, c)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def report(
    section: Section, shape: str, rows: dict[str, dict[str, float]], left_out: dict[str, str], unlike: list[str]
) -> None:
    """The table of a shape, and what it says."""
    ratios = {name: row[RATIO] for name, row in rows.items()}
    slowest = min(ratios, key=lambda name: ratios[name])
    summary = {
        "classes": len(rows),
        "minimum": ratios[slowest],
        "geometric mean": geometric_mean(ratios.values()),
        "median": statistics.median(ratios.values()),
        "bound": geometric_mean(row[BOUND] for row in rows.values()),
        "least bound": min(row[BOUND] for row in rows.values()),
        **{short(name): ratios[name] for name in CALLED_OUT if name in ratios},
    }
    section.data[shape] = {"us_per_step": rows, "summary": summary, "left_out": left_out, "unlike": unlike}
    called = ", ".join(f"{short(name)} {ratios[name]:.1f}" for name in CALLED_OUT if name in ratios)
    section.say(
        f"### {shape}\n\n{len(rows)} classes. diffusers takes {summary['geometric mean']:.1f} times as long as ours",
        f"on torch in the geometric mean ({summary['median']:.1f} in the median), and at least {ratios[slowest]:.2f}",
        f"times ({short(slowest)}); {called}. Of torch's kernels alone it takes {summary['bound']:.1f} times as long",
        f"in the geometric mean, and at least {summary['least bound']:.2f} times.",
    )
    section.show("microseconds", {short(name): row for name, row in rows.items()})
    if left_out:
        section.say("Left out:", "; ".join(f"{short(name)} ({reason})" for name, reason in left_out.items()) + ".")
    if unlike:
        section.say(
            f"The two sides end more than {ALIKE:g} apart, and may not do the same:",
            ", ".join(map(short, unlike)) + ".",
        )


def short(name: str) -> str:
    """A class without its ending."""
    return name.removesuffix("Scheduler")
