"""Snapshots of runs, made of their events."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from fmnist_dask.jobs.status import event_words
from fmnist_dask.watching import duration, sparkline
from fmnist_dask.workflow.story import MOST_POINTS, EventFile, Story

MANIFEST: dict[str, Any] = {
    "run": "r",
    "status": "RUNNING",
    "steps": {"a": {"status": "RUNNING", "uses": "kmeans"}, "b": {"status": "PENDING", "uses": "pca"}},
}


def told(*events: dict[str, Any]) -> dict[str, Any]:
    story = Story()
    for event in events:
        story.hear(event)
    return story.snapshot(MANIFEST)


def progress(step: str, done: int) -> dict[str, Any]:
    return {"event": "progress", "step": step, "unit": "images", "done": done, "total": 10, "per_second": 2.0}


def test_the_last_word_counts() -> None:
    first, second = told(progress("a", 3), progress("a", 7))["steps"]
    assert (first["done"], first["total"], second["done"]) == (7, 10, None)
    assert told(progress("a", 3), {"event": "done", "step": "a"})["steps"][0]["done"] is None


def test_making_the_collection_is_a_step_of_its_own() -> None:
    names = [(step["name"], step["status"]) for step in told(progress("ingest", 4))["steps"]]
    assert names == [("ingest", "RUNNING"), ("a", "RUNNING"), ("b", "PENDING")]
    assert told(progress("ingest", 10))["steps"][0]["status"] == "SUCCEEDED"


def test_a_step_that_begins_again_tells_its_curve_again() -> None:
    point = {"event": "converge", "step": "a", "inertia": 5.0}
    steps = told({"event": "start", "step": "a"}, point, point, {"event": "start", "step": "a"}, point)["steps"]
    assert steps[0]["curves"] == {"inertia": [5.0]}


def test_long_curves_are_thinned_evenly() -> None:
    story = Story()
    for value in range(10 * MOST_POINTS):
        story.hear({"event": "converge", "step": "a", "x": value})
    (curve,) = story.snapshot(MANIFEST)["steps"][0]["curves"].values()
    assert MOST_POINTS / 2 <= len(curve) < MOST_POINTS
    steps = {later - earlier for earlier, later in itertools.pairwise(curve)}
    assert steps == {16.0}
    assert curve[0] == 0.0


def test_errors_are_the_last_ones_and_end_with_a_new_start() -> None:
    errors = [{"event": "error", "step": "a", "error": str(number), "time": "t"} for number in range(9)]
    assert [error["error"] for error in told(*errors)["errors"]] == ["4", "5", "6", "7", "8"]
    assert told(*errors, {"event": "start", "step": None})["errors"] == []


def test_snapshots_are_plain_json() -> None:
    assert json.loads(json.dumps(told(progress("a", 1)))) == told(progress("a", 1))


def test_a_file_is_read_as_it_grows_whatever_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = EventFile(path)
    assert list(events.more()) == []
    path.write_bytes(b'{"event": "start"}\n{"event": "pro')
    assert [event["event"] for event in events.more()] == ["start"]
    with open(path, "ab") as file:
        file.write(b'gress"}\n{"cut off{"event": "x"}\n[1]\n{"event": "done"}\n')
    assert [event["event"] for event in events.more()] == ["progress", "done"]
    path.write_bytes(b'{"event": "anew"}\n')
    assert [event["event"] for event in events.more()] == ["anew"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (3.21, "3.2 s"), (42.0, "42 s"), (185.0, "3:05"), (7805.0, "2:10:05")]
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_small_curves() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert len(sparkline(list(range(1000)))) == 24


def test_events_in_words() -> None:
    line = event_words({**progress("a", 1200), "time": "2026-01-02T03:04:05.678Z", "pass": "pass 1", "eta": 4.4})
    assert " ".join(line.split()) == "03:04:05 a progress pass 1: 1,200 of 10 images, 2 images/s, 4 s left"
    assert "error  " in event_words({"event": "error", "step": "a", "error": "bad\nluck", "time": ""})
