"""Plans beyond this machine: more images, more workers, and what Dask's scheduler has to bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmnist_dask.errors import UsageError
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.sizing import TASK_OVERHEAD, Workers
from fmnist_dask.workflow.plan_rows import Row
from fmnist_dask.workflow.plan_time import Clock, row_seconds
from fmnist_dask.workflow.planned import PlannedCollection, PlannedIngest
from fmnist_dask.workflow.schedule import Planned

#: Images that a plan can be made for: beyond, it would list more chunks than this process can hold.
MOST_IMAGES = 10**11
#: Tasks of one pass that a scheduler bears well (Dask's own advice is to stay below some hundred thousands), and its
#: memory for each (measured: ``python -m tests.benchmarks.scheduler``).
MOST_TASKS, BYTES_PER_TASK = 100_000, 8_000


@dataclass(frozen=True)
class Scale:
    """How much a plan is for.

    Attributes
    ----------
    images, workers
        ``None`` for as many as there are.
    """

    images: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and not 1 <= self.images <= MOST_IMAGES:
            raise UsageError(f"--images {self.images:,}", f"plans are made for 1 to {MOST_IMAGES:,} images")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}", "plan for 1 worker or more")

    def of_collection(self, found: Readable) -> Readable:
        """A collection that is there, or one like it of another size."""
        if self.images is None:
            return found
        width = int(getattr(found, "embedding_width", 0))
        return PlannedCollection(
            self.images,
            found.image_shape,
            found.chunk_rows,
            found.class_names,
            self._splits(found.splits, found.n),
            width,
            raw=found,
        )

    def of_ingest(self, ingest: PlannedIngest) -> PlannedIngest:
        """An ingest, of another size."""
        if self.images is None:
            return ingest
        target = ingest.target
        chunks = -(-self.images // target.chunk_rows)
        scaled = replace(target, n=self.images, splits=self._splits(target.splits, target.n))
        # Streams that one task reads stay streams.
        tasks = max(1, round(chunks * ingest.tasks / max(ingest.chunks, 1)))
        return replace(ingest, tasks=tasks, chunks=chunks, target=scaled)

    def _splits(self, splits: dict[str, int], n: int) -> dict[str, int]:
        """Splits in the same proportions."""
        assert self.images is not None
        scaled = {name: self.images * count // max(n, 1) for name, count in splits.items()}
        first = next(iter(scaled))
        scaled[first] += self.images - sum(scaled.values())
        return scaled


def scheduler_load(rows: Sequence[Row], clock: Clock | None) -> dict[str, Any]:
    """What the scheduler has to do in the pass with the most tasks, against what it bears."""
    largest = max(rows, key=lambda row: row.tasks, default=None)
    tasks = 0 if largest is None else largest.tasks
    task_seconds = TASK_OVERHEAD if clock is None else clock.task_seconds
    return {
        "most_tasks": tasks,
        "limit": MOST_TASKS,
        "of": None if largest is None else largest.name,
        "bytes": tasks * BYTES_PER_TASK,
        "task_seconds": task_seconds,
        "seconds": tasks * task_seconds,
        "total_tasks": sum(row.tasks * row.times for row in rows),
    }


def assumptions(
    rows: Sequence[Row],
    steps: Sequence[Planned],
    scale: Scale,
    workers: Workers,
    clock: Clock | None,
    target: Readable,
) -> list[str]:
    """What a plan rests on, in sentences."""
    said = []
    if clock is not None:
        said.append(
            f"rates are those of this machine now, {target.image_bytes:,} bytes an image, "
            f"{clock.task_seconds * 1e3:.1f} ms a task for the scheduler"
        )
    if scale.images is not None:
        said.append(f"all {scale.images:,} images are like those of the source, in the same splits")
    if scale.workers is not None:
        said.append(f"each of {workers.count:,} workers is as fast as one here, storage and network keep up")
        if clock is not None and (rate := _bytes_a_second(rows, workers, clock)):
            said.append(f"storage gives {rate / 1e9:,.1f} GB/s of pixels in the pass that reads fastest")
    guessed: dict[tuple[str, int, int], list[str]] = {}
    for step in steps:
        for request in step.requests:
            if request.most is not None and request.most > request.times:
                guessed.setdefault((request.name, request.times, request.most), []).append(step.name)
    for (name, times, most), names in guessed.items():
        often = "once" if times == 1 else f"{times} times"
        said.append(f"“{name}” comes {often}, at most {most:,} times ({', '.join(names)})")
    return said


def _bytes_a_second(rows: Sequence[Row], workers: Workers, clock: Clock) -> float:
    found = [row.bytes_read / seconds for row in rows if row.is_pass and (seconds := row_seconds(row, clock, workers))]
    return max(found, default=0.0)
