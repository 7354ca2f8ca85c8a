"""What the tasks of a pass do on workers: fold chunks, merge states, save and load those of ranges."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.passes.encoding import NotEncodableError
from fmnist_dask.passes.ledger import CALLS, SEGMENTS, by_kind, measured, shared_out, take_ledger, task_of
from fmnist_dask.passes.meter import reporter
from fmnist_dask.passes.probe import release_memory, take_peak, take_spilled
from fmnist_dask.passes.protocol import State
from fmnist_dask.passes.segments import Span
from fmnist_dask.passes.shared import Shared, forget_shared
from fmnist_dask.passes.worker import combine_states, run_chunks

logger = logging.getLogger(__name__)


class WorkerReport(TypedDict):
    """What one worker process tells of a pass.

    Seconds are those of its threads' tasks, by the kinds of :mod:`~fmnist_dask.passes.ledger`; ``peak_bytes`` and
    ``spilled_bytes`` since the pass before.
    """

    pid: int
    threads: int
    tasks: int
    seconds: dict[str, float]
    kernels: dict[str, float]
    peak_bytes: int
    spilled_bytes: int


def end_pass(token: str, dask_worker: Any = None) -> WorkerReport:
    """Free what was kept for a pass, and tell what the pass has needed; run on each worker.

    Parameters
    ----------
    token
        Name of what its tasks shared.
    """
    forget_shared()
    release_memory()
    ledger = take_ledger(token, take_peak())
    return {
        "pid": os.getpid(),
        "threads": int(getattr(getattr(dask_worker, "state", None), "nthreads", 1)),
        "tasks": ledger.tasks,
        "seconds": ledger.by_kind(),
        "kernels": ledger.by_kernel(),
        "peak_bytes": ledger.peak_bytes,
        "spilled_bytes": take_spilled(dask_worker),
    }


@contextmanager
def _accounted(specification: Shared) -> Iterator[None]:
    """Enter a task into the ledger of its pass, and into Dask's own fine metrics, for its dashboard."""
    from distributed.metrics import context_meter

    with task_of(specification.token) as task:
        yield
    # Dask takes these off what it measures itself ("thread-cpu", "thread-noncpu"): nothing counts twice.
    for part, seconds in shared_out(by_kind(task.seconds)).items():
        context_meter.digest_metric(part, seconds, "seconds")


@dataclass(frozen=True)
class Failure:
    """An error that another try would only repeat: handed on as a value, so that Dask does not retry."""

    error: FmnistDaskError


def read_task(chunks: Sequence[int], number: int, specification: Shared, topic: str) -> list[State] | Failure:
    """Fold some chunks into states, and write their rows of columns."""
    with _accounted(specification):
        source, fused, columns, prefetch, _ = specification.load()
        try:
            states = run_chunks(source, fused, chunks, columns, reporter(topic, number, len(chunks)), prefetch)
        except FmnistDaskError as error:
            return Failure(error)
        return states


def load_task(span: Span, chunks: Sequence[int], specification: Shared) -> list[State] | Failure:
    """States of a range that an earlier run has saved."""
    with _accounted(specification):
        source, fused, columns, prefetch, store = specification.load()
        try:
            with measured(SEGMENTS):
                states: list[State] = store.load(span)
        except (OSError, ValueError) as error:
            logger.warning("reading chunks %s again: %s", span, error)
            try:
                return run_chunks(source, fused, chunks, columns, prefetch=prefetch)
            except FmnistDaskError as failure:
                return Failure(failure)
        return states


def save_task(states: list[State] | Failure, span: Span, specification: Shared) -> None:
    """Save the states of a range; one that cannot be saved is read again should the pass be run again."""
    with _accounted(specification):
        store = specification.load()[-1]
        if not isinstance(states, Failure):
            try:
                with measured(SEGMENTS):
                    store.save(span, states)
            except (OSError, NotEncodableError) as error:
                logger.debug("chunks %s are not saved: %s", span, error)


def run_call(shared: Shared, function: Callable[..., Any], *arguments: Any) -> Any:
    """One call that is no pass."""
    with _accounted(shared):
        first = shared.load()
        try:
            with measured(CALLS):
                outcome = function(*arguments) if first is None else function(first, *arguments)
        except FmnistDaskError as error:
            return Failure(error)
        release_memory()
        return outcome


def combine_task(parts: Sequence[list[State] | Failure], specification: Shared) -> list[State] | Failure:
    """Merge states in row order; a failure takes their place."""
    for part in parts:
        if isinstance(part, Failure):
            return part
    with _accounted(specification):
        return combine_states(specification.load()[1], [part for part in parts if not isinstance(part, Failure)])
