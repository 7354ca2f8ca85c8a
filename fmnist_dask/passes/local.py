"""Passes in this process, without Dask: for tests, for NumPy arrays, and to see what an algorithm does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.store import split_code
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.columns import columns_in_memory
from fmnist_dask.passes.fused import PassOutcome, fuse
from fmnist_dask.passes.protocol import (
    Algorithm,
    Engine,
    Model,
    PassProgress,
    PassStatistics,
    ProgressCallback,
    Readable,
    Scan,
    Tasks,
)
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.passes.worker import ChunkDone, combine_states, run_chunks
from fmnist_dask.typing import AnyArray, UInt8Array


@dataclass(eq=False)
class ArrayCollection:
    """Images in memory, read like a collection.

    Attributes
    ----------
    image : uint8 array, shape (n, y, x) or (n, y, x, channel)
    label : int16 array, shape (n,); −1 where unknown
    split : int8 array, shape (n,), codes into ``split_names``
    chunk_rows
        Rows of one chunk.
    """

    image: UInt8Array
    label: AnyArray | None = None
    split: AnyArray | None = None
    class_names: tuple[str, ...] = ()
    split_names: tuple[str, ...] = ("all",)
    chunk_rows: int = 256
    extra: dict[str, AnyArray] = field(default_factory=dict)
    reads: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim not in (3, 4):
            raise UsageError(
                f"images are {self.image.dtype} of shape {self.image.shape}", "give uint8 of shape (n, y, x[, channel])"
            )
        self.label = np.full(self.n, -1, np.int16) if self.label is None else self.label.astype(np.int16)
        self.split = np.zeros(self.n, np.int8) if self.split is None else self.split.astype(np.int8)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.image)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel)."""
        return self.image.shape[1:]

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.image_shape))

    @property
    def n_features(self) -> int:
        """Pixel values of one image."""
        return self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Features are pixels."""
        return "uint8"

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split."""
        split = np.asarray(self.split)
        return {name: int((split == code).sum()) for code, name in enumerate(self.split_names)}

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        return Block(np.arange(start, stop, dtype=np.int64), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``; noted in ``reads``."""
        self.reads.append((name, start))
        arrays = {"image": self.image, "label": self.label, "split": self.split, **self.extra}
        if name in ("height", "width") and name not in arrays:
            size = self.image_shape[0 if name == "height" else 1]
            return np.full(stop - start, size, dtype=np.int32)
        if name not in arrays:
            raise KeyError(name)
        values: AnyArray = arrays[name][start:stop]  # type: ignore[index]
        return values


class LocalEngine:
    """Runs passes one task after the other in this process.

    Parameters
    ----------
    n_tasks
        Tasks a pass is cut into; results do not depend on it.
    """

    def __init__(self, n_tasks: int = 3) -> None:
        self.n_tasks = n_tasks
        self.statistics = PassStatistics()

    def scan(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        return self.run_pass(source, scans, progress).answers()

    def run_pass(
        self, source: Readable, scans: Mapping[str, Scan], progress: ProgressCallback | None = None
    ) -> PassOutcome:
        """Run scans as one pass; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        fused, wiring = fuse(source, scans, {scan.split: split_code(source, scan.split) for scan in scans.values()})
        size = source.chunk_rows
        chunks = [
            chunk
            for chunk in range(-(-source.n // size))
            if fused.wants(chunk * size, min((chunk + 1) * size, source.n))
        ]
        columns = [columns_in_memory(source, column) for column, _ in fused.columns]
        rows = sum(min(size, source.n - chunk * size) for chunk in chunks)
        name = f"pass {self.statistics.passes + 1}"
        done = _teller(PassProgress(name, "images", 0, rows, chunks_total=len(chunks)), progress)
        parts = [run_chunks(source, fused, part, columns, done) for part in _parts(chunks, self.n_tasks)]
        states = combine_states(fused, parts)
        self.statistics.passes += bool(chunks)
        self.statistics.tasks += len(parts)
        self.statistics.chunks_read += len(chunks)
        self.statistics.bytes_read += rows * row_bytes(source)
        return PassOutcome(source, fused, wiring, states, columns)  # type: ignore[arg-type]

    def tasks(self, tasks: Tasks, progress: ProgressCallback | None = None) -> list[Any]:
        """Run independent calls; see :class:`~fmnist_dask.passes.protocol.Engine`."""
        started, results, done = time.perf_counter(), [], 0
        total = sum(call.weight for call in tasks.calls)
        for call in tasks.calls:
            first = () if tasks.shared is None else (tasks.shared,)
            results.append(call.function(*first, *call.arguments))
            done += call.weight
            if progress is not None:
                progress(PassProgress(tasks.name, tasks.unit, done, total, seconds=time.perf_counter() - started))
        self.statistics.tasks += len(results)
        return results


def _teller(now: PassProgress, progress: ProgressCallback | None) -> ChunkDone:
    """Tell of each chunk that a pass has read."""
    started = time.perf_counter()

    def done(chunks: int, rows: int) -> None:
        now.done, now.chunks_done = now.done + rows, now.chunks_done + chunks
        now.seconds = time.perf_counter() - started
        if progress is not None:
            progress(replace(now))

    return done


def _parts(chunks: list[int], count: int) -> list[Sequence[int]]:
    edges = [len(chunks) * part // count for part in range(count + 1)]
    parts: list[Sequence[int]] = [chunks[low:high] for low, high in itertools.pairwise(edges) if low < high]
    return parts or [[]]


def drive(
    algorithm: Algorithm[Model],
    source: Readable,
    engine: Engine | None = None,
    progress: ProgressCallback | None = None,
) -> Model:
    """Run one algorithm to its end.

    Parameters
    ----------
    algorithm
        The generator.
    source
        What it works on.
    engine
        By default a :class:`LocalEngine`.
    progress
        Hears how far each request is.
    """
    chosen = engine or LocalEngine()
    try:
        request = next(algorithm)
        while True:
            if isinstance(request, Tasks):
                answer: Any = chosen.tasks(request, progress)
            else:
                answer = chosen.scan(source, {"": request}, progress)[""]
            request = algorithm.send(answer)
    except StopIteration as end:
        model: Model = end.value
        return model
