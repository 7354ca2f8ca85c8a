"""What would fit, where a plan does not: smaller values of a step's parameters, smaller chunks, more memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pydantic

from fmnist_dask.errors import FmnistDaskError, MemoryLimitError
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.sizing import Workers
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.order import arguments_of
from fmnist_dask.workflow.plan_rows import ingest_row, rows_of
from fmnist_dask.workflow.plan_steps import planned_steps
from fmnist_dask.workflow.planned import PlannedIngest
from fmnist_dask.workflow.registry import find_step
from fmnist_dask.workflow.schedule import schedule

#: Rows of a chunk are a multiple of so many.
ROW_MULTIPLE = 256
#: Parameters that are no sizes.
NO_SIZES = {"seed", "random_state", "max_iter", "n_init"}


@contextlib.contextmanager
def refused_with_advice(
    workflow: Workflow, chosen: Sequence[str], target: Readable, workers: Workers, ingest: PlannedIngest | None
) -> Iterator[None]:
    """Say what would fit, of what does not.

    Parameters
    ----------
    ingest
        Where the collection is not there yet, so that its chunks can still be chosen.
    """
    try:
        yield
    except MemoryLimitError as error:
        advice = []
        if error.step is not None:
            advice = _smaller_values(workflow, error.step, target, workers)
        if ingest is not None:
            advice += _smaller_chunks(workflow, chosen, ingest, workers)
        found = MemoryLimitError(error.message, "; or ".join([*advice, *([error.remedy] if error.remedy else [])]))
        found.step = error.step
        raise found from error


def _fits(workflow: Workflow, step: str, target: Readable, workers: Workers) -> bool:
    """Whether a step alone would fit."""
    try:
        rows_of(schedule(planned_steps(workflow, [step], target)), workers)
    except FmnistDaskError:
        return False
    return True


def _with_value(workflow: Workflow, step: str, parameter: str, value: int) -> Workflow:
    spec = workflow.steps[step]
    changed = spec.model_copy(update={"parameters": {**spec.parameters, parameter: value}})
    return workflow.model_copy(update={"steps": {**workflow.steps, step: changed}})


def _smaller_values(workflow: Workflow, step: str, target: Readable, workers: Workers) -> list[str]:
    """For each parameter that counts something: the largest value that would fit."""
    advice = []
    spec = workflow.steps[step]
    schema = find_step(spec.uses).parameters
    for name, value in arguments_of(spec).items():
        if type(value) is not int or value <= 1 or name in NO_SIZES:
            continue

        def fits(smaller: int, name: str = name) -> bool:
            changed = _with_value(workflow, step, name, smaller)
            try:
                schema.model_validate(changed.steps[step].parameters)
            except pydantic.ValidationError:
                return False
            return _fits(changed, step, target, workers)

        largest = _largest(fits, value)
        if largest is not None:
            advice.append(f"--set {step}.{name}={largest} would fit")
    return advice


def _largest(fits: Callable[[int], bool], value: int) -> int | None:
    """About the largest smaller value that fits: within a sixteenth."""
    high, low = value, value
    while low > 1:
        low //= 2
        if fits(low):
            break
        high = low
    else:
        return None
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _smaller_chunks(workflow: Workflow, chosen: Sequence[str], ingest: PlannedIngest, workers: Workers) -> list[str]:
    """Chunks of which all tasks would fit."""
    target = ingest.target
    rows = target.chunk_rows
    while rows > ROW_MULTIPLE:
        rows = max(ROW_MULTIPLE, rows // 2 // ROW_MULTIPLE * ROW_MULTIPLE)
        smaller = replace(target, chunk_rows=rows)
        making = replace(ingest, task_bytes=ingest.task_bytes * rows // target.chunk_rows)
        with contextlib.suppress(MemoryLimitError):
            ingest_row(making, workers)
            if not all(_fits(workflow, name, smaller, workers) for name in chosen):
                continue
            mebibytes = rows * math.prod(target.image_shape) / 2**20
            return [f"--source-option chunk_mib={mebibytes:.3g} would fit"]
    return []
