"""A run killed at any moment: the same command goes on, and ends with the same result."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Small enough that a run takes seconds, large enough that k-means takes many passes.
GARMENTS = ["--source", "garments", "--source-option", "n=20000", "--set", "clusters.tol=0"]


def command(source: list[str], place: Path) -> list[str]:
    where = ["--out", str(place / "run"), "--store", str(place / "store.zarr")]
    return [sys.executable, "-m", "fmnist_dask.cli", "run", "explore", *source, *where]


def begin(source: list[str], place: Path) -> subprocess.Popen[bytes]:
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "out.txt", "ab") as out:
        return subprocess.Popen(
            command(source, place), cwd=place, stdout=out, stderr=out, start_new_session=True, stdin=subprocess.DEVNULL
        )


def finish(source: list[str], place: Path) -> dict[str, Any]:
    assert begin(source, place).wait(timeout=120) == 0, (place / "out.txt").read_text()
    manifest: dict[str, Any] = json.loads((place / "run" / "manifest.json").read_text())
    return manifest


def contents(place: Path) -> dict[str, str]:
    """Digest of every file of the collection, the results and the tables."""
    found = {}
    for root in ("store.zarr", "run/results.zarr", "run/tables"):
        for path in sorted((place / root).rglob("*")):
            if path.is_file() and path.name not in ("manifest.json", ".lease"):
                found[str(path.relative_to(place))] = hashlib.blake2b(path.read_bytes()).hexdigest()
    return found


def events(place: Path) -> list[dict[str, Any]]:
    path = place / "run" / "events.jsonl"
    # The line that was being written when the process died has no end.
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a driver and its workers at once; false if it had ended before."""
    ended = process.poll() is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        assert ended
    process.wait()
    return not ended


Moment = Callable[[Path], None]


def after(seconds: float) -> Moment:
    """So many seconds after its begin."""
    return lambda place: time.sleep(seconds)


def once(event: str, step: str, count: int = 1) -> Moment:
    """As soon as a step has told of an event so many times."""

    def wait(place: Path) -> None:
        deadline = time.monotonic() + 120
        while sum(told["event"] == event and told["step"] == step for told in events(place)) < count:
            assert time.monotonic() < deadline, (place / "out.txt").read_text()
            time.sleep(0.005)

    return wait


def both(first: Moment, second: Moment) -> Moment:
    """One moment, and then another."""

    def wait(place: Path) -> None:
        first(place)
        second(place)

    return wait


def check(source: list[str], undisturbed: Path, place: Path, moments: list[Moment]) -> dict[str, Any]:
    """Kill runs at these moments, go on each time, compare the end; no checkpoint may be lost."""
    saved: dict[str, int] = {}
    for moment in moments:
        process = begin(source, place)
        moment(place)
        kill(process)
        for event in events(place):
            if event["event"] == "checkpoint":
                saved[event["step"]] = max(saved.get(event["step"], 0), event["scan"])
    before = len(events(place))
    manifest = finish(source, place)
    assert manifest["status"] == "SUCCEEDED"
    resumed = {event["step"]: event["scans"] for event in events(place)[before:] if event["event"] == "resumed"}
    for step, scans in saved.items():
        record = manifest["steps"][step]
        assert record["status"] == "REUSED" or resumed.get(step, 0) >= scans, (step, scans, resumed)
    assert contents(place) == contents(undisturbed)
    reference = json.loads((undisturbed / "run" / "manifest.json").read_text())
    for name, record in reference["steps"].items():
        assert manifest["steps"][name]["metrics"] == record["metrics"]
        assert manifest["steps"][name]["passes"] == record["passes"]
    return manifest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nobody disturbed, and the seconds that it took."""
    place = tmp_path_factory.mktemp("undisturbed")
    begun = time.perf_counter()
    finish(GARMENTS, place)
    return place, time.perf_counter() - begun


@pytest.mark.slow
def test_killed_while_it_iterates(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    moments = [once("done", "duplicates"), once("checkpoint", "clusters", 8)]
    manifest = check(GARMENTS, undisturbed[0], tmp_path, moments)
    steps = manifest["steps"]
    assert steps["duplicates"]["status"] == "REUSED"
    assert steps["clusters"]["resumed_passes"] >= 3
    # What the last run did itself, and nothing twice.
    assert manifest["passes"] == steps["clusters"]["passes"] - steps["clusters"]["resumed_passes"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_twenty_random_moments(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    place, seconds = undisturbed
    draw = random.Random(24680)
    resumed = 0
    for number in range(20):
        # Half of them anywhere, half of them while it iterates, which is a small part of a run's time.
        anywhere, iterating = after(draw.uniform(0.1, 1.0) * seconds), after(draw.uniform(0.0, 1.5))
        moment = anywhere if number % 2 else both(once("checkpoint", "clusters"), iterating)
        manifest = check(GARMENTS, place, tmp_path / str(number), [moment])
        resumed += any(record.get("resumed_passes") for record in manifest["steps"].values())
    assert resumed >= 3


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_again_and_again(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    place, seconds = undisturbed
    draw = random.Random(13579)
    check(GARMENTS, place, tmp_path, [after(draw.uniform(0.5, 0.9) * seconds) for _ in range(6)])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_fashion_mnist_killed_at_twenty_random_moments(real_data: Any, tmp_path: Path) -> None:
    source = ["--source", str(real_data("fashion-mnist"))]
    begun = time.perf_counter()
    finish(source, tmp_path / "undisturbed")
    seconds = time.perf_counter() - begun
    draw = random.Random(11235)
    for number in range(20):
        check(source, tmp_path / "undisturbed", tmp_path / str(number), [after(draw.uniform(0.1, 1.0) * seconds)])
