"""The backends: by name, by array, and which are at hand.

A framework is imported only when it is named, or when an array of it arrives. A third party adds a backend with one
entry point in the group `multisched.backends`: its name is the top-level module of the arrays it serves, its value a
`Backend`. A built-in backend is never replaced by one of its name.
"""

import contextlib
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import array_api_compat

from multisched.backends.base import Array, B, Backend
from multisched.backends.generic import ArrayAPIBackend
from multisched.errors import ScheduleError
from multisched.values import shown

__all__ = ["Array", "ArrayAPIBackend", "Availability", "B", "Backend", "available", "get", "of", "of_random", "resolve"]

BUILTIN = ("numpy", "torch", "jax", "mlx")
GROUP = "multisched.backends"
_MODULE_TO_NAME = {"jaxlib": "jax"}

_NEEDED = ("name", "xp", "version", "devices", "asarray", "to_numpy", "weighted_sum", "weighted_sums")

_by_name: dict[str, Backend[Any]] = {}
_by_type: dict[type, Backend[Any]] = {}
_static: list[type] = []  # classes whose values are constants of what is compiled


class Availability(NamedTuple):
    """One line of `available()`: `version` and `devices` where it works, else `reason` says why not.

    Attributes:
        name: of the backend.
        version: of the installed library; None where it is not installed.
        devices: what it can compute on here.
        reason: why it is not to be had; None where it is.

    Example:
        >>> ms.backends.Availability(name="numpy", version="2.0", devices=("cpu",), reason=None).devices
        ('cpu',)
    """

    name: str
    version: str | None
    devices: tuple[str, ...]
    reason: str | None


def get(name: str) -> Backend[Any]:
    """The backend called `name`: a built-in one, a plug-in, or any installed library that speaks the array API.

    Args:
        name: "numpy", "torch", "jax", "mlx", "cupy", "array_api_strict", or one that an entry point adds.

    Raises:
        ScheduleError: if the library is not installed, or does not speak the standard.

    Example:
        >>> ms.backends.get("numpy").name
        'numpy'
    """
    if not isinstance(name, str):
        raise ScheduleError(f"a backend has a name, such as 'numpy'; given {shown(name)}.")
    found = _by_name.get(name)
    if found is None:
        found = _by_name[name] = _load(name)
        _register(name, found, _static)
    return found


def of(array: Any) -> Backend[Any]:
    """The backend that `array` belongs to.

    Args:
        array: an array of any known library.

    Raises:
        ScheduleError: `array` is no array of a known library.

    Example:
        >>> ms.backends.of(np.zeros(3)).name
        'numpy'
    """
    kind = type(array)
    found = _by_type.get(kind)
    if found is None:
        found = _of_type(kind, array)
        if len(_by_type) < 256:  # classes that are made without end are looked up each time
            _by_type[kind] = found
    return found


def _of_type(kind: type, array: Any) -> Backend[Any]:
    """The backend of the first of the array's classes that belongs to one: a user's subclass is what it extends."""
    modules = [ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__]
    names = [_MODULE_TO_NAME.get(module, module) for module in modules]
    for name in names:
        if name in BUILTIN or _plugins(name):
            return get(name)
    if not array_api_compat.is_array_api_obj(array):
        raise ScheduleError(
            f"expected an array of {', '.join(BUILTIN)} or another array-API library; given {shown(array)}."
        )
    return get(names[0])


def of_random(state: Any) -> Backend[Any] | None:
    """The backend whose random state (a key, a generator) this is; None for anything else.

    Args:
        state: a key of JAX or MLX, or a torch.Generator.

    Example:
        >>> ms.backends.of_random(7) is None
        True
    """
    module = type(state).__module__.partition(".")[0]
    name = _MODULE_TO_NAME.get(module, module)
    if name not in BUILTIN or name == "numpy":
        return None
    found = get(name)
    return found if found.drives(state) else None


def resolve(backend: Any) -> Backend[Any]:
    """A backend from its name, from itself, or from one of its arrays.

    Args:
        backend: a name, a `Backend`, or an array to take it from.

    Example:
        >>> ms.backends.resolve("numpy") is ms.backends.resolve(ms.backends.get("numpy"))
        True
    """
    if isinstance(backend, str):
        return get(backend)
    return backend if hasattr(backend, "weighted_sum") else of(backend)


def ready(kind: type) -> None:
    """Load the backends of torch and JAX if the user has imported those: torch.compile may be where an array is first
    seen, and nothing is imported there; and jax.jit takes an argument of the class `kind` only once JAX knows it."""
    if kind not in _static:
        _static.append(kind)
        for name, backend in _by_name.items():
            _register(name, backend, [kind])
    for name in ("torch", "jax"):
        if name in sys.modules and name not in _by_name:
            with contextlib.suppress(Exception):  # a broken installation is reported where it is used
                get(name)


def _register(name: str, backend: Backend[Any], kinds: list[type]) -> None:
    for kind in kinds if name in BUILTIN else ():
        backend.register(kind)


def available() -> dict[str, Availability]:
    """Every built-in and plugged-in backend by name: version and devices, or the reason why it is not to be had.

    Example:
        >>> ms.backends.available()["numpy"].devices
        ('cpu',)
    """
    return {name: _availability(name) for name in dict.fromkeys((*BUILTIN, *(point.name for point in _plugins())))}


def _availability(name: str) -> Availability:
    try:
        backend = get(name)
        return Availability(name, backend.version, backend.devices(), None)
    except Exception as error:  # a broken installation fails in ways of its own, and the report should say which
        return Availability(name, None, (), str(error) or type(error).__name__)


def _plugins(name: str | None = None) -> Any:
    from importlib.metadata import entry_points  # a quarter of the package's import time, and most runs need none

    return entry_points(group=GROUP) if name is None else entry_points(group=GROUP, name=name)


def _load(name: str) -> Backend[Any]:
    if name in BUILTIN:
        if find_spec(name) is None:
            raise ScheduleError(f"the backend {name!r} needs the package {name}, which is not installed.")
        try:
            built_in: Backend[Any] = import_module(f"multisched.backends.{name}").BACKEND
        except (ImportError, OSError) as error:
            raise ScheduleError(f"the package {name} cannot be imported: {shown(str(error))}.") from error
        return built_in
    plugins = tuple(_plugins(name))
    if len({plugin.value for plugin in plugins}) > 1:
        listed = " and ".join(plugin.value for plugin in plugins)
        raise ScheduleError(f"several plug-ins are called {shown(name)}: {shown(listed)}; uninstall all but one.")
    return _loaded(plugins[0]) if plugins else _generic(name)


def _loaded(plugin: Any) -> Backend[Any]:
    """The backend of a plug-in.

    Raises:
        ScheduleError: if it cannot be imported, or is no backend.
    """
    try:
        found: Backend[Any] = plugin.load()
    except (Exception, SystemExit) as error:  # a plug-in is any code at all, and may even end the program
        said = f"{type(error).__name__}: {error}"
        raise ScheduleError(f"the plug-in {shown(plugin.name)} of {plugin.value} fails: {shown(said)}.") from error
    if isinstance(found, type) or not all(hasattr(found, name) for name in _NEEDED):
        raise ScheduleError(f"the plug-in {shown(plugin.name)} of {plugin.value} is no Backend; it is {shown(found)}.")
    return found


def _generic(name: str) -> Backend[Any]:
    """A backend for a library known only by its module's name (Dask keeps its arrays one module down)."""
    for module_name in (name, f"{name}.array") if name else ():
        try:
            module = import_module(module_name)
            xp = array_api_compat.array_namespace(module.zeros(1))
        except (Exception, SystemExit):  # of any name that a user may give, such as that of a script
            continue
        return ArrayAPIBackend(name, xp, getattr(module, "__version__", "unknown"))
    raise ScheduleError(
        f"unknown backend {shown(name)}; built in are {', '.join(BUILTIN)}, and any installed array-API library by its "
        "name."
    )
