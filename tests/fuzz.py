"""Random recipes, configurations and arguments, valid and hostile: each ends in a finite plan or in one short sentence.

    python tests/fuzz.py --count 200000 --seed 0

One case is made of its seed alone, so that `case(seed)` shows again what a run has found.
"""

import argparse
import json
import math
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from inspect import isabstract
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zoo

import multisched as ms
from multisched.interop.diffusers import PEERS

SECONDS = 1.0  # of processor time that a case may take
LENGTH = 400  # characters of a message, at most

HOSTILE: tuple[Any, ...] = (
    *(10**400, -(10**400), 10**9, -(10**9), 2**63, 10**5, 10**4, 0, -1, 1, 2, 7),
    *(math.nan, math.inf, -math.inf, -0.0, 0.0, 1e308, -1e308, 1e200, 1e39, 1e20, 1e-300, 5e-324, 1e-40, 1e-9, -0.5),
    *(0.5, 1.0, 1.5, np.float32(0.3), np.float64(1e300), np.int8(-3), np.uint64(2**64 - 1), np.float16(7.0)),
    *(np.array(0.5), np.array(3), np.array(None), np.array("x"), np.array([1.0, 0.5]), np.zeros((2, 2)), np.array([])),
    *(np.array([object()]), np.array([1 + 2j]), np.longdouble("1e4000"), np.bool_(True), np.datetime64("2020-01-01")),
    *(1j, Decimal("0.5"), Decimal(10) ** 400, Fraction(1, 3), Fraction(10**400), True, False, None, Ellipsis),
    *(
        "",
        "x",
        "nan",
        "1",
        "karras",
        "cosine",
        "v-prediction",
        "x" * 10_000,
        "\n",
        "\ud800",
        b"epsilon",
        bytearray(b"1"),
    ),
    *({}, {"a": 1}, set(), {1, 2}, frozenset({0.5}), [], (), [1], [0.5], [None], [[]], [[1.0], [1.0, 0.5]], [1, "a"]),
    *(
        list(range(1000)),
        tuple(np.linspace(1, 0, 1000)),
        [10**400, 1],
        [0.5, math.nan],
        [1.0, 0.5, 0.25],
        [True, False],
    ),
    *(print, object(), type, int, ms.DDIM(), ms.solvers.Euler(), ms.solvers.Heun(), range(5), iter([1]), [1j], "0.5"),
)

TIMESTEPS = ([999, 500, 1], [900.5, 100.25], [1000.0, 500.0], [1, 500, 999], [0.9, 0.5, 0.1], [3.0, 1.0], [5, 5], [0])
SIGMAS = ([1.0, 0.5, 0.25], [0.9, 0.0], [80.0, 10.0, 0.1], [14.6, 3.0, 0.03, 0.0], [0.999, 0.5], [0.5], [1e300, 1.0])
STEPS = (1, 1, 2, 3, 4, 5, 7, 10, 14, 15, 20, 50)

CONFIGS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "configs").glob("*.json"))]
CONFIGS = [config for config in CONFIGS if config.get("_class_name") in PEERS]
CLASSES = tuple(PEERS)
NAMES = (
    *("FlaxDDIMScheduler", "VQDiffusionScheduler", "EulerScheduler", "DDIM", "DDIMSchedular", "FluxPipeline", ""),
    *(None, 5, ["DDIMScheduler"], ["diffusers", "DDIMScheduler"], {"a": 1}, "x" * 10_000, b"DDIMScheduler"),
)


def _kinds(room: Any, base: type) -> tuple[type, ...]:
    """The classes of a room that can be made."""
    found = (getattr(room, name) for name in room.__all__)
    return tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, base) and _makeable(kind))


def _makeable(kind: type) -> bool:
    return is_dataclass(kind) and not isabstract(kind)


PATHS = _kinds(ms.paths, ms.paths.Path)
LINKS = tuple(kind for kind in _kinds(ms.spacings, ms.spacings.Spacing) if kind is not ms.spacings.Chain)
PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction", "flow_to_data", "edm", "score")


class Case(NamedTuple):
    """What is tried: a name for reports, and a call that makes a plan, another value, or an error."""

    name: str
    make: Callable[[], Any]


@dataclass
class Found:
    """What a run of cases has found."""

    plans: int = 0
    others: int = 0
    errors: int = 0
    slowest: tuple[float, str] = (0.0, "")
    longest: str = ""
    faults: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = self.plans + self.others + self.errors + len(self.faults)
        lines = [
            f"{done} cases: {self.plans} plans, {self.others} other values, {self.errors} errors",
            f"slowest: {self.slowest[0]:.3f} s, {self.slowest[1][:300]}",
            f"longest message: {len(self.longest)} characters, {self.longest}",
            f"{len(self.faults)} faults",
        ]
        kinds = Counter(fault.partition(" | ")[0] for fault in self.faults)
        return "\n".join([*lines, *(f"  {count} x {kind}" for kind, count in kinds.most_common(40))])


@cache
def _valid(kind: type, name: str) -> tuple[Any, ...]:
    """Values of an option out of the zoo, of this recipe and of others that have one of the same name."""
    mine = [recipe for recipe in zoo.EVERY.values() if type(recipe) is kind]
    alike = [getattr(recipe, name) for recipe in zoo.EVERY.values() if hasattr(recipe, name)]
    return (*alike, *(value for recipe in mine[:2] for value in zoo.others(recipe, name)))


def _value(draw: random.Random, kind: type, name: str) -> Any:
    """A value for an option: four in five are of its kind."""
    if draw.random() < 0.2:
        return draw.choice(HOSTILE)
    values = _valid(kind, name)
    return _near(draw, draw.choice(values)) if values else draw.choice(HOSTILE)


def _near(draw: random.Random, value: Any) -> Any:
    """The value itself, or, of a number, now and then another of any size."""
    if type(value) is float and draw.random() < 0.4:
        return draw.choice((-1, 1, 1, 1)) * 10 ** draw.uniform(-12, 12)
    if type(value) is int and draw.random() < 0.3:
        return int(10 ** draw.uniform(0, 6))
    return value


def _count(draw: random.Random) -> int:
    return draw.choice((0, 0, 1, 1, 1, 2, 3, 5))


def arguments(draw: random.Random) -> dict[str, Any]:
    """Arguments of `plan`."""
    chosen: dict[str, Any] = {}
    way = draw.random()
    if way < 0.75:
        chosen["n"] = draw.choice(STEPS) if draw.random() < 0.85 else draw.choice((*HOSTILE, 999, 1000, 1001, 250))
    if 0.75 <= way < 0.9 or draw.random() < 0.03:
        chosen["sigmas"] = draw.choice(SIGMAS if draw.random() < 0.7 else HOSTILE)
    if way >= 0.9 or draw.random() < 0.03:
        chosen["timesteps"] = draw.choice(TIMESTEPS if draw.random() < 0.7 else HOSTILE)
    if draw.random() < 0.15:
        named = draw.choice(ms.spacings.NAMES)
        chosen["spacing"] = draw.choice((named, named, ms.spacings.Trailing(), *HOSTILE[:5], *HOSTILE[-8:]))
    for name, values in (("mu", (1.0, 0.5, -3.0)), ("start", (0, 1, 2)), ("stop", (1, 2, 3)), ("strength", (0.1, 0.6))):
        if draw.random() < 0.1:
            chosen[name] = draw.choice(values if draw.random() < 0.6 else HOSTILE)
    return chosen


def _recipe(draw: random.Random) -> Case:
    base = draw.choice(list(zoo.EVERY.values()))
    names = [field.name for field in fields(base) if field.compare]  # type: ignore[arg-type]
    options = {name: _value(draw, type(base), name) for name in draw.sample(names, min(_count(draw), len(names)))}
    given = arguments(draw)
    name = f"replace({base!r}, **{options!r:.2000}).plan(**{given!r:.1000})"
    return Case(name, lambda: replace(base, **options).plan(**given))  # type: ignore[type-var]


def _configuration(draw: random.Random) -> Case:
    if draw.random() < 0.5:
        config = dict(draw.choice(CONFIGS))
        if draw.random() < 0.3:
            config["_class_name"] = draw.choice(CLASSES)
    else:
        config = {"_class_name": draw.choice((*CLASSES, *NAMES) if draw.random() < 0.2 else CLASSES)}
    name = config["_class_name"]
    peer = PEERS.get(name) if isinstance(name, str) else None
    if peer is not None:
        keys = list(peer.keys)
        for key in draw.sample(keys, min(_count(draw), len(keys))):
            config[key] = _value(draw, peer.recipe, peer.keys[key])
    if draw.random() < 0.2:
        odd = ("sigma_min", "sigma_max", "skip_steps", "_use_default_values", "_target_", "x", "", 5, None, ("a",), 1.5)
        config[draw.choice(odd)] = draw.choice(HOSTILE)
    source: Any = config if draw.random() < 0.97 else draw.choice(HOSTILE)
    given, strict = arguments(draw), draw.random() < 0.7
    return Case(
        f"from_diffusers({source!r:.2000}, strict={strict}).plan(**{given!r:.1000})",
        lambda: ms.from_diffusers(source, strict=strict).plan(**given),
    )


def _part(draw: random.Random) -> Case:
    """A path, links, a solver and a prediction of random options, and a plan of them."""
    links = draw.choices(LINKS, k=draw.choice((1, 1, 2, 2, 3, 4)))
    kinds = (draw.choice(zoo.SOLVER_KINDS), draw.choice(PATHS), *links)
    given, made = arguments(draw), []
    for kind in kinds:
        own = [field for field in fields(kind) if field.compare]  # type: ignore[arg-type]
        needed = [one.name for one in own if one.default is MISSING]
        chosen = {*needed, *draw.sample([one.name for one in own], min(_count(draw), len(own)))}
        named = {one.name: one for one in own}
        made.append({name: _option(draw, named[name]) for name in sorted(chosen)})
    word = draw.choice(PREDICTIONS if draw.random() < 0.9 else HOSTILE)
    data = draw.choice((0.5, 1.0) if draw.random() < 0.9 else HOSTILE)

    def make() -> Any:
        solver, path, *some = (kind(**options) for kind, options in zip(kinds, made, strict=True))
        return ms.Scheduler(path, ms.spacings.Chain(tuple(some)), ms.Prediction(word, data), solver).plan(**given)

    parts = (f"{kind.__name__}(**{options!r:.500})" for kind, options in zip(kinds, made, strict=True))
    return Case(f"{', '.join(parts)}, {word!r:.60}, {data!r:.60}, {given!r:.1000}", make)


def _option(draw: random.Random, field: Any) -> Any:
    """A value for a field of a part, by its type."""
    if draw.random() < 0.2:
        return draw.choice(HOSTILE)
    pools: dict[Any, tuple[Any, ...]] = {
        float: zoo.NUMBERS,
        int: (1, 2, 3, 4, 10, 1000),
        bool: (True, False),
        str: ("linear", "karras", "even", "zero", "last", "midpoint", "ve", "vp", "trailing", "leading", "bh2", "down"),
    }
    odd = (None, 0.5, 3, (0, 1), "karras", ms.DDIM().parts().path, ms.spacings.Even(), ms.DDIM().parts().spacing)
    values = pools.get(field.type, odd)
    return _near(draw, draw.choice(values if field.default is MISSING else (*values, field.default)))


def _function(draw: random.Random) -> Case:
    def some(*valid: Any) -> Any:
        return draw.choice(valid if draw.random() < 0.5 else HOSTILE)

    plan, x = ms.DDIM().plan(2), np.ones((2, 3), np.float32)
    choices: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
        (ms.retrieve_timesteps, (some(None, "cpu"), some(*SIGMAS), some(2, 3), some(1000), some(None, [1.0, 0.5]))),
        (ms.betas_for_alpha_bar, (some(10, 1000), some(0.999, 0.5), some("cosine", "exp", "laplace"))),
        (ms.rescale_zero_terminal_snr, (some([0.1, 0.2, 0.3], np.linspace(0.1, 0.2, 9, dtype="float32")),)),
        (ms.spacings.align_your_steps, (some("sd1", "sdxl", "svd"), some(5, 10, 20))),
        (ms.noise.normal, (some((2, 3)), some(0, [1, 2]), some("numpy"), some(None, "cpu"), some(None, "float32"))),
        (ms.Grid, (some([2.0, 1.0, 0.0]), some([0.5, 0.8, 1.0]), some([0.9, 0.5, 0.0]))),
        (ms.stack_plans, (some([plan], (plan, plan)),)),
        (ms.Tableau, (some(np.ones((1, 1, 2))), some(np.ones((1, 2))), some(("sample",)), some(("sample", "output")))),
        (ms.DDIM().plan_over, (some(plan.grid),)),
        (ms.DDIM().on, (some("numpy"), some(None, "cpu"), some(0, 1))),
        (ms.DDIM().add_noise, (some(x), some(x), some(1, [1, 2], np.array([1, 2])))),
        (ms.DDIM().get_velocity, (some(x), some(x), some(1, [1, 2], np.array([1, 2])))),
        (plan.start, (x, some(None, x), some(None, "float32", np.float64))),
        (ms.DDIM().on("numpy").set_timesteps, (some(2, 3),)),
        (ms.sample, (lambda y, t: y, some(plan), some(x), some(0), some("auto", "python"))),
        (ms.backends.get, (some("numpy"),)),
    )
    function, given = draw.choice(choices)
    return Case(f"{getattr(function, '__qualname__', function)}(*{given!r:.2000})", lambda: function(*given))


def case(seed: int) -> Case:
    """The case of a seed."""
    draw = random.Random(seed)
    make = draw.choices((_recipe, _configuration, _part, _function), (8, 6, 3, 3))[0]
    return make(draw)


def _check(made: Any) -> bool:
    """Whether it is a plan; one whose numbers are not finite is a fault, in float64 or after a cast to float32."""
    if not isinstance(made, ms.Plan):
        return False
    grid, rows = made.grid, made.rows
    arrays = [made.tableau.weights, made.tableau.x0_weights, made.folded.weights, made.noise_parameters]
    arrays += [rows.timestep, rows.scale, made.timesteps, grid.timesteps, made.sigmas, made.alphas, grid.next_sigmas]
    if not all(np.all(np.isfinite(array)) for array in arrays) or not math.isfinite(grid.init_noise_sigma):
        raise AssertionError("the plan is not finite")
    hash(made)
    if not np.all(np.isfinite(made.table("numpy"))):
        raise AssertionError("the table in float32 is not finite")
    return True


def run(seeds: range) -> Found:
    """Try the cases of these seeds."""
    found, faults = Found(), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in seeds:
            one = case(seed)
            began, trouble = time.thread_time(), None
            try:
                is_plan = _check(one.make())
                found.plans += is_plan
                found.others += not is_plan
            except ms.ScheduleError as error:
                found.errors += 1
                text = str(error)
                found.longest = max(found.longest, text, key=len)
                if len(text) >= LENGTH or "\n" in text or not text.endswith((".", "?")):
                    trouble = f"message {text[:80]!r}"
            except Exception as error:
                trouble = f"{type(error).__name__}: {str(error)[:80]!r} in {_place(error)}"
            seconds = time.thread_time() - began
            found.slowest = max(found.slowest, (seconds, one.name))
            if trouble is None and seconds > SECONDS:
                trouble = f"{seconds:.1f} s"
            if trouble is not None:
                faults.append(f"{trouble} | seed {seed}: {one.name}")
    found.faults = tuple(faults)
    return found


def _place(error: BaseException) -> str:
    place = "?"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
        if "multisched" in trace.tb_frame.f_code.co_filename:
            place = "/".join(Path(trace.tb_frame.f_code.co_filename).parts[-2:]) + f":{trace.tb_lineno}"
    return place


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    options = parser.parse_args()
    found = run(range(options.seed, options.seed + options.count))
    sys.stdout.write("\n".join([str(found), *(fault[:1500] for fault in found.faults[:200])]) + "\n")
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
