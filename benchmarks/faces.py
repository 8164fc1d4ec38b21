"""What do the loop, the scheduler object and clipping cost over `plan.step` itself?"""

import time
from collections.abc import Callable
from typing import Any

import torch

import multisched as ms
from benchmarks import ours
from benchmarks.page import Section

NAME = "faces"
SHAPE, STEPS = (1, 4, 8, 8), 16
BACKENDS = ("numpy", "torch")
RECIPES: dict[str, Any] = {
    "flow Euler": ms.FlowMatchEuler(shift=3.0),
    "DPM++2M": ms.DPMSolverMultistep(),
    "UniPC": ms.UniPCMultistep(),
    "DDIM": ms.DDIM(clip_sample=False),
}


def measure(quick: bool) -> Section:
    """A table for each backend."""
    torch.set_num_threads(1)
    section = Section("The loop and the scheduler object")
    section.say(
        f"Time over that of a loop of `plan.step` with the same model, {STEPS} small steps, the least of many runs",
        "that take turns: `ms.sample`, the scheduler object of `recipe.on`, the same with `set_timesteps` in each run,",
        "and the loop of a plan that clips.",
    )
    for backend in (name for name in BACKENDS if name in ours.names()):
        with torch.inference_mode():
            rows = {name: measure_one(recipe, backend, 20 if quick else 300) for name, recipe in RECIPES.items()}
        section.data[backend] = rows
        section.show(backend, rows)
    return section


def measure_one(recipe: ms.Recipe, backend: str, count: int) -> dict[str, float]:
    """Ratios by contestant."""
    x, output = (ours.draw(backend, SHAPE, seed) for seed in (0, 2))

    def model(x: Any, t: Any) -> Any:
        return output

    def loop(plan: ms.Plan) -> None:
        state = plan.start(x)
        for t in plan.timesteps:
            state = plan.step(state, model(plan.model_input(state), t))

    plan, scheduler = recipe.plan(STEPS), recipe.on(backend)

    def stateful() -> None:
        sample = x
        for t in timesteps:
            sample = scheduler.step(model(scheduler.scale_model_input(sample, t), t), t, sample)

    scheduler.set_timesteps(STEPS)
    timesteps = list(scheduler.timesteps())
    contestants: dict[str, Callable[[], object]] = {
        "plan.step": lambda: loop(plan),
        "ms.sample": lambda: ms.sample(model, plan, x),
        "object": lambda: (scheduler.reset(), stateful()),
        "object, set anew": lambda: (scheduler.set_timesteps(STEPS), stateful()),
    }
    if isinstance(recipe, ms.DDIM):
        clipped = ms.DDIM(clip_sample=True).plan(STEPS)
        contestants["clipped"] = lambda: loop(clipped)
    found = least(contestants, count)
    base = found.pop("plan.step")
    return {name: took / base for name, took in found.items()}


def least(contestants: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """The least time of each contestant on this thread, which waiting for others does not count towards."""
    found = dict.fromkeys(contestants, float("inf"))
    for _ in range(count):
        for name, run in contestants.items():
            began = time.thread_time()
            run()
            found[name] = min(found[name], time.thread_time() - began)
    return found
