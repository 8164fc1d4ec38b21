"""Names of a package that are imported when they are first asked for (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attached(
    package: str, places: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        places: the modules of the package, and the names that are taken from each; a module without names is a name
            itself. These are all that `dir` shows.

    Example:
        >>> find, names = attached("multisched", {"errors": ("ScheduleError",), "solvers": ()})
        >>> find("ScheduleError").__name__, names()
        ('ScheduleError', ['ScheduleError', 'solvers'])
    """
    homes = {name: module for module, names in places.items() for name in names or (module,)}

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{_meant(name, homes)}")
        module = importlib.import_module(f"{package}.{homes[name]}")
        found = getattr(module, name) if places[homes[name]] else module
        setattr(sys.modules[package], name, found)
        return found

    return find, lambda: sorted(homes)


def _meant(name: str, names: Mapping[str, str]) -> str:
    from multisched.values import hint

    return hint(name if name.startswith("_") else name.removesuffix("Scheduler").replace("Discrete", ""), [*names])
