"""What a run would do, without running it: passes, tasks, bytes, memory, disk, and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.sizing import Workers
from fmnist_dask.workflow.inputs import Input, check_input, open_input
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.order import closure
from fmnist_dask.workflow.plan_advice import refused_with_advice
from fmnist_dask.workflow.plan_cluster import planning_cluster
from fmnist_dask.workflow.plan_rows import Row, ingest_row, rows_of
from fmnist_dask.workflow.plan_scale import Scale, assumptions, scheduler_load
from fmnist_dask.workflow.plan_steps import planned_steps
from fmnist_dask.workflow.plan_time import Clock, driver_seconds, few_of, ingest_seconds, measure, row_seconds
from fmnist_dask.workflow.plan_workers import planned_workers
from fmnist_dask.workflow.planned import PlannedIngest
from fmnist_dask.workflow.schedule import Planned, schedule


def plan_workflow(
    workflow: Workflow,
    *,
    cluster: Any = None,
    trust: bool = False,
    store: str | Path | None = None,
    only: Iterable[str] = (),
    images: int | None = None,
    workers: int | None = None,
    timed: bool = False,
) -> dict[str, Any]:
    """Passes, tasks, bytes, memory and time of a run.

    Parameters
    ----------
    images
        Plan for so many images like those of the source.
    workers
        Plan for so many workers like those of the cluster file.
    timed
        Measure how long blocks take: on workers that are started for it, or on those of a running cluster.

    Returns
    -------
    dict
        ``source``, ``cluster``, ``work`` (one entry for the ingest, each pass, and calls), ``passes``, ``bytes_read``,
        ``peak_worker_bytes``, ``disk_bytes``, ``scheduler``, ``seconds`` (``None`` unless timed), ``assumptions``.

    Raises
    ------
    MemoryLimitError
        It would not fit the workers; says which step, what would fit, and what to do.
    """
    config = load_cluster(cluster, trust)
    chosen = closure(workflow, only)
    source = open_input(workflow.source)
    check_input(workflow, chosen, source)
    plan = _Plan(workflow, chosen, source, Scale(images, workers), store)
    if not timed:
        offer = planned_workers(config)
        return plan.described(config, replace(offer, count=workers or offer.count), None)
    with planning_cluster(config, workers) as there:
        rows = plan.rows(there.workers)
        clock = measure(there, few_of(plan.target, None if plan.ingest is None else plan.ingest.how), rows)
        return plan.described(config, there.workers, clock)


class _Plan:
    """A workflow on a source of a given size."""

    def __init__(
        self, workflow: Workflow, chosen: Sequence[str], source: Input, scale: Scale, store: str | Path | None
    ) -> None:
        self.workflow, self.chosen, self.source, self.scale = workflow, chosen, source, scale
        self.place = source.place(store)
        found = source.existing(self.place)
        if scale.images is not None and source.is_photograph:
            raise UsageError(f"--images {scale.images:,}: the source {source.name} is one photograph")
        self.ingest: PlannedIngest | None = None
        self.target: Readable
        if found is None:
            self.ingest = scale.of_ingest(source.planned(self.place))
            self.target = self.ingest.target
        else:
            self.target = scale.of_collection(found)
        self.steps: list[Planned] = []
        self._rows: list[Row] | None = None

    def rows(self, workers: Workers) -> list[Row]:
        """All work, in order; sized once."""
        if self._rows is None:
            with refused_with_advice(self.workflow, self.chosen, self.target, workers, self.ingest):
                first = [] if self.ingest is None else [ingest_row(self.ingest, workers)]
                self.steps = planned_steps(self.workflow, self.chosen, self.target)
                self._rows = first + rows_of(schedule(self.steps), workers)
        return self._rows

    def described(self, config: ClusterConfig, workers: Workers, clock: Clock | None) -> dict[str, Any]:
        """For people and programs."""
        rows, target, source = self.rows(workers), self.target, self.source
        seconds = [self._seconds(row, workers, clock) for row in rows]
        work = [
            {**row.described(), "seconds": None if took is None else took * row.times}
            for row, took in zip(rows, seconds, strict=True)
        ]
        pixels = target.n * target.image_bytes
        stored = None if clock is None or clock.ingest is None else int(clock.ingest.stored_per_row * target.n)
        photograph = source.is_photograph
        return {
            "workflow": self.workflow.name,
            "source": {
                "name": source.name,
                "kind": source.kind,
                "n": 1 if photograph else target.n,
                "image_shape": [*([target.n] if photograph else []), *target.image_shape],
                "pixel_bytes": pixels,
                "collection": str(self.place),
                "ingested": self.ingest is None,
            },
            "cluster": {
                "class": "existing" if config.running else config.class_name,
                "workers": workers.count,
                "threads": workers.total_threads,
                "memory_limit": workers.memory_limit,
                "baseline_bytes": workers.baseline,
            },
            "work": work,
            "passes": sum(row.times for row in rows if row.is_pass and row.tasks),
            "bytes_read": sum(row.bytes_read * row.times for row in rows),
            "peak_worker_bytes": max([workers.baseline, *(row.worker_bytes for row in rows)]),
            "disk_bytes": {
                "collection": 0 if self.ingest is None else (stored if stored is not None else pixels),
                "columns": sum(row.column_bytes * row.times for row in rows),
            },
            "scheduler": scheduler_load(rows, clock),
            "seconds": self._total(work, clock),
            "untimed": [row["name"] for row in work if row["seconds"] is None],
            "assumptions": assumptions(rows, self.steps, self.scale, workers, clock, target),
        }

    def _seconds(self, row: Row, workers: Workers, clock: Clock | None) -> float | None:
        """Of one time of a row."""
        if clock is None:
            return None
        if row.steps == ("ingest",):
            return ingest_seconds(row, self.target.n, clock, workers)
        return row_seconds(row, clock, workers)

    def _total(self, work: list[dict[str, Any]], clock: Clock | None) -> dict[str, float] | None:
        """Of the whole run, by what takes it."""
        if clock is None:
            return None
        ingest = sum(row["seconds"] or 0.0 for row in work if row["steps"] == ["ingest"])
        steps = sum(row["seconds"] or 0.0 for row in work if row["steps"] != ["ingest"])
        parts = {
            "startup": clock.startup,
            "ingest": ingest,
            "work": steps,
            "results": driver_seconds(len(self.chosen), clock),
        }
        return {**parts, "total": sum(parts.values())}
