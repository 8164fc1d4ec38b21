"""Names of a package that are imported when they are first asked for (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attached(
    package: str, places: Mapping[str, str], *own: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package.

    Args:
        package: its name.
        places: the modules of the package, and the names that are taken from each, with spaces between; a module
            without names is a name itself.
        own: the names that the package defines itself.

    Example:
        >>> from multisched.lazy import attached
        >>> find, names, public = attached("multisched", {"errors": "ScheduleError", "solvers": ""})
        >>> find("ScheduleError").__name__, names(), public
        ('ScheduleError', ['ScheduleError', 'solvers'], ['ScheduleError', 'solvers'])
    """
    homes = {name: module for module, names in places.items() for name in names.split() or (module,)}
    public = sorted([*homes, *own])

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{_meant(package, name, public)}")
        module = importlib.import_module(f"{package}.{homes[name]}")
        found = getattr(module, name) if places[homes[name]] else module
        setattr(sys.modules[package], name, found)
        return found

    return find, lambda: [*public], public


def _meant(package: str, name: str, names: list[str]) -> str:
    from importlib.util import find_spec

    # `from multisched import checks` asks for the attribute before it imports the module; a search for a word that is
    # spelled alike would take longer than the module.
    if name.isidentifier() and find_spec(f"{package}.{name}"):
        return ""

    from multisched.values import hint

    return hint(name if name.startswith("_") else name.removesuffix("Scheduler").replace("Discrete", ""), names)
