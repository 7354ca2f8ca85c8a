"""Foreseen requests in order, and which of them share a pass: as the runner lets them."""

from __future__ import annotations

import dataclasses

import numpy as np

from fmnist_dask.passes.arrays import ArrayFeatures
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.protocol import Call, Reduction, Scan, Tasks
from fmnist_dask.workflow.advance import Callbacks, Running, advance
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.schedule import Planned, schedule


@dataclasses.dataclass(frozen=True)
class Rows(Reduction):
    """Counts samples."""

    def initial(self, source):
        return 0

    def chunk(self, state, block):
        return state + len(block)

    def combine(self, left, right):
        return left + right

    def state_bytes(self, source):
        return 8


def samples(n: int) -> ArrayFeatures:
    return ArrayFeatures.of(np.zeros((n, 2)))


def scan(name: str, times: int = 1, most: int | None = None) -> Foreseen:
    return Foreseen(name, Scan({name: Rows()}), times=times, most=most)


def calls(name: str, late: bool = False) -> Foreseen:
    return Foreseen(name, calls=2, late=late)


def said(steps: list[Planned]) -> list[tuple[str, tuple[str, ...], int]]:
    return [(work.name, tuple(work.requests), work.times) for work in schedule(steps)]


def test_steps_that_wait_for_the_same_images_share_a_pass():
    here, there = samples(10), samples(20)
    steps = [
        Planned("a", here, [scan("first"), scan("each", times=5)]),
        Planned("b", here, [scan("other"), calls("work"), scan("each", times=3)]),
        Planned("c", there, [scan("elsewhere", times=2)]),
    ]
    assert said(steps) == [
        ("first; other", ("a", "b"), 1),
        ("elsewhere", ("c",), 1),
        ("work", ("b",), 1),
        ("each", ("a", "b"), 1),
        ("elsewhere", ("c",), 1),
        ("each", ("a", "b"), 2),
        ("each", ("a",), 2),
    ]


def test_a_step_begins_when_what_it_needs_has_ended():
    source = samples(10)
    steps = [
        Planned("codes", source, [scan("first"), scan("projection")]),
        Planned("map", source, [scan("rows")], frozenset({"codes"})),
        Planned("nothing", source, [], frozenset({"codes"})),
        Planned("last", source, [scan("end")], frozenset({"nothing", "map"})),
    ]
    assert [name for name, _, _ in said(steps)] == ["first", "projection", "rows", "end"]


def test_late_calls_wait_for_passes_of_others():
    source = samples(10)
    steps = [
        Planned("a", source, [calls("long", late=True)]),
        Planned("b", source, [scan("each", times=3)]),
    ]
    assert said(steps) == [("each", ("b",), 3), ("long", ("a",), 1)]


def test_what_is_bounded_says_so():
    source = samples(10)
    work = schedule([Planned("a", source, [scan("each", times=2, most=300)]), Planned("b", source, [scan("one")])])
    assert [(item.times, item.most) for item in work] == [(1, 300), (1, 300)]
    assert schedule([Planned("b", source, [scan("one")])])[0].most is None


class Counting(LocalEngine):
    """Notes which steps share each pass, and whose calls come when."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []

    def run_pass(self, source, scans, progress=None):
        self.seen.append(tuple(scans))
        return super().run_pass(source, scans, progress)

    def tasks(self, tasks, progress=None):
        self.seen.append((tasks.name,))
        return super().tasks(tasks, progress)


def algorithm(requests):
    for request in requests:
        for _ in range(request.times):
            if request.scan is None:
                yield Tasks(request.name, (Call(int, ("1",)),), late=request.late)
            else:
                yield request.scan


def test_the_runner_does_what_is_foreseen():
    source = samples(300)
    requests = {
        "a": [scan("first"), scan("each", times=4)],
        "b": [scan("other"), calls("b works"), scan("each", times=2), calls("b goes on", late=True)],
        "c": [calls("c works"), scan("some", times=3)],
        "d": [scan("later")],
    }
    needs = {"d": frozenset({"b"})}
    engine = Counting()
    ended: set[str] = set()
    begun: set[str] = set()

    def more():
        for name, wanted in requests.items():
            if name not in begun and needs.get(name, frozenset()) <= ended:
                begun.add(name)
                yield Running(name, algorithm(wanted), source)

    advance(engine, more, Callbacks(lambda item, model: ended.add(item.name), lambda items, error: None))
    steps = [Planned(name, source, wanted, needs.get(name, frozenset())) for name, wanted in requests.items()]
    planned = schedule(steps)
    foreseen = [tuple(work.requests) if work.is_pass else (work.name,) for work in planned for _ in range(work.times)]
    assert engine.seen == foreseen
    assert ended == set(requests)
