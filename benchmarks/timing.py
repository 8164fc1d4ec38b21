"""How times are taken: contestants in turn, medians, ratios."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping

LEAST = 5  # rounds, however long they take


def rounds(contestants: Mapping[str, Callable[[], float]], seconds: float, least: int = LEAST) -> dict[str, float]:
    """Median of what each contestant returns, all of them taking turns for about `seconds`.

    What slows the machine for a while then slows all of them. A contestant returns its own time, so that what it
    prepares does not count. One round before the first is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    began = time.perf_counter()
    done = 0
    while done < least or time.perf_counter() - began < seconds:
        for name, run in contestants.items():
            found[name].append(run())
        done += 1
    return {name: statistics.median(times) for name, times in found.items()}


def timed(call: Callable[[], object], calls: int = 1) -> Callable[[], float]:
    """A contestant: seconds of `call`, which does `calls` of what is counted."""

    def run() -> float:
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) / calls

    return run


def best(call: Callable[[], object], seconds: float, least: int = LEAST) -> float:
    """The shortest of many times of a call, for what is to be a floor."""
    run = timed(call)
    run()
    began = time.perf_counter()
    times: list[float] = []
    while len(times) < least or time.perf_counter() - began < seconds:
        times.append(run())
    return min(times)


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp of the mean logarithm."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
