"""Passes over Dask arrays of samples, on whatever scheduler or client is active; and results for their rows, lazy."""

from __future__ import annotations

import functools
import itertools
import pickle
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.delayed import Delayed, delayed

from fmnist_dask.kernels.projection import PANEL_ROWS
from fmnist_dask.passes.arrays import ArrayFeatures, FeatureTable, TableEngine
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.protocol import ProgressCallback, Readable, State, Tasks
from fmnist_dask.passes.rows import RowFunction, check_finite
from fmnist_dask.passes.sizing import COMBINE_BYTES, MAX_FAN_IN
from fmnist_dask.passes.worker import combine_states, run_chunks
from fmnist_dask.typing import AnyArray

#: Bytes of the blocks that tasks take: others are merged or cut.
LEAST_BLOCK, MOST_BLOCK = 2**20, 256 * 2**20
#: What they are merged or cut to, at least and at most.
LEAST_MADE, MOST_MADE = 4 * 2**20, 64 * 2**20


def sample_rows(array: da.Array, feature_dtype: str) -> da.Array:
    """A Dask array as samples of one feature vector each: chunked along the first axis alone.

    Parameters
    ----------
    array
        Shape (n, …); all axes but the first become features.

    Returns
    -------
    dask.array.Array
        Shape (n, d).
    """
    if array.ndim > 2 or len(array.chunks[1]) > 1:
        array = array.rechunk(dict.fromkeys(range(1, array.ndim), -1), method="tasks")
    if array.ndim == 2 and array.dtype == feature_dtype:
        return array
    width = int(np.prod(array.shape[1:]))
    return array.map_blocks(
        _flat,
        feature_dtype,
        dtype=feature_dtype,
        chunks=(array.chunks[0], (width,)),
        drop_axis=list(range(2, array.ndim)),
        meta=np.empty((0, width), dtype=feature_dtype),
        name=_own_name("features"),
    )


def has_known_rows(array: da.Array) -> bool:
    """Whether the lengths of all chunks are known."""
    return not np.isnan(array.chunks[0]).any()


def apply_rows(function: RowFunction, array: da.Array) -> da.Array:
    """The function's result for all rows, lazy, in the chunks of the array.

    Parameters
    ----------
    array
        As :func:`sample_rows` makes it.
    """
    chunks, work = array.chunks[0], array
    if function.aligned and has_known_rows(array):
        work = array.rechunk({0: _aligned(chunks)}, method="tasks")
    pickled = pickle.dumps(function)
    # One key of the graph, on which all blocks depend: not a copy in each.
    parameters = delayed(pickled, name=f"parameters-{tokenize(pickled)}", traverse=False)
    name = type(function).__name__
    if function.width is None:
        found = work.map_blocks(
            _apply, parameters, dtype=function.dtype, drop_axis=1, meta=np.empty(0, function.dtype), token=name
        )
    else:
        found = work.map_blocks(
            _apply,
            parameters,
            dtype=function.dtype,
            chunks=(work.chunks[0], (function.width,)),
            meta=np.empty((0, function.width), function.dtype),
            token=name,
        )
    return found if work is array else found.rechunk({0: chunks}, method="tasks")


class DaskArrayEngine(TableEngine):
    """Runs passes over a Dask array: each is one graph, computed at once.

    Rows are cut at multiples of 256, and tasks know the absolute rows of their block, so that results do not depend on
    how the array is chunked.

    Parameters
    ----------
    array
        As :func:`sample_rows` makes it, of known length.
    weights
        Of the samples: NumPy or Dask array of shape (n,), or ``None``.
    feature_dtype
        What blocks are turned into.
    """

    def __init__(self, array: da.Array, weights: Any = None, feature_dtype: str | None = None) -> None:
        super().__init__()
        n, width = array.shape
        self.table = FeatureTable(int(n), int(width), feature_dtype or str(array.dtype))
        rows = _task_rows(array)
        if rows != array.chunks[0]:
            array = array.rechunk({0: rows}, method="tasks")
        self.first_rows = [0, *itertools.accumulate(int(size) for size in rows[:-1])]
        # Under names of their own: Dask merges tasks into those of the last layer, and the same name for tasks merged
        # in another way, in a lazy result of the same array, confuses the scheduler.
        array = array.map_blocks(_same, dtype=array.dtype, meta=array._meta, name=f"block-{uuid.uuid4().hex[:12]}")
        self.blocks: list[Delayed] = list(array.to_delayed().ravel())
        self.weights: list[Any] = [None] * len(rows)
        if weights is not None:
            self.weights = list(da.asarray(weights).rechunk((rows,), method="tasks").to_delayed().ravel())

    def _states(self, source: Readable, fused: FusedScan) -> list[State]:
        token = f"{fused.title}-{uuid.uuid4().hex[:8]}"
        shared = _shared((fused, self.table.feature_dtype), token)
        fold, merge = delayed(_fold, pure=False), delayed(_merge, pure=False)
        level = [
            fold(shared, first, block, weights, dask_key_name=f"read-{token}-{number}")
            for number, (first, block, weights) in enumerate(
                zip(self.first_rows, self.blocks, self.weights, strict=True)
            )
        ]
        self.statistics.tasks += len(level)
        self.statistics.chunks_read += len(level)
        fan_in = max(2, min(MAX_FAN_IN, COMBINE_BYTES // max(fused.state_bytes(source), 1)))
        height = 0
        while len(level) > 1:
            level = [
                merge(shared, level[at : at + fan_in], dask_key_name=f"merge-{token}-{height}-{at}")
                for at in range(0, len(level), fan_in)
            ]
            height += 1
        states: list[State] = _compute(level)[0]
        return states

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        token = f"{tasks.name.replace(' ', '_')}-{uuid.uuid4().hex[:8]}"
        shared, call = _shared(tasks.shared, token), delayed(_call, pure=False)
        made = [
            call(shared, pickle.dumps((one.function, one.arguments)), dask_key_name=f"{token}-{number}")
            for number, one in enumerate(tasks.calls)
        ]
        self.statistics.tasks += len(made)
        return _compute(made)


def batches(array: da.Array, rows: Sequence[slice]) -> Any:
    """Some rows of an array after the other, as NumPy arrays."""
    for part in rows:
        (values,) = _compute([array[part]])
        yield values


def _shared(value: Any, token: str) -> Delayed:
    """What many tasks need, as one key of the graph; pickled, so that arrays are not read-only where they arrive."""
    return delayed(pickle.dumps(value), name=f"parameters-{token}", traverse=False)


def _compute(wanted: Sequence[Any]) -> list[Any]:
    # Parameters stand in the graph once, whatever their size. Without a client nobody warns; and a setting that is made
    # before distributed is imported would take all its defaults along when it ends.
    quiet = {"distributed.admin.large-graph-warning-threshold": "1 GiB"} if "distributed" in sys.modules else {}
    with one_blas_thread(), dask.config.set(quiet):
        return list(dask.compute(*wanted))


@functools.lru_cache(maxsize=4)
def _loaded(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # noqa: S301 - made by whoever made the graph


def _fold(shared: bytes, first_row: int, features: AnyArray, weights: AnyArray | None) -> list[State]:
    """States of one block."""
    fused, feature_dtype = _loaded(shared)
    part = ArrayFeatures.of(np.asarray(features), weights, first_row, feature_dtype)
    with one_blas_thread():
        return run_chunks(part, fused, range(-(-part.n // part.chunk_rows)), [])


def _merge(shared: bytes, parts: Sequence[list[State]]) -> list[State]:
    return combine_states(_loaded(shared)[0], parts)


def _call(shared: bytes, call: bytes) -> Any:
    first = _loaded(shared)
    function, arguments = pickle.loads(call)  # noqa: S301 - made by whoever made the graph
    with one_blas_thread():
        return function(*arguments) if first is None else function(first, *arguments)


def _apply(features: AnyArray, pickled: bytes) -> AnyArray:
    block = np.require(features, requirements=["C", "W"])
    function: Callable[[AnyArray], AnyArray] = _loaded(pickled)
    check_finite(block, getattr(function, "takes_missing", False))
    with one_blas_thread():
        return function(block)


def _same(block: AnyArray) -> AnyArray:
    return block


def _flat(block: AnyArray, dtype: str) -> AnyArray:
    return block.reshape(len(block), -1).astype(dtype, copy=False)


def _own_name(what: str) -> str:
    """A name that no other graph has.

    Dask merges tasks, and names them after the last. The same name for tasks that are merged in another way, in another
    graph over the same array, confuses the scheduler (dask#9888).
    """
    return f"{what}-{uuid.uuid4().hex[:12]}"


def _aligned(chunks: Sequence[int]) -> tuple[int, ...]:
    """Chunks that end at multiples of 256 rows, each near where one ended before."""
    ends = list(itertools.accumulate(int(size) for size in chunks))
    near = sorted({0, ends[-1], *(min(round(end / PANEL_ROWS) * PANEL_ROWS, ends[-1]) for end in ends[:-1])})
    return tuple(high - low for low, high in itertools.pairwise(near)) or (0,)


def _task_rows(array: da.Array) -> tuple[int, ...]:
    """Chunks that end at multiples of 256 rows, not so small that Dask's overhead shows, nor too large for memory."""
    n, row = int(array.shape[0]), int(array.shape[1]) * array.dtype.itemsize
    average = n * row / max(len(array.chunks[0]), 1)
    if average >= LEAST_BLOCK and max(array.chunks[0]) * row <= MOST_BLOCK:
        return _aligned(array.chunks[0])
    wanted = min(max(average, LEAST_MADE), MOST_MADE) / max(row, 1)
    size = max(round(wanted / PANEL_ROWS), 1) * PANEL_ROWS
    return tuple(min(size, n - start) for start in range(0, n, size)) or (0,)
