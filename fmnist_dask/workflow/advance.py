"""Advancing several algorithms together: whatever waits for the images at the same moment shares one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.protocol import Algorithm, Engine, PassProgress, Readable, Request, Scan, Tasks


@dataclass
class Running:
    """One algorithm that has begun."""

    name: str
    algorithm: Algorithm[Any]
    answer: Any = None
    request: Request | None = None
    passes: int = 0


@dataclass
class Callbacks:
    """What the caller wants to hear: (step, model), (steps that failed together, error), (steps, progress)."""

    finished: Callable[[Running, Any], None]
    failed: Callable[[list[Running], Exception], None]
    progress: Callable[[list[str], PassProgress], None] = field(default=lambda names, progress: None)


def advance(
    engine: Engine, source: Readable, more: Callable[[], Iterable[tuple[str, Algorithm[Any]]]], callbacks: Callbacks
) -> None:
    """Run algorithms to their ends.

    Small tasks go first, until every algorithm either has ended or waits for the images; then all of these share one
    pass. An algorithm that raises does not stop the others; a pass that fails stops those that shared it.

    Parameters
    ----------
    more
        Gives the algorithms that may begin now; asked at the start and whenever one has ended.
    """
    running: dict[str, Running] = {}

    def begin() -> list[Running]:
        fresh = [Running(name, algorithm) for name, algorithm in more()]
        running.update({item.name: item for item in fresh})
        return fresh

    resumable = begin()
    while running:
        while resumable:
            item = resumable.pop(0)
            if _resume(item, callbacks):
                del running[item.name]
                resumable += begin()
        tasks = [item for item in running.values() if isinstance(item.request, Tasks)]
        if tasks:
            item = tasks[0]
            done, broken = _run([item], partial(_call, engine, item, callbacks), callbacks)
        else:
            shared = [item for item in running.values() if isinstance(item.request, Scan)]
            if not shared:
                return
            done, broken = _share_pass(engine, source, shared, callbacks)
            for item in done:
                item.passes += 1
        for item in broken:
            del running[item.name]
        resumable += done
        if broken:
            resumable += begin()


def _call(engine: Engine, item: Running, callbacks: Callbacks) -> list[Any]:
    assert isinstance(item.request, Tasks)
    return [engine.tasks(item.request, _teller([item], callbacks))]


def _scan(engine: Engine, source: Readable, items: list[Running], callbacks: Callbacks) -> list[Any]:
    scans = {item.name: item.request for item in items if isinstance(item.request, Scan)}
    return list(engine.scan(source, scans, _teller(items, callbacks)).values())


def _share_pass(
    engine: Engine, source: Readable, items: list[Running], callbacks: Callbacks
) -> tuple[list[Running], list[Running]]:
    """One pass for all; where their states together are too much for the workers, a pass for each."""
    try:
        return _run(items, partial(_scan, engine, source, items, callbacks), callbacks)
    except MemoryLimitError:
        pass
    outcomes = [_share_pass(engine, source, [item], callbacks) for item in items]
    return [item for done, _ in outcomes for item in done], [item for _, broken in outcomes for item in broken]


def _teller(items: list[Running], callbacks: Callbacks) -> Callable[[PassProgress], None]:
    names = [item.name for item in items]
    return lambda progress: callbacks.progress(names, progress)


def _resume(item: Running, callbacks: Callbacks) -> bool:
    """Let an algorithm go on with its answer; true if it has ended."""
    try:
        answer, item.answer = item.answer, None
        item.request = item.algorithm.send(answer)
        return False
    except StopIteration as end:
        outcome = end.value
    except Exception as error:
        callbacks.failed([item], error)
        return True
    try:
        callbacks.finished(item, outcome)
    except Exception as error:
        callbacks.failed([item], error)
    return True


def _run(
    items: list[Running], work: Callable[[], list[Any]], callbacks: Callbacks
) -> tuple[list[Running], list[Running]]:
    """Answer requests; (those answered, those that failed together).

    Raises
    ------
    MemoryLimitError
        Several items together are too much; nothing has run.
    """
    try:
        answers = work()
    except Exception as error:
        if isinstance(error, MemoryLimitError) and len(items) > 1:
            raise
        callbacks.failed(items, error)
        return [], items
    for item, answer in zip(items, answers, strict=True):
        item.answer, item.request = answer, None
    return items, []
