"""Several algorithms as one: whatever they wait for at the same moment is asked for together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Request, Scan, Tasks

#: Bytes of the states of one pass, beyond which scans are not merged.
MOST_STATE = 2**27


@dataclass
class _Part:
    """One of the algorithms, and what it waits for."""

    name: str
    algorithm: Algorithm[Any]
    request: Request | None = None


def together(
    algorithms: Mapping[str, Algorithm[Any]], source: Readable, most_state: int = MOST_STATE
) -> Algorithm[dict[str, Any]]:
    """Run algorithms side by side; the result has the model of each, by name.

    Tasks go first, until every algorithm either has ended or waits for a scan; those of one name that share the same
    value go out as one request. Then the scans of one split become one, for as long as their states stay small.
    As a generator itself, this may be part of an algorithm, whose passes are then those of the slowest part.

    Parameters
    ----------
    algorithms
        By name. They are told nothing of each other.
    source
        What they read.
    most_state
        Bytes of states beyond which scans take passes of their own.

    Raises
    ------
    Exception
        What one of the algorithms raises, the first by order where several do; the others are closed.
    """
    parts = [_Part(name, algorithm) for name, algorithm in algorithms.items()]
    models: dict[str, Any] = {}
    try:
        answers: dict[str, Any] = {part.name: None for part in parts}
        while True:
            for part in parts:
                if part.name in answers:
                    _resume(part, answers[part.name], models)
            parts = [part for part in parts if part.name not in models]
            if not parts:
                return {name: models[name] for name in algorithms}
            answers = yield from _next(parts, source, most_state)
    finally:
        for part in parts:
            part.algorithm.close()


def _resume(part: _Part, answer: Any, models: dict[str, Any]) -> None:
    try:
        part.request = part.algorithm.send(answer)
    except StopIteration as end:
        models[part.name] = end.value


def _next(parts: list[_Part], source: Readable, most_state: int) -> Algorithm[dict[str, Any]]:
    """Ask for what some of the parts wait for; the answers by their names."""
    tasks = _tasks_next(parts)
    if tasks:
        return (yield from _ask_tasks(tasks))
    answers: dict[str, Any] = {}
    scans = {part.name: part.request for part in parts if isinstance(part.request, Scan)}
    for group in grouped(scans, source, most_state):
        found = yield merged(group)
        for name, scan in group.items():
            wanted = [*scan.reductions, *scan.columns]
            answers[name] = {key: found[f"{name}/{key}"] for key in wanted}
    return answers


def _tasks_next(parts: Iterable[_Part]) -> dict[str, Tasks]:
    """Tasks that go out as one request: of one kind, on the same value; late ones once no scan is waited for."""
    scans = any(isinstance(part.request, Scan) for part in parts)
    chosen: dict[str, Tasks] = {}
    waiting = [(part.name, part.request) for part in parts if isinstance(part.request, Tasks)]
    soon = [(name, tasks) for name, tasks in waiting if not tasks.late]
    for name, tasks in soon or ([] if scans else waiting):
        first = next(iter(chosen.values()), tasks)
        same = (tasks.name, tasks.unit, tasks.late) == (first.name, first.unit, first.late)
        if same and tasks.shared is first.shared:
            chosen[name] = tasks
    return chosen


def _ask_tasks(chosen: dict[str, Tasks]) -> Algorithm[dict[str, Any]]:
    first = next(iter(chosen.values()))
    makers = [tasks.expected for tasks in chosen.values()]

    def expected() -> list[Any]:
        return [value for make in makers if make is not None for value in make()]

    values = yield Tasks(
        first.name,
        tuple(call for tasks in chosen.values() for call in tasks.calls),
        max(tasks.task_bytes for tasks in chosen.values()),
        first.unit,
        expected if all(make is not None for make in makers) else None,
        first.shared,
        first.late,
        all(tasks.here for tasks in chosen.values()),
    )
    answers, at = {}, 0
    for name, tasks in chosen.items():
        answers[name] = values[at : at + len(tasks.calls)]
        at += len(tasks.calls)
    return answers


def grouped(scans: Mapping[str, Scan], source: Readable, most_state: int = MOST_STATE) -> list[dict[str, Scan]]:
    """Scans that become one: of one split, and of states that are small together."""
    groups: list[tuple[dict[str, Scan], set[Reduction]]] = []
    for name, scan in scans.items():
        for group, held in groups:
            # Equal reductions are computed once.
            every = held.union(scan.reductions.values())
            fits = sum(reduction.state_bytes(source) for reduction in every) <= most_state
            if fits and next(iter(group.values())).split == scan.split:
                group[name] = scan
                held |= every
                break
        else:
            groups.append(({name: scan}, set(scan.reductions.values())))
    return [group for group, _ in groups]


def merged(group: Mapping[str, Scan]) -> Scan:
    """One scan with the parts of all, under names that begin with theirs."""
    return Scan(
        {f"{name}/{key}": item for name, scan in group.items() for key, item in scan.reductions.items()},
        {f"{name}/{key}": item for name, scan in group.items() for key, item in scan.columns.items()},
        next(iter(group.values())).split,
        {f"{key}, {name}": value for name, scan in group.items() for key, value in scan.known.items()},
    )
