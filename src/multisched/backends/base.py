"""What a backend is: the few operations that differ between array libraries.

Everything else is the standard, through `Backend.xp`; `ArrayAPIBackend` serves any library that speaks it.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np


class Array(Protocol):
    """Any array: what `B` is bound to, so that a string is not taken for one.

    Example:
        >>> state: ms.State[ms.backends.Array] = ms.FlowMatchEuler().plan(4).start(np.ones((1, 2)))
        >>> state.sample.shape
        (1, 2)
    """

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...


Chain: TypeAlias = tuple[int, int, float, tuple[tuple[int, float], ...] | None]


class Terms(NamedTuple):
    """One weighted sum.

    Attributes:
        weights: those that are not zero.
        operands: numbers of the arrays that they belong to.
        chain: the same sum as calls that each multiply and add, if its weights are floats: the array to begin with (-1
            is zero), the array and the weight of the first call, then the arrays and weights of the other calls. The
            last is None if the sum is just the array to begin with. None if it was not made.
    """

    weights: tuple[Any, ...]
    operands: tuple[int, ...]
    chain: Chain | None = None


def nonzero_terms(weights: Sequence[float]) -> Terms:
    """The terms of a sum, given a weight for each operand."""
    chosen, numbers = tuple(filter(None, weights)), tuple(compress(range(len(weights)), weights))
    if not chosen:
        return Terms(chosen, numbers)
    whole = chosen[0] == 1.0
    start, calls = numbers[0] if whole else -1, tuple(zip(numbers, chosen, strict=True))[whole:]
    return Terms(chosen, numbers, (start, *calls[0], calls[1:]) if calls else (start, start, 1.0, None))


class Cut(NamedTuple):
    """A sum that is cut to bounds, and is then one more array for other sums.

    Attributes:
        terms: the sum, of the arrays that are given.
        low, high: the bounds, as `clip` takes them.
        place: the number that it has among the arrays for the other sums.
    """

    terms: Terms
    low: Any
    high: Any
    place: int


B = TypeVar("B", bound=Array)
"""A backend's array type, as in Burn's `Tensor<B, D>`: known to the type checker, decided at run time by the array."""


class Backend(Protocol[B]):
    """One array library. `ArrayAPIBackend` implements all of it; a subclass overrides what differs.

    Example:
        >>> backend = ms.backends.get("numpy")
        >>> backend.name, backend.asarray([1.0, 2.0], "float32", None).dtype.name
        ('numpy', 'float32')
    """

    name: str
    mutable: bool
    """Whether constants can be written to, so that what is handed out must be a copy of what is kept."""

    def __hash__(self) -> int: ...

    @property
    def xp(self) -> Any:
        """The array-API namespace."""

    @property
    def version(self) -> str:
        """The library's version."""

    def devices(self) -> tuple[str, ...]:
        """Names that `asarray(device=)` takes."""

    def register(self, kind: type) -> None:
        """Let values of a hashable class be arguments of what the library compiles, as constants of it."""

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> B:
        """`values` as an array; `dtype` is the library's own or a name such as "bfloat16"."""

    def device(self, array: B) -> Any:
        """Where the array lies."""

    def to_numpy(self, array: B) -> np.ndarray:
        """A NumPy copy or view on the host; bfloat16 comes as float32, which holds all its values."""

    def astype(self, array: B, dtype: Any) -> B:
        """The array in another dtype (the library's own); the same object where nothing changes."""

    def compute_dtype(self, dtype: Any) -> Any:
        """The dtype that sums are taken in: float32 for half precision, else `dtype`. Raises on non-floating ones."""

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[B]) -> B:
        """sum of weights[k] * arrays[k], left to right, in the arrays' dtype. At least one term.

        A weight is a float, or an array of that dtype that broadcasts against the others.
        """

    def weighted_sums(
        self, sums: Sequence[Terms], arrays: Sequence[B], dtype: Any, out: Sequence[B] | None = None
    ) -> tuple[B, ...]:
        """Several sums of the same arrays, each taken in the compute dtype of `dtype` and rounded to it once.

        Args:
            sums: no terms make zeros, and one of weight 1 the array itself.
            arrays: of floating dtypes and one shape.
            dtype: of the results.
            out: arrays to write to, which `check_out` has let pass.
        """

    def cut_sums(
        self, cut: Cut, sums: Sequence[Terms], arrays: Sequence[B], dtype: Any, out: Sequence[B] | None = None
    ) -> tuple[B, ...]:
        """`weighted_sums` of the arrays and of one more, a sum of them that is taken first, and cut to bounds in the
        compute dtype."""

    def chained(self, sums: Sequence[Terms], arrays: Sequence[Any]) -> tuple[B, ...] | None:
        """`weighted_sums` for small steps, most of whose time would go into checks. None where the arrays are not small
        ones of one kind, shape, dtype and device, a sum has no chain, or the library has no quicker way."""

    def rows(self, array: B) -> Sequence[B]:
        """The array's rows along its first axis, each an array; views where the library has them."""

    def clip(self, array: B, low: Any, high: Any) -> B:
        """The array within bounds: floats, or arrays of its dtype that broadcast against it."""

    def together(self, array: B, others: Sequence[B]) -> bool:
        """Whether other arrays of the library lie where one operation takes them with this one."""

    def check_out(self, out: Sequence[B], like: B, taken: Sequence[B]) -> None:
        """Raise a ScheduleError unless arrays `out`, to be as `like`, can be written to while `taken` are read."""

    def constant(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> B:
        """`values` as a real array, whatever mode is on: also while a function is traced."""

    def constant_rows(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> Sequence[B]:
        """The same, row by row."""

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """A pure function of arrays and tuples of them, compiled; the arguments `donate` may be overwritten.

        Raises:
            ScheduleError: if the library has no compiler.
        """

    def compiles_early(self, array: B) -> bool:
        """Whether steps of such arrays are faster compiled from the first run on."""

    def copies_donated(self, array: B) -> bool:
        """Whether what is compiled for the device of an array copies donated arguments where it has several results."""

    fuses_results: bool
    """Whether several results are compiled to one loop, so that even there none of them is copied."""

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any) -> Any:
        """The carry after body(carry, inputs[k]) -> (carry, None) for each k along the first axis, in one graph.

        Raises:
            ScheduleError: if the library has no such loop.
        """

    def loop(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        """The state after `body`, as often as going(state) is true before it, in one graph.

        Raises:
            ScheduleError: if the library has no such loop.
        """

    def jvp(self, function: Callable[..., B], at: tuple[B, ...], along: tuple[B, ...]) -> tuple[B, B]:
        """(function(*at), its derivative there along a direction for each argument).

        Raises:
            ScheduleError: if the library has no derivatives.
        """

    def vjp(self, function: Callable[[B], B], at: B, along: B) -> tuple[B, B]:
        """(function(at), the transpose of its derivative there times an array shaped as the result).

        Raises:
            ScheduleError: if the library has no derivatives.
        """

    def traced(self, array: B) -> bool:
        """Whether the array has no values yet, since a function is being traced."""

    def unreadable(self, array: B) -> bool:
        """Whether the array has no value that `to_numpy` could give: it is traced, one of a batch, or fake. Nothing
        waits for a device to say so."""

    def replayed(self, *arrays: B) -> bool:
        """Whether Python runs once here for many later calls, as inside jit, scan or compile, so that what it counts
        and keeps would be lost; as far as these arrays show it. Not where the library sees to it that Python's state
        is what it was (torch.compile)."""

    def compiling(self) -> bool:
        """Whether a compiler reads this code instead of running it, so that nothing can be made on the way."""

    def beside(self, constant: B, array: B) -> B:
        """A constant in the form that is computed with together with this array."""

    def dtype(self, dtype: Any) -> Any:
        """The library's dtype for a name such as "int32"; anything else passes as it is."""

    def hosted(self, device: Any) -> bool:
        """Whether arrays of a device lie in the host's memory and nothing is traced here, so that the host may as well
        compute what is to be put there."""

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> B:
        """Standard normal draws by the library's own generator, seeded anew."""

    addressed: bool
    """Whether `normal_from` takes an address, so that the same one gives the same numbers."""

    def drives(self, state: Any) -> bool:
        """Whether this is a random state of the library: a key, a generator."""

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> B:
        """float32 normals that such a state gives by itself, or at (step, draw) where the library is `addressed`."""

    def synchronize(self, *arrays: B) -> None:
        """Return when the arrays are computed (for timing)."""

    def flush(self, *arrays: B) -> None:
        """Start the computation of lazily built arrays; a loop calls it once per step."""

    def repeat(self, count: int, body: Callable[[tuple[B, ...]], tuple[B, ...]], state: tuple[B, ...]) -> tuple[B, ...]:
        """`state` after `count` times `body`, which keeps shapes and dtypes; a loop of the library's where unrolling
        costs more."""
