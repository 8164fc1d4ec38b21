"""Figures of plans and of errors, by Matplotlib."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.pictures.files import encoded, extra
from multisched.table.plan import Plan
from multisched.values import option, shown

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#882255", "#117733", "#AA4499", "#999933", "#444444"),
)
"""Of the curves in turn; the first six are Okabe and Ito's, which most people tell apart."""
MARKERS = "os^DvPX*<>hp"
MOST = len(COLOURS)
"""Curves of a figure, at most."""
FAINT, DARK = "#B0B0B0", "#333333"

Axis = Literal["lam", "log-snr", "sigma"]
AXES: Mapping[str, str] = {
    "lam": r"$\lambda = \log(\alpha / \sigma)$, half the log-SNR",
    "log-snr": r"log-SNR $= 2 \log(\alpha / \sigma)$",
    "sigma": r"$\sigma$, on the scale of each path",
}
"""What the levels may be drawn over, and what the axis says."""


def plot(
    plans: Iterable[Plan],
    axis: Axis = "lam",
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    size: tuple[float, float] | None = None,
    figure: Any = None,
) -> Any:
    """A Matplotlib figure of plans: on the left the noise level at each step, the end included, on the right the
    timesteps that are passed to the model.

    Args:
        plans: up to 12.
        axis: what a level is drawn as. In "lam" and "log-snr" samples of all paths compare, whatever their scale;
            "sigma" is the path's own, on a logarithmic axis. Where it is infinite there (sigma = 0, or alpha = 0 at
            pure noise) a triangle at the edge of the figure says so.
        labels: a name of each curve; None for the names of the recipes.
        title: of the whole figure; None for none.
        size: width and height in inches.
        figure: an empty figure to draw into, such as `plt.figure(layout="constrained")` of pyplot; None for a new one,
            which pyplot does not know.

    Raises:
        ScheduleError: if there are no plans or more than 12, the labels are of another number, or Matplotlib is not
            installed.

    Example:
        >>> figure = ms.pictures.plot([ms.DDIM().plan(20), ms.EDMEuler().plan(20), ms.FlowMatchEuler().plan(20)])
        >>> [axes.get_title() for axes in figure.axes]
        ['Noise level at each step', 'Timestep passed to the model']
    """
    plans = list(plans)
    option("axis", axis, tuple(AXES))
    names = _labels([plan.name for plan in plans], labels)
    figure = _figure(figure, size or (10, 4.6 + 0.25 * (len(plans) > 4) + 0.25 * (len(plans) > 8)), title)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    levels = [_levels(plan, axis) for plan in plans]
    if axis == "sigma":
        left.set_yscale("log")
    for k, (name, plan, values) in enumerate(zip(names, plans, levels, strict=True)):
        finite = np.flatnonzero(np.isfinite(values))
        _curve(left, k, len(plans), finite, values[finite], name)
        _curve(right, k, len(plans), np.arange(len(plan)), plan.timesteps, name)
    _edges(left, levels, axis)
    left.set(xlabel="step", ylabel=AXES[axis], title="Noise level at each step")
    right.set(xlabel="model call", ylabel="timestep", title="Timestep passed to the model")
    for one in (left, right):
        one.xaxis.get_major_locator().set_params(integer=True)
        _plain(one)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _levels(plan: Plan, axis: str) -> np.ndarray:
    """What is drawn of the levels of the steps and of the end, infinite where it is."""
    alpha, sigma = (np.asarray(one, dtype=np.float64) for one in (plan.alphas, plan.sigmas))
    if axis == "sigma":
        return np.where(sigma > 0, sigma, -np.inf)
    with np.errstate(divide="ignore"):
        return (2 if axis == "log-snr" else 1) * (np.log(alpha) - np.log(sigma))


def _edges(axes: Any, levels: Sequence[np.ndarray], axis: str) -> None:
    """Triangles at the edges where levels are infinite, a line to each, and what they say; "end" at other ends."""
    for values in {round(float(one[-1]), 2): one for one in levels if len(one) and np.isfinite(one[-1])}.values():
        _say(axes, "end", (len(values) - 1, float(values[-1])), (0, 8), "center", "bottom")
    axes.margins(y=0.12)
    axes.autoscale_view()
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    below = r"$\sigma = 0$: the clean sample" if axis == "sigma" else r"$\alpha = 0$: pure noise"
    for far, edge, marker, text in (
        (np.inf, high, "^", r"▲ $\sigma = 0$: the clean sample"),
        (-np.inf, low, "v", f"▼ {below}"),
    ):
        found = [(COLOURS[k], values) for k, values in enumerate(levels) if far in values]
        for k, (colour, values) in enumerate(found):
            _infinite(axes, values, np.flatnonzero(values == far).tolist(), (edge, marker, colour, max(12 - 2 * k, 5)))
        if found:
            last = max(int(np.flatnonzero(values == far)[-1]) for _, values in found)
            left, up = last < max(map(len, levels)) / 2, far > 0
            shift = (12 if left else -12, -4 if up else 4)
            _say(axes, text, (last, edge), shift, "left" if left else "right", "top" if up else "bottom")


def _infinite(axes: Any, values: np.ndarray, places: Sequence[int], style: tuple[float, str, str, float]) -> None:
    """Markers at the edge at some places of a curve, with lines to their neighbours."""
    edge, marker, colour, size = style
    for place in places:
        near = place - 1 if place else place + 1
        if 0 <= near < len(values) and np.isfinite(values[near]):
            axes.plot([near, place], [values[near], edge], ":", color=colour, linewidth=1.2)
        axes.plot([place], [edge], marker, color=colour, clip_on=False, markersize=size)


def _say(
    axes: Any, text: str, place: tuple[float, float], shift: tuple[float, float], across: str, upright: str
) -> None:
    axes.annotate(text, place, xytext=shift, textcoords="offset points", ha=across, va=upright, color=DARK,
                  fontsize="small")  # fmt: skip


def compare(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str | None = None,
    error: str = "error",
    size: tuple[float, float] | None = None,
    figure: Any = None,
) -> Any:
    """A Matplotlib figure of errors over model calls, both on logarithmic axes, on which an order is a slope.

    Args:
        curves: of up to 12 names, the numbers of calls and the errors; errors that are no positive number are left out.
        title: of the figure; None for none.
        error: what the errors are, for their axis.
        size: width and height in inches.
        figure: an empty figure to draw into; None for a new one.

    Raises:
        ScheduleError: if there are no curves or more than 12, or Matplotlib is not installed.

    Example:
        >>> calls = [5, 10, 20]
        >>> errors = [ms.analysis.error(ms.sampler("euler", ms.paths.Straight()).plan(n)) for n in calls]
        >>> ms.pictures.compare({"euler": (calls, errors)}).axes[0].get_xscale()
        'log'
    """
    names, ticks = _labels(list(curves), None), Counter[float]()
    figure = _figure(figure, size or (8, 5.4), title)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="model calls", ylabel=error)
    for k, name in enumerate(names):
        calls, errors = (np.asarray(one, dtype=np.float64) for one in curves[name])
        good = np.isfinite(errors) & (errors > 0)
        ticks.update(calls[good].tolist())
        _curve(axes, k, len(names), calls[good], errors[good], name)
    _orders(axes)
    if ticks:
        axes.set_xticks(_apart(ticks))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    _plain(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _orders(axes: Any) -> None:
    """Faint lines with the slopes of orders 1, 2 and 3, through the upper left corner."""
    (first, last), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(first, last), ylim=(low, high))
    for order in (1, 2, 3):
        end = high * (first / last) ** order
        axes.plot([first, last], [high, end], "--", color=FAINT, linewidth=0.8, zorder=0)
        reach = last if end >= low else first * (high / low) ** (1 / order)
        text, place = f"order {order}", (reach, max(end, low))
        axes.annotate(
            text, place, xytext=(-3, 3), textcoords="offset points", ha="right", va="bottom", color="#808080",
            zorder=0.5, fontsize="x-small", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip


def _apart(ticks: Counter[float]) -> list[float]:
    """Those of the ticks whose labels do not touch, the most frequent ones first."""
    kept: list[float] = []
    for tick in sorted(ticks, key=lambda one: (-ticks[one], one)):
        if all(abs(math.log(tick / other)) > 0.16 for other in kept):
            kept.append(tick)
    return sorted(kept)


def _labels(names: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    if not 0 < len(names) <= MOST:
        raise ScheduleError(
            f"a figure has 1 to {MOST} curves, which is as many as one can tell apart; given {len(names)}."
        )
    if labels is not None and len(labels) != len(names):
        raise ScheduleError(f"there must be a label for each of {len(names)} curves; given {shown(labels)}.")
    return [str(one) for one in (names if labels is None else labels)]


def _curve(axes: Any, k: int, count: int, x: np.ndarray, y: np.ndarray, name: str) -> None:
    """Curve k of so many. The first are the widest, so that a curve under another one can be seen, and on long curves
    the markers stand at other places; the last point has one."""
    every = max(1, len(x) // 10)
    axes.plot(
        x,
        y,
        label=name,
        color=COLOURS[k],
        marker=MARKERS[k],
        markevery=sorted({*range(k % every, len(x), every), len(x) - 1}) if len(x) else None,
        markersize=5.5,
        markerfacecolor="white",
        markeredgewidth=1.2,
        linewidth=1.3 + 2.2 * (count - 1 - k) / max(count - 1, 3),
    )


def _figure(figure: Any, size: tuple[float, float], title: str | None) -> Any:
    if figure is None:
        figure = _shown()(figsize=size, layout="constrained", facecolor="white")
    if title is not None:
        figure.suptitle(title, fontsize="large", fontweight="bold", color=DARK)
    return figure


@cache
def _shown() -> Any:
    """Matplotlib's class of figures with what a notebook shows. Those of pyplot have it from pyplot."""

    class Figure(extra("matplotlib.figure", "Matplotlib").Figure):  # type: ignore[misc]
        def _repr_svg_(self) -> str:
            return encoded(self, ".svg").decode()

    return Figure


def _plain(axes: Any) -> None:
    axes.grid(visible=True, color="#E6E6E6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=DARK, labelsize="small")
    axes.title.set(fontsize="medium", color=DARK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize="small", color=DARK)
