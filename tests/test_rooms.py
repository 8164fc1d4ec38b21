"""The rooms stay apart: which module may import which, and that no framework comes in unasked."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import multisched

SOURCE = Path(multisched.__file__).parent
FRAMEWORKS = {"torch", "jax", "jaxlib", "mlx", "cupy", "dask", "tensorflow"}
OPTIONAL = {"PIL", "argcomplete", "huggingface_hub", "sklearn", "tqdm", "ml_dtypes", "matplotlib", "scipy"}

# Each room and the rooms below it that it may import, from the ground up. The modules of table/ are rooms of their own.
BASE = {"errors", "messages", "values"}
GROUND = BASE | {"backends"}
POINTS = {"grid", "predictions", "solvers"}
ARITHMETIC = {"table.packed", "table.state", "table.kernel"}
PARTS = POINTS | {"checks", "paths", "spacings", "transforms"}
ALLOWED = {
    "errors": set(),
    "messages": set(),
    "values": {"errors", "messages"},
    "lazy": {"values"},
    "printing": set(),
    "notebook": {"printing"},
    "options": {"values"},
    "backends": BASE,
    "checks": GROUND,
    "transforms": GROUND,
    "grid": BASE,
    "predictions": BASE,
    "paths": GROUND | {"checks", "lazy"},
    "spacings": GROUND | {"checks", "grid", "lazy", "paths"},
    "solvers": GROUND | {"grid", "lazy", "predictions", "transforms"},  # transforms: noise that follows the output
    "table": set(),
    "table.tableau": BASE | POINTS,
    "table.packed": GROUND | {"transforms"},
    "table.state": GROUND | {"table.packed"},
    "table.in_turn": {"backends", "table.packed"},
    "table.kernel": GROUND | {"transforms", "table.in_turn", "table.packed", "table.state"},
    "table.stepper": GROUND | ARITHMETIC | {"table.in_turn"},
    "table.begin": GROUND | ARITHMETIC,
    "table.plan": GROUND
    | POINTS
    | ARITHMETIC
    | {"transforms", "notebook", "printing", "table.tableau", "table.stepper", "table.begin"},
    "table.stack": GROUND | ARITHMETIC | {"transforms", "table.stepper", "table.begin", "table.plan"},
    "noise": GROUND,
    "guidance": GROUND | {"lazy", "predictions", "transforms"},
    "density": GROUND | {"table.state"},
    "sampling": GROUND | ARITHMETIC | {"table.plan", "noise", "guidance"},
    "likelihood": GROUND | {"density", "noise", "table.plan"},
    "rl": GROUND | {"lazy", "density", "noise", "table.state", "table.plan", "schedulers", "solvers"},
    "variants": BASE | {"table.plan"},
    "diffusion": GROUND | {"table.state", "table.plan", "noise", "variants"},
    "schedulers": GROUND
    | PARTS
    | {"lazy", "notebook", "printing", "table.tableau", "table.kernel", "table.plan"}
    | {"diffusion"},  # inside `Recipe.on` alone
    "editing": GROUND
    | {"lazy", "noise", "solvers", "spacings"}
    | {"table.kernel", "table.plan", "table.state", "table.tableau"},
    "training": GROUND | PARTS | {"lazy", "noise", "table.state", "schedulers"},
    "denoiser": GROUND | {"schedulers"},
    "adaptive": GROUND | {"checks", "denoiser", "schedulers"},
    "analysis": GROUND | PARTS | {"table.tableau", "table.plan", "schedulers"},
    "recommended": GROUND | PARTS | {"schedulers"},
    "interop": GROUND
    | PARTS
    | {"notebook", "schedulers", "recommended", "table.plan", "table.state", "variants", "noise", "adaptive"},
    "digits": GROUND | {"schedulers"},
    "pictures": BASE | {"lazy", "table.plan"},
    "cli": GROUND
    | {"lazy", "options", "paths", "predictions", "spacings", "table.plan", "noise", "sampling", "schedulers"}
    | {"analysis", "interop", "digits", "pictures"},
}
FACES = {f"interop/diffusers/{name}.py" for name in ("composed", "drawing", "face", "run", "steps", "traced")}
"""What stands in for a framework's own classes, and is imported when it is asked for."""
FRONTS = {"__init__", "__main__"}  # import whatever they show


def _modules():
    return sorted(path for path in SOURCE.rglob("*.py"))


def _room(parts):
    """The room that a module, or what is imported, lies in."""
    parts = [part.removesuffix(".py") for part in parts if part != "__init__.py"] or ["__init__"]
    return ".".join(parts[:2]) if parts[0] == "table" else parts[0]


def _imports(path):
    """(name, line is inside a function) of everything imported, but for what types alone need."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    apart = {id(node) for block in typing for node in ast.walk(block)}
    late = {id(node) for scope in ast.walk(tree) if isinstance(scope, ast.FunctionDef) for node in ast.walk(scope)}
    for node in ast.walk(tree):
        if id(node) in apart:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names] if node.module == "multisched" else [None]
            yield from ((f"{node.module}.{name}" if name else node.module, id(node) in late) for name in names)


@pytest.mark.host
@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_rooms_import_only_what_lies_below(path):
    room = _room(path.relative_to(SOURCE).parts)
    for name, late in _imports(path):
        top, *rest = name.split(".")
        if top in FRAMEWORKS:
            face = path.relative_to(SOURCE).as_posix() in FACES
            assert room == "backends" or face, f"{path} names {top}; only backends/ may, and what stands in for it"
        if top in OPTIONAL:
            assert late, f"{path} imports {top} before it is needed"
        if top == "multisched" and room not in FRONTS:
            assert rest or (room == "cli" and late), f"{path} imports the package itself"
            if not rest:
                continue  # the command prints the version
            below = _room(rest)
            assert below == room or below in ALLOWED[room], f"{room} may not import {below}"


@pytest.mark.host
def test_no_room_leads_back_to_itself():
    """By the imports that there are, those inside functions too."""
    graph = {}
    for path in _modules():
        inner = (name.split(".")[1:] for name, _ in _imports(path) if name.startswith("multisched."))
        graph.setdefault(_room(path.relative_to(SOURCE).parts), set()).update(_room(parts) for parts in inner)
    tuple(TopologicalSorter({room: below - {room} for room, below in graph.items()}).static_order())


@pytest.mark.host
def test_contributing_lists_the_rooms_from_the_ground_up():
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The rooms")[1]
    columns = re.findall(r"^ {4}(\S.*?)(?: {2,}|$)", text.split("##")[0], re.MULTILINE)
    floor = {room.strip(" /"): number for number, line in enumerate(columns) for room in line.split(",")}
    assert set(floor) == {room.split(".")[0] for room in ALLOWED}
    for room, allowed in ALLOWED.items():
        above = {below for below in allowed if floor[below.split(".")[0]] > floor[room.split(".")[0]]}
        assert not above, f"{room} imports {above}, which CONTRIBUTING lists below it"


@pytest.mark.host
def test_a_solver_is_read_in_one_sitting():
    """Its examples aside, which lie beside the text that a reader is after."""

    def count(text):
        return len(re.sub(r"\n\n *Example:\n(?: +\S.*\n)+?(?= *\"\"\")", "\n", text).splitlines())

    lengths = {path.name: count(path.read_text(encoding="utf-8")) for path in (SOURCE / "solvers").glob("*.py")}
    assert {name: lines for name, lines in lengths.items() if lines > 150} == {}


@pytest.mark.host
def test_functions_are_short():
    def body(function):
        return function.end_lineno - function.body[bool(ast.get_docstring(function))].lineno + 1

    found = {
        f"{path.name}:{node.name}": body(node)
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and len(node.body) > 1
    }
    assert {name: lines for name, lines in found.items() if lines > 40} == {}


def test_importing_it_imports_no_framework():
    unwanted = FRAMEWORKS | OPTIONAL
    code = f"import multisched, sys; found = {unwanted} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


PACKAGES = [
    multisched,
    *(
        getattr(multisched, name)
        for name in ("editing", "guidance", "paths", "pictures", "rl", "schedulers", "solvers", "spacings", "training")
    ),
]


@pytest.mark.host
@pytest.mark.parametrize("package", PACKAGES, ids=lambda one: one.__name__)
def test_a_package_shows_its_public_names_and_nothing_else(package):
    assert dir(package) == sorted(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
    room = package.__name__.rpartition(".")[2]
    near, name = {
        "editing": ("inpant", "inpaint"),
        "guidance": ("apgs", "apg"),
        "paths": ("Betass", "Betas"),
        "pictures": ("plots", "plot"),
        "spacings": ("Chian", "Chain"),
        "training": ("MinSRN", "MinSNR"),
        "rl": ("rollot", "rollout"),
    }.get(room, ("DDIN", "DDIM"))
    with pytest.raises(AttributeError, match=rf"has no attribute '{near}' \(did you mean '{name}'\?\)"):
        getattr(package, near)


def test_importing_it_imports_nothing_else():
    """Not NumPy, before it is needed; and a plan imports no recipe but those of its module, nor what only messages,
    pages, threads and some spacings need."""
    code = (
        "import sys; import multisched as ms; before = set(sys.modules); ms.FlowMatchEuler().plan(3);"
        "print(any(name.startswith(('numpy', 'multisched.table')) for name in before),"
        "'multisched.schedulers.dpm' in sys.modules, 'multisched.interop' in sys.modules,"
        "*{'difflib', 'html', 'concurrent.futures', 'statistics'} & (set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False", "False"]
