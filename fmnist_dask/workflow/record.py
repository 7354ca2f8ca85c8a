"""What a run's manifest says, and when."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.usage import driver_process, other_processes
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.passes.columns import SAMPLE
from fmnist_dask.passes.probe import WorkerState, resident_bytes
from fmnist_dask.workflow.fingerprint import blas_names, cpu_name, recorded_versions
from fmnist_dask.workflow.inputs import Input, Stored
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.publish import Published, withdraw
from fmnist_dask.workflow.registry import StepResult
from fmnist_dask.workflow.rundir import FORMAT_VERSION, RunDirectory, now
from fmnist_dask.workflow.story import INGEST
from fmnist_dask.workflow.work import forget_work, worker_processes

if TYPE_CHECKING:
    from fmnist_dask.cluster.connect import Connection
    from fmnist_dask.passes.distributed import DistributedEngine


def fresh_step(workflow: Workflow, name: str) -> dict[str, Any]:
    """The record of a step that has not begun."""
    spec = workflow.steps[name]
    return {
        "uses": spec.uses,
        "split": spec.split,
        "on": spec.on,
        "status": "PENDING",
        "seconds": None,
        "own_seconds": None,
        "passes": 0,
        "resumed_passes": 0,
        "fingerprint": None,
        "metrics": {},
        "exact": None,
        "n_used": None,
        "n_total": None,
    }


def step_outcome(
    result: StepResult, n: int, passes: int, seconds: tuple[float, float], published: Published
) -> dict[str, Any]:
    """What a published result adds to its step's record.

    Parameters
    ----------
    seconds
        From begin to end, and of its own work.
    """
    return {
        "status": "SUCCEEDED",
        "seconds": round(seconds[0], 3),
        "own_seconds": round(seconds[1], 3),
        "passes": passes,
        "metrics": result.metrics,
        "exact": result.exact,
        "n_used": result.n_used if result.n_used is not None else n,
        "n_total": result.n_total if result.n_total is not None else n,
        "tables": published.tables,
        "image_tables": published.image_tables,
        "pictures": published.pictures,
        "features": result.features,
        "images": result.images,
        "pixels": result.pixels,
    }


def begin_record(run: RunDirectory, workflow: Workflow, source: Input, status: str) -> None:
    """The manifest of a run that begins; records of steps that an earlier one has published are kept.

    Results of steps that are no longer in the workflow are taken away; which tables still hold columns of them is noted
    as ``stale_tables``.
    """
    previous = run.manifest.get("steps", {})
    stale = set(run.manifest.get("stale_tables", []))
    for name in previous.keys() - workflow.steps.keys():
        withdraw(run, name, previous[name].get("tables", []), previous[name].get("pictures", []))
        stale |= previous[name].get("image_tables", {}).keys()
    same_source = (run.manifest.get("source") or {}).get("fingerprint") == source.fingerprint
    run.manifest |= {
        "format_version": FORMAT_VERSION,
        "run": run.path.name,
        "status": status,
        "workflow": workflow.name,
        "title": workflow.report.title,
        "source": {
            "name": source.name,
            "path": source.location,
            "fingerprint": source.fingerprint,
            "n": source.n_images,
            "kind": source.kind,
        },
        "seed": workflow.seed,
        "versions": recorded_versions(),
        "cpu": cpu_name(),
        "blas": blas_names(),
        "driver": {"host": socket.gethostname(), "pid": os.getpid(), "python": sys.executable},
        "cluster": run.manifest.get("cluster"),
        "started": now(),
        "ended": None,
        "seconds": None,
        "peak_worker_bytes": run.manifest.get("peak_worker_bytes"),
        "worker_restarts": 0,
        "spilled_bytes": 0,
        "peak_driver_bytes": None,
        "passes": 0,
        "tasks": 0,
        "chunks_read": 0,
        "chunks_resumed": 0,
        "bytes_read": 0,
        "error": None,
        "steps": {name: previous.get(name) or fresh_step(workflow, name) for name in workflow.steps},
        "stale_tables": sorted(stale),
        "work": run.manifest.get("work") or [],
        "processes": run.manifest.get("processes") or [],
    }
    forget_work(run.manifest, () if same_source else (INGEST,))
    run.save()


def describe_source(run: RunDirectory, source: Input, collection: Stored) -> None:
    """What the manifest says of the collection, or of the photograph."""
    photograph = collection.row_dim != SAMPLE
    run.manifest["source"] = {
        "name": collection.name,
        "path": source.location,
        "fingerprint": collection.source.get("fingerprint", collection.fingerprint),
        "n": collection.n_images,
        "kind": collection.source.get("kind"),
        "description": collection.source.get("description"),
        "synthetic": collection.source.get("synthetic", False),
        "image_shape": list(collection.whole_shape),
        "class_names": list(collection.class_names),
        "splits": {"all": collection.n_images} if photograph else collection.splits,
        "collection": collection.path,
        "collection_fingerprint": collection.fingerprint,
        "pixel_bytes": collection.n * collection.image_bytes,
        "stored_bytes": collection.stored_bytes(),
        "n_quarantined": collection.n_quarantined,
    }
    run.save()


def account(run: RunDirectory, engine: DistributedEngine, before: dict[str, Any], connection: Connection) -> None:
    """What the pass engine and the workers have done and needed; a run that has lost its cluster has had several."""
    states: dict[str, WorkerState] = {}
    with contextlib.suppress(Exception):  # the cluster may be gone: the run's own error matters then
        states = connection.worker_states()
        known = {state["pid"] for state in before.values()}
        there = {state["pid"] for state in states.values()}
        run.manifest["worker_restarts"] += len(there - known)
        run.manifest["spilled_bytes"] += sum(state["spilled_bytes"] for state in states.values())
    workers = worker_processes(engine, states)
    # A worker that has died counts as well: its passes have told of it.
    peak = max((worker["peak_bytes"] for worker in workers), default=0)
    run.manifest["peak_worker_bytes"] = max(peak, run.manifest["peak_worker_bytes"] or 0) or None
    _add_processes(run, [*workers, *(other_processes(connection.client) if states else [])])
    run.manifest["planned_worker_bytes"] = engine.planned_worker_bytes
    for name, count in asdict(engine.statistics).items():
        run.manifest[name] += count


def _add_processes(run: RunDirectory, found: list[dict[str, Any]]) -> None:
    """Note the processes of this attempt; those of an earlier one are of no interest then."""
    began = run.manifest["started"]
    kept = [entry for entry in run.manifest.get("processes") or [] if entry.get("run_started") == began]
    run.manifest["processes"] = [*kept, *({**entry, "run_started": began} for entry in found)]


def end_record(run: RunDirectory, status: str, seconds: float, error: str | None) -> None:
    """The manifest's last words."""
    for record in run.manifest["steps"].values():
        if record["status"] in ("RUNNING", "PENDING"):
            record["status"] = "STOPPED" if status == "STOPPED" else "SKIPPED"
    run.manifest |= {
        "status": status,
        "ended": now(),
        "seconds": round(seconds, 3),
        "peak_driver_bytes": resident_bytes(peak=True),
        "error": error,
    }
    if any(entry.get("run_started") == run.manifest["started"] for entry in run.manifest["processes"]):
        _add_processes(run, [driver_process()])
    run.save()
    run.event("done" if status == "SUCCEEDED" else "error", None, status=status, error=error)


def message_of(error: Exception) -> str:
    """An error in words, for manifests and events."""
    return str(error) if isinstance(error, FmnistDaskError) else f"{type(error).__name__}: {error}"
