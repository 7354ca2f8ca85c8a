"""What algorithms ask for: reductions, columns, scans, and small independent tasks.

An algorithm is a generator. It yields the :class:`Scan` (or :class:`Tasks`) that it needs next, receives that request's
result, and returns its model::

    def mean_image(split):
        result = yield Scan({"histogram": PixelHistogram()}, split=split)
        return result["histogram"].mean()

It never sees Dask, and the same generator runs on a cluster, in this process, or beside other algorithms whose scans
are merged with its own into one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from fmnist_dask.collection.block import Block
from fmnist_dask.typing import AnyArray

if TYPE_CHECKING:
    from fmnist_dask.passes.fused import PassOutcome

State = Any
Model = TypeVar("Model")


class Readable(Protocol):
    """A collection as passes read it: on disk (``Collection``) or in memory (``ArrayCollection``)."""

    @property
    def n(self) -> int:
        """Number of samples."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel)."""

    @property
    def chunk_rows(self) -> int:
        """Samples in one chunk."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""

    @property
    def n_features(self) -> int:
        """Features of one sample: the pixel values of an image, or what stands in their place."""

    @property
    def feature_dtype(self) -> str:
        """``uint8`` for pixels; ``float32`` or ``float64`` for other features."""

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""


class Reduction(ABC):
    """A small mergeable state over many blocks: fold each block in, merge states, finish.

    Subclasses are frozen dataclasses: reductions that are equal and read the same rows are computed once for all
    algorithms that ask for them. Merging must not depend on how rows were cut into blocks; integers see to that.
    """

    @abstractmethod
    def initial(self, source: Readable) -> State:
        """The state of no rows."""

    @abstractmethod
    def chunk(self, state: State, block: Block) -> State:
        """Fold a block into a state, which may be changed in place."""

    @abstractmethod
    def combine(self, left: State, right: State) -> State:
        """Merge the states of earlier and later rows; only ``left`` may be changed in place."""

    def aggregate(self, state: State, source: Readable) -> Any:
        """Make the result of the state of all rows. Runs in the driver."""
        return state

    @abstractmethod
    def state_bytes(self, source: Readable) -> int:
        """Upper bound of the bytes of one state. States are NumPy arrays, numbers, and lists and dicts of them."""

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Upper bound of the bytes of the state of ``rows`` consecutive rows, where that is less."""
        return self.state_bytes(source)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Upper bound of temporaries while a block of ``rows`` is folded in, beyond block and state."""
        return 0

    def wants(self, start: int, stop: int) -> bool:
        """Whether rows ``start`` to ``stop`` can change the state; chunks that nothing wants are not read."""
        return True

    def kept_as(self) -> Any:
        """What tells the state from others that are kept for a later generation of the collection.

        ``None`` where the state of some rows is of no use once there are more. A reduction that says otherwise counts
        exactly: the state of the first rows and that of later ones make that of all.
        """
        return None


@dataclass(frozen=True)
class Variable:
    """One variable of a column: what it holds for each sample."""

    dtype: str
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    attrs: tuple[tuple[str, Any], ...] = ()
    fill_value: Any = 0
    #: False for values that do not compress, such as hashes.
    compress: bool = True


class Column(ABC):
    """Values for each sample, written chunk by chunk. Subclasses are frozen dataclasses."""

    @abstractmethod
    def variables(self, source: Readable) -> dict[str, Variable]:
        """The variables that :meth:`compute` gives."""

    @abstractmethod
    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Each variable's values for the rows of a block."""

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Upper bound of results and temporaries for a block of ``rows``."""
        return rows * 256

    def begins(self) -> int:
        """First row to be computed; those before are known."""
        return 0

    def kept_as(self) -> Any:
        """What tells the values from others that are kept for a later generation; ``None`` where they are not."""
        return None


class ColumnArray(Protocol):
    """A variable that a column has written: sliced by rows."""

    def __getitem__(self, rows: slice) -> AnyArray:
        """Values of these rows."""

    def __len__(self) -> int:
        """Number of samples."""


@dataclass(frozen=True)
class Scan:
    """One read of the images, and what is wanted from it.

    Attributes
    ----------
    reductions
        Name → reduction; the result maps each name to what ``aggregate`` returned.
    columns
        Name → column; the result maps each name to ``{variable: ColumnArray}``.
    split
        Name of the split whose rows are used; ``all`` for every row. Column values of other rows are the fill value.
    known
        How far the algorithm has come, for people who watch: values that converge, by name. It has no part in what is
        computed.
    """

    reductions: Mapping[str, Reduction] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)
    split: str = "all"
    known: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call of a function that workers can import, on small picklable arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    #: What this call counts for in progress, for instance rows.
    weight: int = 1


@dataclass(frozen=True)
class Tasks:
    """Independent calls that are no pass over the images; the result is the list of their values, in order.

    Attributes
    ----------
    name
        What the calls do, in two or three words; shown in Dask's dashboard.
    calls
        The calls.
    task_bytes
        Upper bound of the memory of one call.
    unit
        What weights count, for progress ("images", "calls").
    expected
        Makes a plausible result, from which a plan sizes what comes next.
    shared
        First argument of every call where it is not ``None``: sent to a worker once, however large.
    late
        Whether passes that other steps wait for go first: for long calls, which no scan follows.
    seconds
        Of one call, about, on the machine whose figures plans rest on.
    here
        Whether the driver makes the calls, one after the other, where workers have too little memory for them.
    step
        Who asks, for accounts; whoever carries steps out says so.
    """

    name: str
    calls: tuple[Call, ...]
    task_bytes: int = 0
    unit: str = "calls"
    expected: Callable[[], list[Any]] | None = None
    shared: Any = None
    late: bool = False
    here: bool = False
    seconds: float | None = None
    step: str = ""


Request: TypeAlias = Scan | Tasks
#: An algorithm: yields requests, receives their results, returns its model.
Algorithm: TypeAlias = Generator[Request, Any, Model]


@dataclass
class PassProgress:
    """How far a pass or a set of tasks is; handed to progress callbacks as a whole each time."""

    name: str
    unit: str
    done: int
    total: int
    chunks_done: int = 0
    chunks_total: int = 0
    seconds: float = 0.0
    #: Of ``done``, what an earlier run had done.
    resumed: int = 0

    @property
    def rate(self) -> float:
        """Units a second so far."""
        return (self.done - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left at this rate; ``None`` while nothing is done."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


ProgressCallback: TypeAlias = Callable[[PassProgress], None]


@dataclass
class PassStatistics:
    """What an engine has done since it was made."""

    passes: int = 0
    tasks: int = 0
    chunks_read: int = 0
    bytes_read: int = 0
    #: Chunks that were not read, since what an earlier run had made of them was there.
    chunks_resumed: int = 0

    def snapshot(self) -> PassStatistics:
        """A copy."""
        return replace(self)


class Engine(Protocol):
    """Runs requests; see ``local`` and ``distributed``."""

    statistics: PassStatistics

    def run_pass(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> PassOutcome:
        """Run scans of several algorithms as one pass."""

    def scan(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Run scans of several algorithms as one pass; the results, by the same names."""

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; their values in order."""


def names_of(items: Iterable[Any]) -> str:
    """Class names for task keys: ``PixelHistogram+ImageSample``."""
    return "+".join(dict.fromkeys(type(item).__name__ for item in items))
