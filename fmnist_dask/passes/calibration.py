"""What tasks take of time, measured on workers with the very code that a run will use. Runs on workers."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.parts import write_part
from fmnist_dask.collection.planning import IngestPlan, Part
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import begin
from fmnist_dask.passes.columns import create_columns
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.standin import StandIn
from fmnist_dask.passes.worker import combine_states, run_chunks
from fmnist_dask.typing import AnyArray, UInt8Array

#: Samples of the first two tries, seconds that one chunk may take, and beyond which nothing is repeated.
FIRST_ROWS, SECOND_ROWS, MOST_SECONDS, ENOUGH_SECONDS = 256, 1024, 1.0, 0.1
#: Chunks of a task that are worked through.
CHUNKS = 3
#: Times that what is short is measured; the least counts, since nothing makes work faster than it is.
REPEATS = 3


@dataclass(frozen=True)
class Rate:
    """What one pass takes of a thread.

    Attributes
    ----------
    per_row
        Seconds a sample: all kernels, writing columns; reading and decoding are counted by their bytes.
    per_task
        Seconds that a task takes beside its samples.
    per_combine
        Seconds to merge the states of one task into others.
    rows
        Samples of the larger of the two blocks that were worked through.
    """

    per_row: float
    per_task: float
    per_combine: float
    rows: int


@dataclass(frozen=True)
class IngestRate:
    """What an ingest takes of a thread: seconds a sample, and bytes that it leaves on disk."""

    per_row: float
    stored_per_row: float


@dataclass(frozen=True)
class Calibration:
    """What is to be measured. Sent to workers.

    Attributes
    ----------
    few
        A collection that is there, or how a source would be ingested.
    passes
        What stands in for the source of each pass (without samples yet), and the pass.
    """

    few: Any
    passes: tuple[tuple[Any, int, FusedScan], ...]


@dataclass(frozen=True)
class Measured:
    """What a worker has measured.

    Attributes
    ----------
    read
        Seconds to read and decode a byte of pixels.
    ingest
        ``None`` where the collection is there.
    rates
        Of each pass; or why it could not be measured, in words.
    """

    ingest: IngestRate | None
    read: float
    rates: tuple[Rate | str, ...]


def calibrate(wanted: Calibration) -> Measured:
    """Work through a few blocks of each pass, from a real collection on this worker's disk."""
    with tempfile.TemporaryDirectory(prefix="fmnist-dask-plan-") as scratch:
        ingest: IngestRate | None = None
        few = wanted.few
        if isinstance(few, IngestPlan):
            few, ingest = _first_chunk(few, Path(scratch))
        elif isinstance(few, PhotoSource):
            few, ingest = _first_lines(few, wanted.passes[0][0].chunk_rows if wanted.passes else FIRST_ROWS)
        held = Held(few, min(few.n, few.chunk_rows))
        read = held.read_seconds()
        rates: list[Rate | str] = []
        for number, (of, width, fused) in enumerate(wanted.passes):
            try:
                rates.append(_rate(StandIn(of, held, width), fused, Path(scratch, str(number))))
            except Exception as error:  # what stands in for samples may be too unlike them: a plan without this rate
                rates.append(f"{type(error).__name__}: {error}")
        return Measured(ingest, read, tuple(rates))


class Held:
    """The first rows of a collection, kept in memory: a part of a chunk could not be read for a part of the time."""

    def __init__(self, base: Any, n: int) -> None:
        self.base = base
        self.n = n
        self._arrays: dict[str, AnyArray] = {}

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        if name not in self._arrays:
            self._arrays[name] = self.base.read(name, 0, self.n)
        return self._arrays[name][start:stop].copy()

    def read_seconds(self) -> float:
        """Seconds to read and decode a byte of pixels."""
        size = self.base.read("image", 0, self.n).nbytes
        return _least(lambda: self.base.read("image", 0, self.n)) / float(max(size, 1))


def _first_chunk(plan: IngestPlan, scratch: Path) -> tuple[Collection, IngestRate]:
    """Ingest the first chunk of a source, twice: what is slow once (opening files, compiling) is not counted."""
    source = plan.source
    here = IngestPlan(str(scratch / "few.zarr"), source, plan.chunk_rows, (Part(0, 0, 1),))
    begin(here)
    rows = min(plan.chunk_rows, source.n)
    first = _seconds(lambda: write_part(here, here.parts[0]))
    again = first if first > ENOUGH_SECONDS * REPEATS else _seconds(lambda: write_part(here, here.parts[0]))
    stored = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file() and "c" in file.parts)
    splits = {name: min(count, rows) for name, count in source.splits.items()}
    few = Collection(
        path=here.path,
        n=rows,
        image_shape=source.image_shape,
        chunk_rows=plan.chunk_rows,
        class_names=source.class_names,
        splits=splits,
        fingerprint=source.fingerprint,
    )
    return few, IngestRate(min(first, again) / rows, stored / rows)


class FirstLines:
    """The first lines of a photograph, in memory."""

    def __init__(self, lines: UInt8Array) -> None:
        self.lines = lines
        self.n = self.chunk_rows = len(lines)

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for lines ``start`` to ``stop``; see :meth:`~fmnist_dask.collection.lines.Lines.read`."""
        if name == "image":
            return self.lines[start:stop].copy()
        return np.full(stop - start, -1 if name == "label" else 0, dtype=np.int16 if name == "label" else np.int8)


def _first_lines(photo: PhotoSource, count: int) -> tuple[FirstLines, IngestRate]:
    """Some lines, and what it takes to have them: all, where there are no bands."""
    height = photo.image_shape[0]
    count = min(count, height) if photo.in_bands else height
    found: list[UInt8Array] = []
    seconds = _seconds(lambda: found.append(photo.lines(0, count)))
    lines = found[0]
    return FirstLines(lines), IngestRate(seconds / len(lines), lines.nbytes / len(lines))


def _rate(source: StandIn, fused: FusedScan, scratch: Path) -> Rate:
    """Time one chunk, and several, of as many samples as take long enough to be timed."""
    tried: list[float] = []
    for rows in (FIRST_ROWS, SECOND_ROWS):
        with _columns(source.with_rows(min(rows, source.chunk_rows)), fused, scratch) as run:
            if not tried:
                run(1)  # compiles, loads, fills caches
            tried.append(_seconds(lambda: run(1)))
    # Chunks as they are, since each has costs of its own; smaller ones where a chunk takes very long.
    slope = max((tried[1] - tried[0]) / (SECOND_ROWS - FIRST_ROWS), 1e-9)
    rows = min(source.chunk_rows, max(SECOND_ROWS, int(MOST_SECONDS / slope)), max(source.n, 1))
    with _columns(source.with_rows(rows), fused, scratch) as run:
        one = _least(lambda: run(1))
        state = run.states
        more = len(run.chunks) - 1 if one < 2 * MOST_SECONDS else 0
        # The first chunks of a task cost more: states are made, and samples and extremes are still found in each.
        chunk = max(_least(lambda: run(1 + more)) - one, 0.0) / more if more else one
        per_combine = _least(lambda: combine_states(fused, [state, state])) if state else 0.0
    return Rate(chunk / rows, max(one - chunk, 0.0), per_combine, rows)


class _Run:
    """Works through the first chunks that a pass wants."""

    def __init__(self, source: StandIn, fused: FusedScan, columns: list[dict[str, Any]]) -> None:
        self.source, self.fused, self.columns = source, fused, columns
        size = source.chunk_rows
        chunks = range(-(-source.n // size))
        wanted = (c for c in chunks if fused.wants(c * size, min((c + 1) * size, source.n)))
        self.chunks = [chunk for chunk, _ in zip(wanted, range(CHUNKS), strict=False)]
        self.states: list[Any] = []

    def __call__(self, count: int) -> None:
        self.states = run_chunks(self.source, self.fused, self.chunks[:count], self.columns)


@contextmanager
def _columns(source: StandIn, fused: FusedScan, scratch: Path) -> Iterator[_Run]:
    """A pass with columns on disk, which are taken away again."""
    try:
        yield _Run(
            source,
            fused,
            [dict(create_columns(scratch / str(i), source, column)) for i, (column, _) in enumerate(fused.columns)],
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _least(work: Callable[[], Any]) -> float:
    """Seconds that some work takes, at its quickest."""
    taken = [_seconds(work)]
    while len(taken) < REPEATS and sum(taken) < ENOUGH_SECONDS:
        taken.append(_seconds(work))
    return min(taken)


#: Seconds of the three parts of :func:`slowness` on the machine whose figures plans rest on.
REFERENCE = (0.0160, 0.0038, 0.0185)


def slowness() -> float:
    """How many times as long this thread takes for ordinary work as the one whose figures plans rest on.

    Matrix products, sorting, and Python itself; their geometric mean.
    """
    rng = np.random.default_rng(0)
    left, values = rng.standard_normal((1024, 784)).astype(np.float32), rng.standard_normal(1 << 18)

    def python() -> int:
        return sum(number & 7 for number in range(400_000))

    works: tuple[Callable[[], Any], ...] = (lambda: left @ left.T, lambda: np.sort(values), python)
    taken = [min(_seconds(work) for _ in range(REPEATS)) for work in works]
    return float(np.exp(np.mean(np.log(np.array(taken) / np.array(REFERENCE)))))


def nothing(number: int) -> int:
    """A task that does nothing."""
    return number
