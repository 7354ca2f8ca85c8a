"""Journals: a step that begins again is given what it had, and nothing that it did not ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_steps import Sorted, Weighed, triple
from support import collection_of

from fmnist_dask.passes.columns import create_columns, mark_complete
from fmnist_dask.passes.fused import PassOutcome, RawAnswer
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.protocol import Algorithm, Call, Scan, Tasks
from fmnist_dask.workflow.advance import Callbacks, Running, advance
from fmnist_dask.workflow.journal import Journals, StepJournal, journal_name

SOURCE = collection_of(60)


class Counting(LocalEngine):
    """Notes which scans and tasks it has run; may come to its end before one of them."""

    def __init__(self, most: int = 1000) -> None:
        super().__init__()
        self.most, self.asked = most, list[Any]()

    def _note(self, request: Any) -> None:
        if len(self.asked) == self.most:
            raise KeyboardInterrupt
        self.asked.append(request)

    def run_pass(self, source: Any, scans: Any, progress: Any = None) -> PassOutcome:
        self._note(next(iter(scans.values())))
        return super().run_pass(source, scans, progress)

    def tasks(self, tasks: Tasks, progress: Any = None) -> list[Any]:
        self._note(tasks)
        return super().tasks(tasks, progress)


def walk(rounds: int = 4, first: int = 3, value: Callable[[int], Any] = triple) -> Algorithm[list[int]]:
    """Each request depends on all answers before; answers are changed by who receives them."""
    trace = [first]
    for _ in range(rounds):
        found = yield Scan({"weighed": Weighed(trace[-1] % 11 + 1)})
        trace.append(int(found["weighed"]["sum"][0]))
        found["weighed"]["sum"] *= 0
        (tripled,) = yield Tasks("value", (Call(value, (trace[-1],)),))
        trace.append(tripled if isinstance(tripled, int) else tripled.value)
    return trace


@dataclasses.dataclass
class Own:
    """A value of a third party's step."""

    value: int


def own(value: int) -> Own:
    return Own(3 * value)


class Run:
    """Runs an algorithm with a journal, as a driver that begins."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[tuple[str, dict[str, int]]] = []

    def __call__(self, algorithm: Algorithm[Any], most: int = 1000) -> tuple[Any, list[Any], Running]:
        """Model, requests that the engine was asked, and the algorithm's record."""
        self.told = []
        journal = StepJournal(self.directory, self.directory.parent / "columns", lambda *words: self.told.append(words))
        item, engine = Running("walk", algorithm, SOURCE, journal), Counting(most)
        waiting, models = [item], []

        def failed(items: list[Running], error: Exception) -> None:
            raise error

        try:
            advance(
                engine,
                lambda: [waiting.pop()] if waiting else [],
                Callbacks(lambda item, model: models.append(model), failed),
            )
        except KeyboardInterrupt:
            return None, engine.asked, item
        return models[0], engine.asked, item

    def events(self) -> list[str]:
        return [event for event, _ in self.told]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "journal" / "walk-12345678")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    return Run(tmp_path_factory.mktemp("whole") / "journal")(walk())[0]


@pytest.mark.parametrize("most", range(9))
def test_a_run_stopped_anywhere_goes_on_to_the_same_end(run: Run, undisturbed: list[int], most: int) -> None:
    model, before, _ = run(walk(), most)
    if most < 8:
        assert model is None
    assert run.events() == ["checkpoint"] * min(most, 7)  # the last answer is followed by no request
    model, after, item = run(walk())
    assert model == undisturbed
    kept = min(most, 7)
    assert len(before) + len(after) == 8 + (most - kept)  # no answer that was saved is asked for again
    assert item.passes == 4
    assert item.journal is not None
    assert item.journal.resumed_scans == -(-kept // 2)
    assert run.told[: bool(kept)] == [("resumed", {"scans": -(-kept // 2), "answers": kept})][: bool(kept)]


def test_a_run_stopped_again_and_again_asks_everything_once(run: Run, undisturbed: list[int]) -> None:
    asked = 0
    for _ in range(20):
        model, requests, _ = run(walk(), 1)
        asked += len(requests)
        if model is not None:
            break
    assert model == undisturbed
    assert asked == 8


def test_another_parameter_takes_nothing_from_the_journal(run: Run, tmp_path: Path) -> None:
    run(walk(), 5)
    model, asked, item = run(walk(first=5))
    assert model == Run(tmp_path / "other")(walk(first=5))[0]
    assert len(asked) == 8
    assert item.journal is not None
    assert item.journal.resumed_scans == 0
    assert "resumed" not in run.events()


def test_entries_after_another_request_are_dropped(run: Run) -> None:
    run(walk(), 7)
    assert len(list(run.directory.iterdir())) == 7
    run(walk(value=own), 1)  # the second request differs; the journal of the first lives on
    assert [file.name for file in run.directory.iterdir()] == ["000001.answer"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "of another request"])
def test_a_damaged_entry_ends_the_replay(run: Run, undisturbed: list[int], damage: str) -> None:
    run(walk(), 7)
    file = run.directory / "000003.answer"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[-30] ^= 4
        file.write_bytes(content)
    elif damage == "gone":
        file.unlink()
    else:
        (run.directory / "000003.answer").write_bytes((run.directory / "000004.answer").read_bytes())
    model, asked, _ = run(walk())
    assert model == undisturbed
    assert len(asked) == 6


def test_values_that_cannot_be_saved_are_computed_again(run: Run) -> None:
    expected = run(walk(value=own))[0]
    assert run.events() == ["checkpoint"]  # of the first pass; from the first value on nothing is saved
    run(walk(value=own), 5)
    model, asked, _ = run(walk(value=own))
    assert model == expected
    assert len(asked) == 7


def test_a_disk_that_is_full_stops_no_step(run: Run, undisturbed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("fmnist_dask.workflow.journal.write_encoded", full)
    assert run(walk())[0] == undisturbed
    assert run.events() == []


def columns_at(place: Path) -> dict[str, Any]:
    written = create_columns(place, SOURCE, Sorted(3))
    written["sum"][0:60] = np.arange(60.0)
    mark_complete(place)
    return dict(written)


SCAN = Scan({"weighed": Weighed(2)}, {"sorted": Sorted(3)})


def held(journals: Journals, step: str, place: Path) -> StepJournal:
    """A journal with one answer that holds a column."""
    journal = journals.open(step, "0123456789", lambda *words: None)
    assert journal.recall(SCAN, SOURCE) is None
    journal.hold(SCAN, RawAnswer({"weighed": {"sum": np.ones(1), "rows": 3}}, {"sorted": columns_at(place)}))
    journal.commit()
    return journal


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path / "journal", tmp_path / "columns", tmp_path / "segments")


def test_columns_come_back_from_where_the_run_lies(journals: Journals, tmp_path: Path) -> None:
    held(journals, "a", tmp_path / "columns" / "place")
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    again = Journals(moved / "journal", moved / "columns", moved / "segments").open("a", "0123456789", print)
    answer = again.recall(SCAN, SOURCE)
    assert answer is not None
    assert answer[0]["sorted"]["sum"][3:5].tolist() == [3, 4]
    assert list(answer[0]) == ["weighed", "sorted"]
    assert again.places == {"place"}


@pytest.mark.parametrize("lost", ["complete", "sum/zarr.json"])
def test_an_answer_whose_columns_are_not_whole_is_not_used(journals: Journals, tmp_path: Path, lost: str) -> None:
    held(journals, "a", tmp_path / "columns" / "place")
    (tmp_path / "columns" / "place" / lost).unlink()
    assert journals.open("a", "0123456789", print).recall(SCAN, SOURCE) is None


def test_columns_are_kept_for_as_long_as_something_refers_to_them(journals: Journals, tmp_path: Path) -> None:
    places = tmp_path / "columns"
    held(journals, "a", places / "shared")
    held(journals, "b", places / "shared")
    running = journals.open("c", "0123456789", print)
    running.hold(SCAN, RawAnswer({"weighed": object()}, {"sorted": columns_at(places / "running")}))
    held(journals, "d", places / "running")
    journals.close("a")
    journals.close("d")
    assert {place.name for place in places.iterdir()} == {"shared", "running"}
    journals.close("b")
    journals.close("c")
    assert not list(places.iterdir())
    assert not list((tmp_path / "journal").iterdir())


def test_sweeping_drops_what_nothing_refers_to(journals: Journals, tmp_path: Path) -> None:
    places = tmp_path / "columns"
    held(journals, "kept", places / "kept")
    held(journals, "changed", places / "changed")
    columns_at(places / "stray")
    columns_at(places / "unfinished")
    (tmp_path / "segments" / "unfinished").mkdir(parents=True)
    journals.sweep({"kept": "0123456789", "changed": "abcdef0123"})
    assert {place.name for place in places.iterdir()} == {"kept", "unfinished"}
    assert [directory.name for directory in (tmp_path / "journal").iterdir()] == [journal_name("kept", "0123456789")]
    journals.sweep({"kept": "0123456789"}, keep_segments=False)
    assert [place.name for place in places.iterdir()] == ["kept"]
    journals.clear()
    assert [path.name for path in tmp_path.iterdir()] == []
