"""How long a plan's work will take: from rates that workers measure with the blocks and the code of the run itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.calibration import Calibration, IngestRate, Rate, calibrate, nothing, slowness
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.sizing import Workers, row_bytes
from fmnist_dask.workflow.plan_cluster import PlanningCluster
from fmnist_dask.workflow.plan_rows import Row
from fmnist_dask.workflow.planned import PlannedCollection

if TYPE_CHECKING:
    from distributed import Client

#: Seconds of a pass beside its tasks: sending parameters, the last merge, freeing memory, saving its answer.
PASS_SECONDS = 0.05
#: Seconds that calls take beside their work.
CALLS_SECONDS = 0.02
#: Workers that measure.
MOST_ASKED = 8
#: Tasks that do nothing, to see what a task costs.
IDLE_TASKS = 200
#: Seconds of the driver, on the machine whose figures plans rest on: to publish a step, and its part of the report.
STEP_SECONDS, REPORT_SECONDS = 0.15, 0.35
#: Seconds of the report itself, with what it imports.
PAGE_SECONDS = 2.0


@dataclass(frozen=True)
class Clock:
    """What workers have measured.

    Attributes
    ----------
    read
        Seconds to read and decode a byte.
    rates
        Of each part of a pass over some source; words where a rate could not be measured.
    slowness
        See :func:`~fmnist_dask.passes.calibration.slowness`.
    task_seconds
        Of the scheduler, for each task.
    startup
        Until workers are ready.
    """

    ingest: IngestRate | None
    read: float
    rates: Mapping[tuple[Readable, FusedScan], Rate | str]
    slowness: float
    task_seconds: float
    startup: float


def measure(cluster: PlanningCluster, few: Any, rows: Sequence[Row]) -> Clock:
    """Have all workers work through a few blocks of each pass, at the same time, as they will in the run.

    Parameters
    ----------
    few
        The collection, or how it would be ingested.
    """
    # What several rows or steps have computed is measured once.
    parts = list(dict.fromkeys((row.source, part) for row in rows if row.source is not None for part in row.parts))
    calibration = Calibration(few, tuple((source, _width(source), part) for source, part in parts))
    found = _everywhere(cluster.client, calibrate, calibration)
    rates = {part: _mean([measured.rates[at] for measured in found]) for at, part in enumerate(parts)}
    ingest = None
    if found[0].ingest is not None:
        ingest = IngestRate(
            statistics.fmean(m.ingest.per_row for m in found if m.ingest is not None), found[0].ingest.stored_per_row
        )
    slow = statistics.fmean(_everywhere(cluster.client, slowness))
    read = statistics.fmean(measured.read for measured in found)
    return Clock(ingest, read, rates, slow, _task_seconds(cluster.client), cluster.startup)


def _width(source: Any) -> int:
    """Features of a sample where they are no pixels."""
    return 0 if source.feature_dtype == "uint8" else int(source.n_features)


def _everywhere(client: Client, function: Any, *arguments: Any) -> list[Any]:
    """The answer of each worker, all working at once; of a large cluster, of some."""
    addresses = list(client.scheduler_info(n_workers=-1)["workers"])[:MOST_ASKED]
    futures = [
        client.submit(function, *arguments, workers=[address], allow_other_workers=False, pure=False)
        for address in addresses
    ]
    answers: list[Any] = client.gather(futures)
    return answers


def _mean(rates: Sequence[Rate | str]) -> Rate | str:
    known = [rate for rate in rates if isinstance(rate, Rate)]
    if not known:
        return str(rates[0])
    return Rate(
        per_row=statistics.fmean(rate.per_row for rate in known),
        per_task=statistics.fmean(rate.per_task for rate in known),
        per_combine=statistics.fmean(rate.per_combine for rate in known),
        rows=known[0].rows,
    )


def _task_seconds(client: Client) -> float:
    """Seconds of a task that does nothing."""
    client.gather(client.map(nothing, range(20), pure=False))
    began = time.perf_counter()
    client.gather(client.map(nothing, range(IDLE_TASKS), pure=False))
    return (time.perf_counter() - began) / IDLE_TASKS


def ingest_seconds(row: Row, n: int, clock: Clock, workers: Workers) -> float | None:
    """Of an ingest of n samples."""
    if clock.ingest is None:
        return None
    return _shared(row.tasks, workers.total_threads, n * clock.ingest.per_row / max(row.tasks, 1), clock)


def row_seconds(row: Row, clock: Clock, workers: Workers) -> float | None:
    """Of one time of a row; ``None`` where nobody knows."""
    threads = workers.total_threads
    if row.request is not None:
        if row.request.seconds is None:
            return None
        return _shared(row.tasks, threads, row.request.seconds * clock.slowness, clock) + CALLS_SECONDS
    if not row.tasks:
        return 0.0
    if row.source is None:
        return None
    rates = [clock.rates.get((row.source, part)) for part in row.parts]
    known = [rate for rate in rates if isinstance(rate, Rate)]
    if len(known) < len(rates):
        return None
    # Each sample is read once for all parts.
    per_row = clock.read * row_bytes(row.source) + sum(rate.per_row for rate in known)
    samples = min(row.chunks * row.source.chunk_rows, row.source.n) / row.tasks
    merging = _shared(row.tasks - 1, threads, sum(rate.per_combine for rate in known), None)
    work = _shared(row.tasks, threads, samples * per_row + sum(rate.per_task for rate in known), clock)
    return work + merging + PASS_SECONDS * clock.slowness


def _shared(tasks: int, threads: int, seconds: float, clock: Clock | None) -> float:
    """Seconds of so many equal tasks: threads work side by side, and the scheduler hands tasks out one by one."""
    if tasks < 1:
        return 0.0
    # The last ones leave threads idle.
    whole = -(-tasks // threads) * seconds if tasks < 8 * threads else tasks * seconds / threads + seconds / 2
    return whole if clock is None else max(whole, tasks * clock.task_seconds) + clock.task_seconds


def driver_seconds(steps: int, clock: Clock) -> float:
    """Publishing so many steps, and the report."""
    return clock.slowness * (PAGE_SECONDS + steps * (STEP_SECONDS + REPORT_SECONDS))


def few_of(target: Any, how: Any) -> Any:
    """What workers take samples from: a collection that is there, or how one would be made."""
    raw = target.raw if isinstance(target, PlannedCollection) else target
    return raw if isinstance(raw, Collection) or how is None else how
