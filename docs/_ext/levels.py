"""The directive `room`, which documents public names; the facts and the picture of a recipe's levels."""

import ast
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import options
from docutils import nodes
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.ext import autosummary
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import multisched as ms

SOURCE = Path(ms.__file__).parent.parent
PICTURES = "api/levels"
STEPS = 10
GREY, BLUE = "#808895", "#3d8bfd"  # legible on white and on black
logger = logging.getLogger(__name__)


class Room(SphinxDirective):
    """Names of a module, each with all that its docstring says: `.. room:: multisched.paths`, and the names below,
    or none for all of them.

    With `:about:` the docstring of the module stands first; with `:inherited:` methods of private bases are told too;
    with `:source:`, a file below src/, functions are read from it without importing the frameworks that it needs.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"about": lambda given: True, "inherited": lambda given: True, "source": str}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        place = self.arguments[0]
        names = " ".join(self.content).split() or sorted(import_module(place).__all__, key=str.lower)
        text = [f".. automodule:: {place}", "   :no-members:", ""] if "about" in self.options else []
        if "source" not in self.options:
            text += [".. autosummary::", "   :signatures: none", "", *(f"   ~{place}.{name}" for name in names), ""]
        for name in names:
            if "source" in self.options:
                text += self._read(place, name)
                continue
            kind = _kind(place, name)
            if kind == "data":
                text += [
                    f".. py:currentmodule:: {place}",
                    "",
                    f".. py:data:: {name}",
                    "",
                    *(f"   {line}" for line in _told(place, name)),
                    "",
                ]
                continue
            text += [f".. auto{kind}:: {place}.{name}", *(["   :members:"] if kind == "class" else [])]
            text += ["   :inherited-members: Value", ""] if kind == "class" and "inherited" in self.options else [""]
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=False)

    def _read(self, place: str, name: str) -> list[str]:
        """A function as its file says it."""
        tree = ast.parse((SOURCE / self.options["source"]).read_text(encoding="utf-8"))
        found = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name)
        lines = (ast.get_docstring(found) or "").splitlines()
        options.complete(None, "function", name, None, None, lines)
        lines = GoogleDocstring(lines, self.config, what="function").lines()
        return [
            f".. py:function:: {place}.{name}({ast.unparse(found.args)})",
            "",
            *(f"   {line}" for line in lines),
            "",
        ]


def _kind(place: str, name: str) -> str:
    found = getattr(import_module(place), name)
    if isinstance(found, type):
        return "exception" if issubclass(found, Exception) else "class"
    return "function" if callable(found) else "data"


def _told(place: str, name: str) -> list[str]:
    """What the module that sets a value says of it."""
    for one in pkgutil.iter_modules(import_module(place).__path__, f"{place}."):
        told = ModuleAnalyzer.for_module(one.name).find_attr_docs()
        if ("", name) in told and getattr(import_module(one.name), name) is getattr(import_module(place), name):
            return told["", name]
    return []


def describe(app: Sphinx, what: str, name: str, found: Any, settings: Any, lines: list[str]) -> None:
    """Put what a default recipe or solver is below the first paragraph of its docstring, with a picture."""
    recipe = isinstance(found, type) and found in ms.schedulers.named().values()
    if recipe:
        told = [
            f".. image:: /{PICTURES}/{found.__name__}.svg",
            "   :class: levels dark-light",
            f"   :alt: levels of {name}",
            "",
        ]
        told += [_facts(found().plan(STEPS)), ""]
    elif isinstance(found, type) and issubclass(found, ms.solvers.Solver) and found is not ms.solvers.Solver:
        told = [_orders(found()), ""] if _defaults(found) else []
    else:
        return
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    lines[end:end] = ["", *told]


def _defaults(kind: type) -> bool:
    try:
        kind()
    except (TypeError, ms.ScheduleError):
        return False
    return True


def _facts(plan: ms.Plan) -> str:
    """One line about a run: orders, calls, noise, memory."""
    calls, rest = divmod(len(plan), len(plan.grid))
    each = f"{calls} model call{'s' * (calls > 1)} a step"
    each = f"{len(plan)} model calls in {len(plan.grid)} steps" if rest else each
    kept = len(plan.tableau.registers) - 1
    memory = f"keeps {kept} array{'s' * (kept > 1)} between calls" if kept else "keeps nothing between calls"
    return f"{_orders(plan)}, {each}, {memory}."


def _orders(one: Any) -> str:
    noisy = one.stochastic if isinstance(one, ms.Plan) else one.draws > 0
    if not noisy:
        return f"**Order {one.order}**, deterministic" if one.order else "**Of no order**, deterministic"
    known = [f"order {one.order}"] * (one.order > 0) + [f"weak order {one.weak_order}"] * (one.weak_order > 0)
    text = ", ".join(known) or "of no order"
    return f"**{text[0].upper()}{text[1:]}**, stochastic"


def draw(app: Sphinx) -> None:
    """The pictures of all recipes; one whose levels are those drawn before is left as it is."""
    folder = Path(app.srcdir, PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in ms.schedulers.named().items():
        plan, file = kind().plan(STEPS), folder / f"{name}.svg"
        with np.errstate(divide="ignore"):
            levels = np.log(plan.alphas / plan.sigmas)
        mark = re.sub(r"\s+", " ", f"{levels.round(6).tolist()}")
        fresh = file.exists() and file.stat().st_mtime > Path(__file__).stat().st_mtime
        if not fresh or mark not in file.read_text(encoding="utf-8"):
            _drawn(levels, mark, file)


def _drawn(levels: np.ndarray, mark: str, file: Path) -> None:
    """log(alpha / sigma) where each step stands; an arrow leads to an infinite one."""
    style = {"svg.fonttype": "none", "svg.hashsalt": file.stem, "font.size": 8, "font.family": "sans-serif"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(3.2, 1.7), layout="constrained")
        axes = figure.add_subplot()
        steps, finite = np.arange(len(levels)), np.isfinite(levels)
        axes.plot(steps[finite], levels[finite], color=BLUE, marker="o", markersize=3.5, linewidth=1.2)
        for end, beside in ((0, 1), (-1, -2)):
            if not finite[end]:
                up = 1 if levels[end] > 0 else -1
                size = np.ptp(levels[finite]) * 0.12
                to = (steps[end], levels[beside] + up * size)
                arrow = {"arrowstyle": "->", "color": BLUE, "shrinkA": 2, "shrinkB": 0}
                axes.update_datalim([to])
                axes.annotate("", to, (steps[beside], levels[beside]), arrowprops=arrow)
        axes.margins(y=0.15)
        axes.axhline(0, color=GREY, linewidth=0.6, linestyle=":")
        axes.set_xlabel("step", color=GREY)
        axes.set_ylabel("log(alpha / sigma)", color=GREY)
        axes.tick_params(colors=GREY, width=0.6)
        for side, spine in axes.spines.items():
            spine.set(color=GREY, linewidth=0.6, visible=side in ("left", "bottom"))
        figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None, "Description": mark})


ROOMS = ("analysis", "backends", "editing", "guidance", "noise", "paths", "rl", "schedulers", "solvers", "spacings")
ROOMS += ("training", "digits")


def complete(app: Sphinx, env: Any) -> None:
    """A public name that no page documents is a warning."""
    known = env.domains.python_domain.objects
    for room in ("", *ROOMS):
        module = import_module(f"multisched.{room}".removesuffix("."))
        for name in module.__all__:
            found, full = getattr(module, name), f"{module.__name__}.{name}"
            home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
            if not isinstance(found, type(ms)) and full not in known and home not in known:
                logger.warning("%s is on no page of docs/api", full, type="api")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    autosummary.WELL_KNOWN_ABBREVIATIONS += ("eq.", "eqs.", "app.", "sec.", "fig.", "alg.")  # no sentence ends there
    app.add_directive("room", Room)
    app.connect("builder-inited", draw)
    app.connect("autodoc-process-docstring", describe, priority=450)  # after `options`, before napoleon
    app.connect("env-check-consistency", complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
