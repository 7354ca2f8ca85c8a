"""Passes over arrays of samples in memory, on threads of this process."""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.store import split_code
from fmnist_dask.kernels.gram import PANEL_ROWS as GRAM_ROWS
from fmnist_dask.kernels.projection import PANEL_ROWS
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.fused import FusedScan, PassOutcome, fuse
from fmnist_dask.passes.protocol import PassStatistics, ProgressCallback, Readable, Scan, State, Tasks
from fmnist_dask.passes.rows import RowFunction
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.passes.worker import combine_states, run_chunks
from fmnist_dask.typing import AnyArray

#: Bytes of one block: its temporaries stay near the processor.
CHUNK_BYTES = 4 * 2**20
#: Parts of a pass for each thread, so that threads end together.
PARTS_PER_THREAD = 4
#: Of the memory that is left, what calls may take together.
MEMORY_SHARE = 0.5
#: Bytes below which threads cost more than they bring.
SINGLE_THREAD_BYTES = 2**20

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Samples that are vectors, as passes ask about them: no images, no classes, one split.

    Attributes
    ----------
    n, n_features
        Rows and columns.
    feature_dtype
        ``uint8``, ``float32`` or ``float64``.
    """

    n: int
    n_features: int
    feature_dtype: str

    @property
    def image_shape(self) -> tuple[int, ...]:
        """A row of pixels."""
        return (self.n_features,)

    @property
    def image_bytes(self) -> int:
        """Values of one sample."""
        return self.n_features

    @property
    def chunk_rows(self) -> int:
        """Rows of one block: a multiple of what kernels take as a panel."""
        rows = CHUNK_BYTES // max(row_bytes(self), 1)
        panel = GRAM_ROWS if rows >= GRAM_ROWS else PANEL_ROWS
        return max(rows // panel, 1) * panel

    @property
    def class_names(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def splits(self) -> dict[str, int]:
        """One."""
        return {"all": self.n}

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        raise NotImplementedError("the rows of this table are not in this process")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        raise NotImplementedError("the rows of this table are not in this process")


@dataclass(frozen=True, eq=False)
class ArrayFeatures(FeatureTable):
    """Samples in memory, or a run of consecutive rows of samples.

    Attributes
    ----------
    features : array, shape (n, d)
    sample_weight : float64 array, shape (n,), or ``None``
    first_row
        Absolute row of the first sample; a multiple of 256.
    """

    features: AnyArray
    sample_weight: AnyArray | None = None
    first_row: int = 0

    @classmethod
    def of(
        cls,
        features: AnyArray,
        sample_weight: AnyArray | None = None,
        first_row: int = 0,
        feature_dtype: str | None = None,
    ) -> ArrayFeatures:
        """From an array; values are turned into ``feature_dtype`` block by block."""
        n, d = features.shape
        return cls(n, d, feature_dtype or str(features.dtype), features, sample_weight, first_row)

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop`` of this run, with their absolute numbers."""
        rows = np.arange(self.first_row + start, self.first_row + stop, dtype=np.int64)
        return Block(rows, lambda name: self.read(name, start, stop), "features")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """``features``, ``sample_weight``, or what is the same for all: ``label`` −1, ``split`` 0."""
        if name == "features":
            # Kernels are compiled once more for arrays that are read-only or strided: a copy costs less.
            return np.require(self.features[start:stop], self.feature_dtype, ["C", "W"])
        if name == "label":
            return np.full(stop - start, -1, dtype=np.int16)
        if name == "split":
            return np.zeros(stop - start, dtype=np.int8)
        if name == "sample_weight" and self.sample_weight is not None:
            return np.require(self.sample_weight[start:stop], np.float64, ["C", "W"])
        raise KeyError(name)


class TableEngine(ABC):
    """Runs passes over samples that are vectors. Reductions only: columns have no place to be written to."""

    def __init__(self) -> None:
        self.statistics = PassStatistics()

    def scan(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`. Progress is not told."""
        return self.run_pass(source, scans, progress).answers()

    def run_pass(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> PassOutcome:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        fused, wiring = fuse(source, scans, {scan.split: split_code(source, scan.split) for scan in scans.values()})
        if fused.columns:
            raise NotImplementedError("columns cannot be written beside arrays")
        with one_blas_thread():
            states = self._states(source, fused)
        self.statistics.passes += 1
        self.statistics.bytes_read += source.n * row_bytes(source)
        return PassOutcome(source, fused, wiring, states, [])

    @abstractmethod
    def _states(self, source: Readable, fused: FusedScan) -> list[State]:
        """Merged state of each reduction."""

    @abstractmethod
    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""


class ArrayEngine(TableEngine):
    """Runs passes over :class:`ArrayFeatures` on threads of this process; kernels and BLAS let go of the interpreter.

    Parameters
    ----------
    threads
        By default the processors that this process may use. Results do not depend on it.
    """

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        self.threads = threads or usable_processors()

    def _states(self, source: Readable, fused: FusedScan) -> list[State]:
        count = -(-source.n // source.chunk_rows)
        threads = self.threads if source.n * row_bytes(source) > SINGLE_THREAD_BYTES else 1
        parts = _cut(count, PARTS_PER_THREAD * threads if threads > 1 else 1)
        self.statistics.tasks += len(parts)
        self.statistics.chunks_read += count
        return combine_states(fused, _mapped(lambda part: run_chunks(source, fused, part, []), parts, threads))

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        first = () if tasks.shared is None else (tasks.shared,)
        self.statistics.tasks += len(tasks.calls)
        threads = self.threads
        if tasks.task_bytes:
            import psutil

            # Calls run one by one rather than fill the memory that is left.
            room = int(psutil.virtual_memory().available * MEMORY_SHARE)
            threads = max(1, min(threads, room // tasks.task_bytes))
        with one_blas_thread():
            return _mapped(lambda call: call.function(*first, *call.arguments), tasks.calls, threads)


def apply_rows(function: RowFunction, features: AnyArray) -> AnyArray:
    """The function's result for all rows of an array in memory, worked out on threads."""
    table = ArrayFeatures.of(features)
    step, width = table.chunk_rows, function.width
    out = np.empty(table.n if width is None else (table.n, width), dtype=function.dtype)

    def fill(start: int) -> None:
        stop = min(start + step, table.n)
        out[start:stop] = function(table.read("features", start, stop))

    threads = usable_processors() if features.nbytes > SINGLE_THREAD_BYTES else 1
    with one_blas_thread():
        _mapped(fill, range(0, table.n, step), threads)
    return out


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mapped(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    if threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads, "fmnist-dask") as pool:
        return list(pool.map(function, items))


def _cut(count: int, parts: int) -> list[range]:
    """Numbers below ``count`` as at most ``parts`` runs; at least one, which may be empty."""
    edges = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in itertools.pairwise(edges) if low < high] or [range(0)]
