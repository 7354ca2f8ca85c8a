"""What the steps of a workflow will ask for: each algorithm's first request, and what its step foresees of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fmnist_dask.collection.store import Collection, split_code
from fmnist_dask.collection.views import no_embedding, vectors_of
from fmnist_dask.passes.protocol import Readable, Tasks
from fmnist_dask.passes.through import scan_through
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.load import INPUTS, prerequisites
from fmnist_dask.workflow.masking import as_masked, base_of
from fmnist_dask.workflow.model import StepSpec, Workflow
from fmnist_dask.workflow.order import algorithm_of, arguments_of
from fmnist_dask.workflow.planned import PlannedCollection
from fmnist_dask.workflow.registry import StepInput, find_step
from fmnist_dask.workflow.schedule import Planned

#: Name of the request that an algorithm begins with.
FIRST = "first pass"


def seen_on(target: Readable, on: str) -> Readable:
    """What steps read that work on an input."""
    if on == "pixels":
        return target
    if isinstance(target, PlannedCollection):
        if not target.embedding_width:
            raise no_embedding("the source")
        return replace(target, on_embedding=True)
    assert isinstance(target, Collection)
    return vectors_of(target)


def given(workflow: Workflow, spec: StepSpec, target: Readable) -> Readable | None:
    """What a step will read; ``None`` where nobody knows how wide that is."""
    if spec.on in INPUTS:
        return seen_on(target, spec.on)
    giver = workflow.steps[spec.on]
    base = given(workflow, giver, target)
    step = find_step(giver.uses)
    if base is None:
        return None
    width = 0
    if "features" in step.gives:
        if step.width is None:
            return None
        data = StepInput(base, giver.split, split_code(base, giver.split), workflow.seed, giver.on)
        width = step.width(data, **arguments_of(giver))
    seen_by = f"{spec.on}/{spec.split}"
    planned = PlannedCollection(base.n, base.image_shape, base.chunk_rows, base.class_names, base.splits, width)
    return replace(planned, on_embedding=width > 0, seen_by=seen_by, raw=getattr(target, "raw", target))


def planned_steps(workflow: Workflow, chosen: Sequence[str], target: Readable) -> list[Planned]:
    """All that chosen steps will ask for; of those that nothing is known of, nothing."""
    steps = []
    for name in chosen:
        spec = workflow.steps[name]
        source = given(workflow, spec, target)
        needs = frozenset(prerequisites(spec, workflow) & set(chosen))
        if source is None:
            steps.append(Planned(name, target, (), needs))
            continue
        source = as_masked(source, spec)
        data = StepInput(source, spec.split, split_code(source, spec.split), workflow.seed, spec.on)
        requests = [*_first(spec, data), *_foreseen(spec, data)]
        read, by = base_of(source)
        if by is not None:
            requests = [
                request if request.scan is None else replace(request, scan=scan_through(request.scan, by))
                for request in requests
            ]
        steps.append(Planned(name, read, requests, needs))
    return steps


def _first(spec: StepSpec, data: StepInput) -> Iterator[Foreseen]:
    """The requests of a step's algorithm up to its first scan."""
    algorithm = algorithm_of(spec, data)
    try:
        request = next(algorithm)
        while isinstance(request, Tasks):
            calls, cost, seconds = len(request.calls), request.task_bytes, request.seconds
            yield Foreseen(request.name, None, calls, cost, seconds=seconds, late=request.late, here=request.here)
            request = algorithm.send(request.expected() if request.expected else [])
        yield Foreseen(FIRST, request)
    except StopIteration:
        return
    except Exception:
        # What the step works on is not there yet, and its algorithm looks at it before it asks for anything.
        if spec.on in INPUTS:
            raise
    finally:
        algorithm.close()


def _foreseen(spec: StepSpec, data: StepInput) -> Iterator[Foreseen]:
    """What a step foresees beyond that."""
    foresees = find_step(spec.uses).foresees
    if foresees is not None:
        yield from foresees(data, **arguments_of(spec))
