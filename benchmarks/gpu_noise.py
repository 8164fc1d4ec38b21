"""Noise on an accelerator, and what of diffusers is measured beside us there."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import multisched as ms
from benchmarks.boards import Board
from benchmarks.page import Section

COUNT, SMALL = 1 << 22, 40_960  # the small one is a wave of every GPU known to torch's numbers


def measure(board: Board, section: Section, quick: bool, until: float) -> None:
    """noise."""
    seconds = 0.02 if quick else 0.2
    shape = (1, SMALL if quick else COUNT)
    rows: dict[str, dict[str, float]] = {}
    source = ms.noise.PhiloxNoise(7)

    def philox() -> Any:
        return (source.normal_on(board.backend, board.device, [0], 3, 0, shape[1:]),)

    for name, call in {"philox": philox, **natives(board, shape)}.items():
        if time.monotonic() < until:
            rows[name] = {"ms per million": board.whole(call, seconds) * 1e3 / shape[1]}
    section.data["ms per million"] = rows
    section.show("", rows)
    if board.name == "torch" and str(board.device).startswith("cuda"):
        apart = cuda_numbers(board)
        section.data["TorchCudaNoise apart from torch.randn"] = apart
        section.say(f"`TorchCudaNoise` differs from `torch.randn(device='cuda')` by at most {apart:.2g}.")


def natives(board: Board, shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """The library's own generator, and `PhiloxNoise` compiled by it."""
    source = ms.noise.PhiloxNoise(7)
    if board.name == "torch":
        import torch

        step = torch.tensor(3, device=board.device)
        compiled = torch.compile(
            lambda step: source.normal_on(board.backend, board.device, [0], step, 0, shape[1:]), fullgraph=True
        )
        return {
            "torch.randn": lambda: (torch.randn(shape, device=board.device),),
            "philox, compiled": lambda: (compiled(step),),
        }
    if board.name == "jax":
        import jax

        key, place = jax.random.key(7), jax.numpy.asarray(3)
        normal = jax.jit(lambda key: jax.random.normal(key, shape))
        drawn = jax.jit(lambda step: source.normal_on(board.backend, None, [0], step, 0, shape[1:]))
        return {"jax.random.normal": lambda: (normal(key),), "philox, compiled": lambda: (drawn(place),)}
    import mlx.core as mx

    return {"mx.random.normal": lambda: (mx.random.normal(shape),)}


def cuda_numbers(board: Board) -> float:
    """The largest difference of `TorchCudaNoise` from what it stands for, for starting noise and two draws."""
    import torch

    generator = torch.Generator(device=board.device).manual_seed(7)
    source = ms.noise.TorchCudaNoise(7)
    wanted = [torch.randn((1, SMALL), generator=generator, device=board.device) for _ in range(3)]
    places = [(ms.noise.START, 0), (0, 0), (1, 0)]
    found = [source.normal_on(board.backend, board.device, [0], step, draw, (SMALL,)) for step, draw in places]
    return max(float((one - other).abs().max()) for one, other in zip(found, wanted, strict=True))


def beside(board: Board, name: str | None, x: Any, output: Any, seconds: float) -> Iterator[tuple[str, Any]]:
    """diffusers' step of the same kind on the same arrays, where diffusers is installed."""
    if name is None or importlib.util.find_spec("diffusers") is None:
        return
    import diffusers

    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(10, device=board.device)
    timesteps = list(scheduler.timesteps)
    call = {"next": len(timesteps)}

    def step() -> Any:
        if call["next"] >= len(timesteps) - 1:
            scheduler.set_timesteps(10, device=board.device)
            if hasattr(scheduler, "is_scale_input_called"):
                scheduler.is_scale_input_called = True
            call["next"] = 0
        t = timesteps[call["next"]]
        call["next"] += 1
        return (scheduler.step(output, t, x, return_dict=False)[0],)

    yield "diffusers host", board.host(step, seconds)
    yield "diffusers time", board.whole(step, seconds)
