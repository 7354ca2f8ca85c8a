"""What a run would do: each algorithm is asked for its first scan, and the scans are fused and sized, not run.

Of later requests, plans say what steps foresee.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.collection.store import Collection, split_code
from fmnist_dask.collection.views import no_embedding, vectors_of
from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.fused import fuse
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.protocol import Readable, Scan, Tasks
from fmnist_dask.passes.sizing import Workers, check_memory, plan_pass
from fmnist_dask.workflow.inputs import check_input, open_input
from fmnist_dask.workflow.load import INPUTS, prerequisites
from fmnist_dask.workflow.masking import as_masked
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.order import algorithm_of, arguments_of, closure
from fmnist_dask.workflow.plan_workers import planned_workers
from fmnist_dask.workflow.planned import PlannedCollection, PlannedIngest
from fmnist_dask.workflow.registry import Foreseen, StepInput, find_step


def plan_workflow(
    workflow: Workflow,
    *,
    cluster: Any = None,
    trust: bool = False,
    store: str | Path | None = None,
    only: Iterable[str] = (),
) -> dict[str, Any]:
    """Passes, tasks, bytes and memory of a run.

    Returns
    -------
    dict
        ``source``, ``cluster``, ``work`` (one entry for the ingest and each pass), ``peak_worker_bytes``.

    Raises
    ------
    MemoryLimitError
        It would not fit the workers.
    """
    config = load_cluster(cluster, trust)
    chosen = closure(workflow, only)
    source = open_input(workflow.source)
    check_input(workflow, chosen, source)
    workers = planned_workers(config)
    work: list[dict[str, Any]] = []
    place = source.place(store)
    found = source.existing(place)
    if found is None:
        ingest = source.planned(place)
        work.append(_ingest_row(ingest, workers))
    target: Readable = ingest.target if found is None else found
    inputs = {on: [name for name in chosen if workflow.steps[name].on == on] for on in INPUTS}
    for part in (_passes, _later):
        for on, names in inputs.items():
            if names:
                work += part(workflow, names, _seen(target, on), workers)
    work += _on_steps(workflow, chosen, target, workers)
    return {
        "workflow": workflow.name,
        "source": {
            "name": source.name,
            "kind": source.kind,
            "n": 1 if source.is_photograph else target.n,
            "image_shape": [*([target.n] if source.is_photograph else []), *target.image_shape],
            "pixel_bytes": target.n * target.image_bytes,
            "collection": str(place),
            "ingested": found is not None,
        },
        "cluster": {
            "class": "existing" if config.running else config.class_name,
            "workers": workers.count,
            "threads": workers.total_threads,
            "memory_limit": workers.memory_limit,
            "baseline_bytes": workers.baseline,
        },
        "work": work,
        "peak_worker_bytes": max([workers.baseline, *(row["worker_bytes"] for row in work)]),
    }


def _seen(target: Readable, on: str) -> Readable:
    """What steps read that work on an input."""
    if on == "pixels":
        return target
    if isinstance(target, PlannedCollection):
        if not target.embedding_width:
            raise no_embedding("the source")
        return replace(target, on_embedding=True)
    assert isinstance(target, Collection)
    return vectors_of(target)


def _given(workflow: Workflow, on: str, target: Readable) -> Readable | None:
    """What steps will read that work on what another step gives; ``None`` where nobody knows how wide that is."""
    if on in INPUTS:
        return _seen(target, on)
    spec = workflow.steps[on]
    base = _given(workflow, spec.on, target)
    step = find_step(spec.uses)
    if base is None:
        return None
    width = 0
    if "features" in step.gives:
        if step.width is None:
            return None
        data = StepInput(base, spec.split, split_code(base, spec.split), workflow.seed, spec.on)
        width = step.width(data, **arguments_of(spec))
    return PlannedCollection(
        base.n, base.image_shape, base.chunk_rows, base.class_names, base.splits, width, on_embedding=width > 0
    )


def _on_steps(workflow: Workflow, chosen: list[str], target: Readable, workers: Workers) -> list[dict[str, Any]]:
    """What steps that work on what others give foresee; images that those leave out are counted all the same."""
    rows = []
    for name in chosen:
        spec = workflow.steps[name]
        if spec.on in INPUTS:
            continue
        given = _given(workflow, spec.on, target)
        if given is not None:
            rows += _foreseen(workflow, name, given, workers)
    return rows


def _ingest_row(ingest: PlannedIngest, workers: Workers) -> dict[str, Any]:
    worker_bytes = workers.baseline + workers.threads * ingest.task_bytes
    check_memory(worker_bytes, workers, "the ingest")
    return {
        "name": "ingest",
        "steps": ["ingest"],
        "tasks": ingest.tasks,
        "chunks": ingest.chunks,
        "bytes_read": 0,
        "task_bytes": ingest.task_bytes,
        "worker_bytes": worker_bytes,
    }


def _passes(workflow: Workflow, chosen: list[str], target: Readable, workers: Workers) -> list[dict[str, Any]]:
    """The first pass of all steps that can begin at once; what later ones need is known when they begin."""
    scans: dict[str, Scan] = {}
    for name in chosen:
        spec = workflow.steps[name]
        if prerequisites(spec, workflow):
            continue
        data = StepInput(as_masked(target, spec), spec.split, split_code(target, spec.split), workflow.seed, spec.on)
        algorithm = algorithm_of(spec, data)
        try:
            request = next(algorithm)
            while isinstance(request, Tasks):
                request = algorithm.send(request.expected() if request.expected else [])
            scans[name] = request
        except StopIteration:
            continue
        finally:
            algorithm.close()
    if not scans:
        return []
    try:
        return [_pass_row("pass 1", scans, target, workers)]
    except MemoryLimitError:
        if len(scans) == 1:
            raise
    # As the runner does: what is too much together goes through passes of its own.
    alone = [{name: scan} for name, scan in scans.items()]
    return [_pass_row(f"pass {number}", scan, target, workers) for number, scan in enumerate(alone, 1)]


def _later(workflow: Workflow, chosen: list[str], target: Readable, workers: Workers) -> list[dict[str, Any]]:
    """What steps that work on the images foresee of their further requests."""
    return [
        row
        for name in chosen
        if workflow.steps[name].on in INPUTS
        for row in _foreseen(workflow, name, target, workers)
    ]


def _foreseen(workflow: Workflow, name: str, target: Readable, workers: Workers) -> list[dict[str, Any]]:
    """A step's requests beyond its first pass."""
    spec = workflow.steps[name]
    foresees = find_step(spec.uses).foresees
    if foresees is None:
        return []
    rows = []
    data = StepInput(as_masked(target, spec), spec.split, split_code(target, spec.split), workflow.seed, spec.on)
    for item in foresees(data, **arguments_of(spec)):
        if item.scan is not None:
            rows.append(_pass_row(item.name, {name: item.scan}, target, workers))
        else:
            rows.append(_calls_row(item, name, workers))
    return rows


def _calls_row(item: Foreseen, step: str, workers: Workers) -> dict[str, Any]:
    worker_bytes = workers.baseline + 2 * item.shared_bytes + workers.threads * item.task_bytes
    check_memory(worker_bytes, workers, f"each call of '{item.name}'")
    return {
        "name": item.name,
        "steps": [step],
        "tasks": item.calls,
        "chunks": 0,
        "bytes_read": 0,
        "task_bytes": item.task_bytes,
        "worker_bytes": worker_bytes,
    }


def _pass_row(name: str, scans: dict[str, Scan], target: Readable, workers: Workers) -> dict[str, Any]:
    fused, _ = fuse(target, scans, {scan.split: split_code(target, scan.split) for scan in scans.values()})
    kept = KeptStates.of(target)
    planned = plan_pass(target, fused if kept is None else kept.known(fused, load=False).fused, workers)
    return {
        "name": name,
        "steps": list(scans),
        "tasks": len(planned.tasks),
        "chunks": planned.chunks,
        "bytes_read": planned.bytes_read,
        "state_bytes": planned.state_bytes,
        "task_bytes": planned.task_bytes,
        "worker_bytes": planned.worker_bytes,
    }
