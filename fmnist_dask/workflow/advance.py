"""Advancing several algorithms together: whatever waits for the images at the same moment shares one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from fmnist_dask.errors import LostClusterError
from fmnist_dask.passes.protocol import Algorithm, Engine, PassProgress, Readable, Request, Scan, Tasks
from fmnist_dask.passes.through import scan_through
from fmnist_dask.workflow.journal import StepJournal
from fmnist_dask.workflow.masking import base_of

T = TypeVar("T")


@dataclass
class Running:
    """One algorithm, and the source that its scans read.

    Attributes
    ----------
    journal
        Remembers answers of an earlier run, and takes down new ones.
    work
        Seconds of its own work: in the driver, its tasks, and equal shares of the passes that it shared with others.
    """

    name: str
    algorithm: Algorithm[Any]
    source: Readable
    journal: StepJournal | None = None
    answer: Any = None
    request: Request | None = None
    passes: int = 0
    work: float = 0.0
    outcome: Any = None
    error: Exception | None = None
    #: Lets go of what a pass has kept, once its answers are safe.
    discard: Callable[[], None] | None = None


class _ApartError(Exception):
    """What several algorithms asked for together could not be done."""


@dataclass
class Callbacks:
    """What the caller wants to hear: (step, model), (steps that failed together, error), (steps, progress).

    Attributes
    ----------
    converging
        (step, values that converge), whenever an algorithm says how far it has come.
    """

    finished: Callable[[Running, Any], None]
    failed: Callable[[list[Running], Exception], None]
    progress: Callable[[list[str], PassProgress], None] = field(default=lambda names, progress: None)
    converging: Callable[[str, Mapping[str, float]], None] = field(default=lambda name, known: None)


def advance(engine: Engine, more: Callable[[], Iterable[Running]], callbacks: Callbacks) -> None:
    """Run algorithms to their ends.

    Tasks go first, until every algorithm either has ended or waits for a scan; then all that read the same source share
    one pass. Late tasks wait until no scan is waited for. An algorithm that raises does not stop the others; of a pass
    that fails, those that shared it are read for in halves, down to each by itself.

    Raises
    ------
    LostClusterError
        There is nobody left to do the work; what was answered is in the journals.

    Parameters
    ----------
    more
        Gives the algorithms that may begin now; asked at the start and whenever one has ended.
    """
    running: dict[str, Running] = {}

    def begin() -> list[Running]:
        fresh = list(more())
        running.update({item.name: item for item in fresh})
        return fresh

    resumable = begin()
    while running:
        while resumable:
            # Publishing takes its time: what all of them have received is saved first.
            ended = [item for item in resumable if not _resume(item, callbacks)]
            for item in ended:
                _end(item, callbacks)
                del running[item.name]
            for item in resumable:
                _discard(item)
            resumable = begin() if ended else []
        tasks = _tasks_next(running.values())
        if tasks is not None:
            resumable, broken = _run([tasks], partial(_call, engine, tasks, callbacks), callbacks)
        else:
            resumable, broken = [], []
            for group in _by_source(running.values()):
                done, failed = _share_pass(engine, group, callbacks)
                resumable, broken = resumable + done, broken + failed
        for item in broken:
            del running[item.name]
        if broken:
            resumable += begin()


def _tasks_next(items: Iterable[Running]) -> Running | None:
    """One that waits for tasks, unless a pass goes first."""
    waiting = [item for item in items if isinstance(item.request, Tasks)]
    soon = [item for item in waiting if isinstance(item.request, Tasks) and not item.request.late]
    scans = any(isinstance(item.request, Scan) for item in items)
    return next(iter(soon or ([] if scans else waiting)), None)


def _by_source(items: Iterable[Running]) -> list[list[Running]]:
    """Those that wait for a scan, by what they read."""
    groups: list[list[Running]] = []
    for item in items:
        if isinstance(item.request, Scan):
            read, _ = base_of(item.source)
            group = next((group for group in groups if base_of(group[0].source)[0] == read), None)
            if group is None:
                groups.append([item])
            else:
                group.append(item)
    return groups


def _call(engine: Engine, item: Running, callbacks: Callbacks) -> list[Any]:
    assert isinstance(item.request, Tasks)
    began = time.perf_counter()
    values = engine.tasks(replace(item.request, step=item.name), _teller([item], callbacks))
    item.work += time.perf_counter() - began
    if item.journal is not None:
        item.journal.hold(item.request, values)
    return [values]


def _scan(engine: Engine, items: list[Running], callbacks: Callbacks) -> list[Any]:
    scans = {item.name: item.request for item in items if isinstance(item.request, Scan)}
    read, _ = base_of(items[0].source)
    seen = {item.name: _seen(item.source, scans[item.name]) for item in items}
    began = time.perf_counter()
    found = engine.run_pass(read, seen, _teller(items, callbacks))
    seconds = time.perf_counter() - began
    for item in items:
        item.work += seconds / len(items)
        if item.journal is not None:
            item.journal.hold(scans[item.name], found.raw(item.name))
        item.passes += 1
    items[0].discard = found.discard
    answers = found.answers()
    return [answers[item.name] for item in items]


def _seen(source: Readable, scan: Scan) -> Scan:
    """A scan of what has to be read for a source."""
    _, by = base_of(source)
    return scan if by is None else scan_through(scan, by)


def _share_pass(engine: Engine, items: list[Running], callbacks: Callbacks) -> tuple[list[Running], list[Running]]:
    """One pass for all; where that is too much for the workers, or fails, one for each half of them, and so on.

    What one of them cannot do without, a chunk that is damaged or a reduction that fails, may not concern the others.
    """
    try:
        return _run(items, partial(_scan, engine, items, callbacks), callbacks)
    except _ApartError:
        pass
    outcomes = [_share_pass(engine, part, callbacks) for part in halves(items)]
    return [item for done, _ in outcomes for item in done], [item for _, broken in outcomes for item in broken]


def halves(items: Sequence[T]) -> tuple[list[T], list[T]]:
    """The first half of some things, and the rest."""
    middle = len(items) // 2
    return list(items[:middle]), list(items[middle:])


def _teller(items: list[Running], callbacks: Callbacks) -> Callable[[PassProgress], None]:
    names = [item.name for item in items]
    return lambda progress: callbacks.progress(names, progress)


def _resume(item: Running, callbacks: Callbacks) -> bool:
    """Let an algorithm go on with its answer, and with those that its journal remembers; false once it has ended."""
    try:
        while True:
            answer, item.answer = item.answer, None
            began = time.perf_counter()
            try:
                request = item.request = item.algorithm.send(answer)
            finally:
                item.work += time.perf_counter() - began
            if not isinstance(request, Scan | Tasks):
                raise TypeError(f"{item.name} asked for {request!r}, which is neither Scan nor Tasks")
            if isinstance(request, Scan) and request.known:
                callbacks.converging(item.name, request.known)
            if item.journal is None:
                return True
            item.journal.commit()
            known = item.journal.recall(request, item.source)
            if known is None:
                return True
            item.answer = known[0]
            item.passes += isinstance(request, Scan)
    except StopIteration as end:
        item.outcome = end.value
    except Exception as error:
        item.error = error
    return False


def _discard(item: Running) -> None:
    discard, item.discard = item.discard, None
    if discard is not None:
        discard()


def _end(item: Running, callbacks: Callbacks) -> None:
    """Hand on what an algorithm has come to."""
    if item.error is None:
        try:
            callbacks.finished(item, item.outcome)
            return
        except Exception as error:
            item.error = error
    callbacks.failed([item], item.error)


def _run(
    items: list[Running], work: Callable[[], list[Any]], callbacks: Callbacks
) -> tuple[list[Running], list[Running]]:
    """Answer requests; (those answered, those that failed together).

    Raises
    ------
    LostClusterError
        There is nobody left to do the work.
    _ApartError
        Several items failed together; each may be tried alone.
    """
    try:
        answers = work()
    except LostClusterError:
        raise
    except Exception as error:
        if len(items) > 1:
            raise _ApartError from error
        callbacks.failed(items, error)
        return [], items
    for item, answer in zip(items, answers, strict=True):
        item.answer, item.request = answer, None
    return items, []
