"""What the tasks of a pass do on workers: fold chunks, merge states, save and load those of ranges."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.passes.encoding import NotEncodableError
from fmnist_dask.passes.meter import reporter
from fmnist_dask.passes.probe import release_memory
from fmnist_dask.passes.protocol import State
from fmnist_dask.passes.segments import Span
from fmnist_dask.passes.shared import Shared, forget_shared
from fmnist_dask.passes.worker import combine_states, run_chunks

logger = logging.getLogger(__name__)


def end_pass() -> None:
    """On each worker."""
    forget_shared()
    release_memory()


@dataclass(frozen=True)
class Failure:
    """An error that another try would only repeat: handed on as a value, so that Dask does not retry."""

    error: FmnistDaskError


def read_task(chunks: Sequence[int], number: int, specification: Shared, topic: str) -> list[State] | Failure:
    """Fold some chunks into states, and write their rows of columns."""
    source, fused, columns, prefetch, _ = specification.load()
    try:
        states = run_chunks(source, fused, chunks, columns, reporter(topic, number, len(chunks)), prefetch)
    except FmnistDaskError as error:
        return Failure(error)
    return states


def load_task(span: Span, chunks: Sequence[int], specification: Shared) -> list[State] | Failure:
    """States of a range that an earlier run has saved."""
    source, fused, columns, prefetch, store = specification.load()
    try:
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
    store = specification.load()[-1]
    if not isinstance(states, Failure):
        try:
            store.save(span, states)
        except (OSError, NotEncodableError) as error:
            logger.debug("chunks %s are not saved: %s", span, error)


def run_call(shared: Shared, function: Callable[..., Any], *arguments: Any) -> Any:
    """One call that is no pass."""
    first = shared.load()
    try:
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
    return combine_states(specification.load()[1], [part for part in parts if not isinstance(part, Failure)])
