"""Whether a change of 1 in 1,000 of any coefficient turns a test red. Run by hand, in about 90 minutes on one core.

    PYTHONPATH=src OMP_NUM_THREADS=1 python tests/mutate.py [--only solvers/dpm2.py] [--when import] [--more]

Every number in the code of the rooms that hold formulas is multiplied with 1.001, and 0 becomes 0.001, one at a time.
Not changed are whole numbers that count (indices, axes, comparisons, all of table/), and what only refuses input. The
tests are run once to see which of them read a number; those that do are run for each of its mutants, in a process of
its own, until one fails. Numbers that are read on import, such as defaults, are tried with the package imported anew:
first with the tests in EARLY, which look at such numbers, then with those that read any number of the file.

--more runs tests that are slow, or compare with other packages, too. Survivors that change nothing, or no coefficient,
are in tests/mutate_exempt.json, each with the reason.
"""

import argparse
import ast
import builtins
import gc
import importlib.abc
import importlib.machinery
import json
import os
import pickle
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "multisched"
EXEMPT = TESTS / "mutate_exempt.json"
ROOMS = (
    "solvers/*.py",
    "table/*.py",
    "spacings/*.py",
    "paths/*.py",
    "schedulers/*.py",
    "interop/samplers.py",
    "interop/summed.py",
    "adaptive.py",
    "denoiser.py",
    "predictions.py",
    "recommended.py",
    "transforms.py",
)
CHOSEN = [
    "adaptive",
    "ancestral",
    "angle",
    "coefficients",
    "comfy",
    "ends",
    "exact",
    "identities",
    "index",
    "law",
    "moments",
    "named_spacings",
    "order",
    "papers",
    "parts",
    "paths",
    "ratios",
    "recommended",
    "samplers",
    "sampler_identities",
    "sigma_space",
    "soft_log",
    "stages",
    "table",
    "training",
]
EARLY = ["defaults", "peers/test_configs", "coefficients", "comfy", "paths", "recommended", "samplers"]
TABLES = "adams,consistency,ddim,dpm,dpm_other,edm,flow_match,flow_other,helios,k_diffusion,multistep,score,sigma,vp"
MORE = ("zoo", "runs", "properties", "orders_page", *(f"peers/test_{name}" for name in TABLES.split(",")))
SLOW = ("every_number_of_steps", "told_its_own_level", "zoo_runs_on_every_name")
COUNTING = {"order", "order_after", "_order", "weak_order", "draws", "memory", "outputs"}
LIMIT = 60  # seconds of one mutant


class Site(NamedTuple):
    """A number in the code.

    Attributes:
        file: of the package.
        line: its number.
        text: what stands there.
        place: which of the numbers of the line it is, from 0.
        value: the number.
        early: whether it is read on import.
        counts: whether it is a whole number of a property that counts, such as `order`.
    """

    file: str
    line: int
    text: str
    place: int
    value: float
    early: bool
    counts: bool

    @property
    def key(self) -> str:
        """What it is known by while other lines change."""
        return f"{self.file}: {self.text} [{self.place}]"


class Finder(ast.NodeTransformer):
    """Finds the numbers of a file, and puts calls in their places."""

    def __init__(self, file: str, source: str, sites: list[Site]) -> None:
        self.file, self.lines, self.sites = file, source.splitlines(), sites
        self.names, self.places = [""][:0], Counter[int]()

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) not in (int, float) or node.value in (float("inf"), -float("inf")):
            return node
        text = self.lines[node.lineno - 1].strip()
        place = self.places[node.lineno]
        self.places[node.lineno] += 1
        counts = not COUNTING.isdisjoint(self.names)
        counts |= self.file.startswith("table/") and isinstance(node.value, int)
        self.sites.append(Site(self.file, node.lineno, text, place, node.value, not self.names, counts))
        call = ast.Call(ast.Name("_mutant", ast.Load()), [ast.Constant((self.file, len(self.sites) - 1)), node], [])
        return ast.copy_location(call, node)

    def _body(self, node: Any) -> ast.AST:
        node.args = self.visit(node.args)
        self.names.append(getattr(node, "name", "lambda"))
        node.body = [self.visit(one) for one in node.body] if isinstance(node.body, list) else self.visit(node.body)
        self.names.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name in ("__post_init__", "__str__", "__repr__", "check"):
            return node
        return self._body(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._body(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        counts = ast.unparse(node.annotation) in ("int", "bool", "ClassVar[int]")
        if node.value is not None and not counts:
            node.value = self.visit(node.value)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.defaults = [self._default(one) for one in node.defaults]
        node.kw_defaults = [self._default(one) for one in node.kw_defaults]
        return node

    def _default(self, node: Any) -> Any:
        """Whole numbers of arguments count."""
        counts = node is None or (isinstance(node, ast.Constant) and isinstance(node.value, int))
        return node if counts else self.visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        if isinstance(node.body[0], ast.Raise):
            node.orelse = [self.visit(one) for one in node.orelse]
            return node
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = ast.unparse(node.func)
        if name.startswith(("check", "_check", "range", "islice", "lru_cache", "count", "len", "zip")):
            return node
        node.args = [self.visit(one) for one in node.args]
        kept = ("axis", "counts", "least", "maxsize", "ndmin", "keepdims", "default")
        for one in node.keywords:
            if one.arg not in kept:
                one.value = self.visit(one.value)
        node.func = self.visit(node.func)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        whole = [isinstance(one, ast.Constant) and isinstance(one.value, int) for one in (node.left, *node.comparators)]
        if not whole[0]:
            node.left = self.visit(node.left)
        node.comparators = [
            one if keep else self.visit(one) for one, keep in zip(node.comparators, whole[1:], strict=True)
        ]
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        return node

    def _left(self, node: Any) -> Any:
        return node

    visit_Raise = visit_JoinedStr = visit_Assert = _left  # noqa: N815


def mutated(value: float) -> float:
    """The number a little off."""
    return 1e-3 if value == 0 else value * 1.001


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a file with its numbers replaced by calls."""

    def get_code(self, fullname: str) -> Any:
        source = Path(self.path).read_text(encoding="utf-8")
        file = str(Path(self.path).relative_to(SOURCE))
        tree = Finder(file, source, []).visit(ast.parse(source))
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class Hook(importlib.abc.MetaPathFinder):
    """Gives files of the rooms to the loader."""

    def __init__(self) -> None:
        self.files = {str(path) for room in ROOMS for path in SOURCE.glob(room) if path.name != "__init__.py"}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        found = importlib.machinery.PathFinder.find_spec(name, path) if name.startswith("multisched") else None
        if found is not None and found.origin in self.files:
            found.loader = Loader(name, found.origin)
            return found
        return None


Number = tuple[str, int]  # a file, and which of its numbers


class State:
    """What is changed now, and what has been read."""

    current: Number | None = None
    read: ClassVar[set[Number]] = set()


def _value(number: Number, value: float) -> float:
    State.read.add(number)
    return mutated(value) if number == State.current else value


def _caches() -> list[Any]:
    found = []
    for one in gc.get_objects():
        try:
            if hasattr(type(one), "cache_clear") and str(getattr(one, "__module__", "")).startswith("multisched"):
                found.append(one)
        except Exception:  # a proxy of some library
            continue
    return found


class Plugin:
    """In place of pytest's loop: `body` is given the tests."""

    def __init__(self, body: Callable[[list[Any]], None]) -> None:
        self.body, self.failed, self.broken = body, False, False

    def pytest_collectreport(self, report: Any) -> None:
        self.broken |= report.failed

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.failed |= report.failed

    def pytest_runtestloop(self, session: Any) -> bool:
        self.body(session.items)
        return True

    def first_failure(self, items: list[Any]) -> str | None:
        """The first of the tests that fails."""
        for item in items:
            self.failed = False
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if self.failed:
                return str(item.nodeid)
        return None


def in_child(work: Callable[[], Any], limit: int = 0, silent: bool = True) -> Any:
    """What a function returns in a process of its own, silent; "crash" if that dies, "late" if it takes longer than the
    limit."""
    sys.stdout.flush()
    down, up = os.pipe()
    if not (child := os.fork()):
        signal.alarm(limit)
        if silent:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        found = pickle.dumps(work())
        with os.fdopen(up, "wb") as pipe:
            pipe.write(found)
        os._exit(0)
    os.close(up)
    with os.fdopen(down, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
    return pickle.loads(said) if said else "late" if late else "crash"


def collected(modules: list[str], body: Callable[[Plugin, list[Any]], Any]) -> Any:
    """What `body` makes of the tests of some modules."""
    found: list[Any] = ["crash"]

    def keep(items: list[Any]) -> None:
        if not plugin.broken:
            found[0] = body(plugin, items)

    plugin = Plugin(keep)
    files = [str(TESTS / (f"{one}.py" if "/" in one else f"test_{one}.py")) for one in modules]
    plain = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "--capture=no"]
    plain += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported before
    pytest.main([*plain, *files], [plugin])
    return found[0]


class Record(NamedTuple):
    """What a test has read, and how long it took."""

    test: str
    seconds: float
    read: set[Number]


def recorded(plugin: Plugin, items: list[Any]) -> list[Record]:
    """Of each test that passes. Caches are emptied before each, since they keep what is read once."""
    caches, found = _caches(), []
    for item in (one for one in items if not any(slow in one.nodeid for slow in SLOW)):
        for cache in caches:
            cache.cache_clear()
        State.read, began = set(), time.perf_counter()
        if plugin.first_failure([item]) is None:
            found.append(Record(item.nodeid, time.perf_counter() - began, State.read))
    return found


class Run:
    """All mutants of a run."""

    def __init__(self, only: str, keys: list[str], modules: list[str], budget: float) -> None:
        self.modules, self.budget = modules, budget
        self.sites = {
            number: site
            for number, site in all_sites().items()
            if site.file.startswith(tuple(only.split(","))) and not site.counts
        }
        if keys:
            self.sites = {number: site for number, site in self.sites.items() if site.key in keys}
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)
        self.survivors: list[Site] = []
        self.tried = 0
        self.records: list[Record] = []

    def count(self, site: Site, killer: str | None) -> None:
        self.tried += 1
        if killer is None:
            self.survivors.append(site)
            _say(f"{site.file}:{site.line} {site.value} in {site.text}")
        elif killer in ("crash", "late"):
            _say(f"{site.file}:{site.line} {site.value} in {site.text}: killed, for the tests were a {killer}")
        else:
            self.kills[site.file][killer.partition("[")[0]] += 1

    def later(self, known: list[Record], tried: bool = True) -> "Run":
        """With the mutants of numbers that are read when a function runs, if they are to be tried."""

        def body(plugin: Plugin, items: list[Any]) -> None:
            tests, caches = {item.nodeid: item for item in items}, _caches()
            records = known or in_child(lambda: recorded(plugin, items))
            records = [one for one in records if one.test in tests]
            self.records = records
            for number, site in self.sites.items():
                if tried and not site.early:
                    order = in_turn([one for one in records if number in one.read], self.kills[site.file])
                    chosen = [tests[test] for test in within(order, self.budget)]
                    self.count(site, in_child(lambda n=number, c=chosen: changed(plugin, n, c, caches), LIMIT))

        if collected(self.modules, body) == "crash":
            raise SystemExit("pytest did not run: see above.")
        return self

    def early(self, known: list[Record]) -> None:
        """The mutants of numbers that are read on import, each with the package imported anew."""
        if (failed := in_child(lambda: self._anew(None, EARLY, Counter()), 5 * LIMIT)) is not None:
            raise SystemExit(f"with nothing changed a test fails: {failed}")
        touched = defaultdict(list)
        for record in known:
            for file in {file for file, _ in record.read}:
                touched[file].append(record)
        for number, site in self.sites.items():
            if site.early:
                kills = self.kills[site.file]
                order = within(in_turn(touched[site.file] or known, kills), self.budget)
                others = sorted({_module(test) for test in order} - set(EARLY))
                stages = [(others, order, 2 * LIMIT)]
                stages.insert(0, (EARLY, None, LIMIT))
                if kills:  # what has killed others of the file
                    stages.insert(0, (sorted({_module(test) for test in kills}), list(kills), LIMIT))
                killer = None
                for modules, chosen, limit in stages:
                    if killer in (None, "late") and modules:
                        killer = in_child(lambda n=number, m=modules, k=kills, c=chosen: self._anew(n, m, k, c), limit)
                self.count(site, killer)

    def _anew(
        self, number: Number | None, modules: list[str], kills: Counter[str], chosen: list[str] | None = None
    ) -> Any:
        State.current = number

        def body(plugin: Plugin, items: list[Any]) -> str | None:
            places = {test: place for place, test in enumerate(chosen or ())}
            functions = {item.nodeid: item.nodeid.partition("[")[0] for item in items}
            kept = [one for one in items if chosen is None or {one.nodeid, functions[one.nodeid]} & places.keys()]
            kept.sort(key=lambda item: (-kills[functions[item.nodeid]], places.get(item.nodeid, 0)))
            return plugin.first_failure(kept)

        return collected(modules, body)


def in_turn(records: list[Record], kills: Counter[str]) -> list[Record]:
    """First those whose functions have killed most, then one test of each function, a second of each..."""
    turns: Counter[str] = Counter()
    ranked = []
    for one in sorted(records, key=lambda one: one.seconds):
        function = one.test.partition("[")[0]
        ranked.append((turns[function] - min(kills[function], 3), one.seconds, one))
        turns[function] += 1
    return [one for *_, one in sorted(ranked, key=lambda entry: entry[:2])]


def within(records: list[Record], budget: float) -> list[str]:
    """As many of the tests as take no longer than the budget."""
    spent = np.cumsum([one.seconds for one in records])
    return [one.test for one, so_far in zip(records, spent, strict=True) if so_far < budget]


def changed(plugin: Plugin, number: Number, items: list[Any], caches: list[Any]) -> str | None:
    """The first of some tests that fails where a number is another."""
    State.current = number
    for cache in caches:
        cache.cache_clear()
    return plugin.first_failure(items)


def _module(test: str) -> str:
    path = Path(test.partition("::")[0])
    return f"peers/{path.stem}" if path.parent.name == "peers" else path.stem.removeprefix("test_")


def all_sites() -> dict[Number, Site]:
    """Every number, without importing anything."""
    found: dict[Number, Site] = {}
    for file in sorted(HOOK.files):
        source, name, sites = Path(file).read_text(encoding="utf-8"), str(Path(file).relative_to(SOURCE)), []
        Finder(name, source, sites).visit(ast.parse(source))
        found |= {(name, number): site for number, site in enumerate(sites)}
    return found


def _preload() -> None:
    """What tests import besides the package, once for all processes."""
    import torch  # noqa: F401

    schedulers = importlib.import_module("diffusers.schedulers")
    for name in schedulers.__all__ if hasattr(schedulers, "__all__") else dir(schedulers):
        getattr(schedulers, name, None)


HOOK = Hook()


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="files whose name has this in it")
    parser.add_argument("--more", action="store_true", help="slow tests and those of other packages too")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of tests that a mutant is given")
    parser.add_argument("--modules", default="", help="test modules, instead of those chosen here")
    parser.add_argument("--record", help="write what tests read to a file, and do no more")
    parser.add_argument("--records", default="", help="files of such, instead of running all tests first")
    parser.add_argument("--when", choices=("run", "import", "both"), default="both", help="when the numbers are read")
    parser.add_argument("--again", help="a file with the last lines of another run, whose survivors alone are tried")
    given = parser.parse_args()
    keys = [line.strip() for line in Path(given.again).read_text().splitlines()] if given.again else []
    builtins._mutant = _value  # type: ignore[attr-defined]
    sys.meta_path.insert(0, HOOK)
    exempt = json.loads(EXEMPT.read_text(encoding="utf-8")) if EXEMPT.exists() else {}
    modules = given.modules.split(",") if given.modules else [*CHOSEN, *(MORE if given.more else ())]
    if given.record:
        Path(given.record).write_bytes(pickle.dumps(collected(modules, recorded)))
        return
    known = [one for file in given.records.split(",") if file for one in pickle.loads(Path(file).read_bytes())]
    # In a process of its own, so that this one has not imported the package.
    run = Run(given.only, keys, modules, given.budget)
    if given.when != "import" or not known:
        run = in_child(lambda: run.later(known, given.when != "import"), silent=False)
    if given.when != "run":
        _preload()
        run.early(known or run.records)
    left = [site for site in run.survivors if site.key not in exempt]
    excused = len(run.survivors) - len(left)
    killed, excused = run.tried - len(run.survivors), len(run.survivors) - len(left)
    _say(f"{run.tried} mutants, {killed} killed, {excused} exempt, {len(left)} survive:")
    for site in left:
        _say(f"  {site.key}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
