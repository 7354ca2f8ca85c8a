"""What runs are doing, read from their directories alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_dask.collection.lease import holder_of
from fmnist_dask.workflow.rundir import MANIFEST, RunDirectory
from fmnist_dask.workflow.story import INGEST, EventFile, Story

#: Words of runs that somebody is, or should be, at work on.
UNFINISHED = ("PENDING", "RUNNING")
#: Seconds that a submitted driver gets to take its lease.
STARTING = 60.0
ABANDONED = "its driver is gone (killed, or its machine went down)"


@dataclass
class Watched:
    """A run that is looked at again and again.

    Parameters
    ----------
    path
        A run directory, or an id below ``runs/``.
    """

    path: Path

    def __post_init__(self) -> None:
        self.path = RunDirectory.existing(self.path).path
        self._story = Story()
        self._events = EventFile(self.path / "events.jsonl")

    def look(self) -> dict[str, Any]:
        """A snapshot (see :class:`~fmnist_dask.workflow.story.Story`), with ``alive`` and the driver's ``heartbeat``.

        A run whose driver is gone is STOPPED, whatever its manifest says.
        """
        # The lease first: a driver that ends between the two has written its last words.
        holder = holder_of(self.path)
        run = RunDirectory(self.path)
        for event in self._events.more():
            self._story.hear(event)
        snapshot = self._story.snapshot(run.manifest)
        snapshot["path"] = str(run.path)
        snapshot["report"] = str(run.report) if run.report.is_file() else None
        snapshot["alive"] = holder is not None
        if holder is not None:
            snapshot["driver"] = {**(snapshot["driver"] or {}), "host": holder.host, "pid": holder.pid}
        snapshot["heartbeat"] = None if holder is None else round(holder.age, 1)
        if snapshot["status"] in UNFINISHED and holder is None and not self._starting(run):
            _abandon(snapshot)
        if holder is not None and snapshot["status"] not in UNFINISHED:
            snapshot["status"] = "RUNNING"  # its last words are written, its report is not
        return snapshot

    def _starting(self, run: RunDirectory) -> bool:
        """Whether a driver was submitted a moment ago."""
        manifest = run.path / MANIFEST
        return run.manifest.get("status") == "PENDING" and time.time() - manifest.stat().st_mtime < STARTING


def _abandon(snapshot: dict[str, Any]) -> None:
    snapshot["status"] = "STOPPED"
    snapshot["error"] = ABANDONED
    for step in snapshot["steps"]:
        if step["status"] in UNFINISHED:
            step["status"] = "STOPPED"


def ended(snapshot: Mapping[str, Any]) -> bool:
    """Whether nothing more is to come."""
    return snapshot["status"] not in UNFINISHED


def follow(path: Path, interval: float = 0.5) -> Iterator[dict[str, Any]]:
    """Snapshots of a run until it has ended, the last one too; those in which nothing changed are left out."""
    watched, last = Watched(path), None
    while True:
        snapshot = watched.look()
        shown = {**snapshot, "heartbeat": None}
        if shown != last:
            last = shown
            yield snapshot
        if ended(snapshot):
            return
        time.sleep(interval)


def all_runs(directory: Path) -> list[dict[str, Any]]:
    """A line for each run below a directory, the last one started first."""
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_symlink() or not (path / MANIFEST).is_file():
            continue
        snapshot = Watched(path).look()
        steps = [step for step in snapshot["steps"] if step["name"] != INGEST]
        done = sum(step["status"] in ("SUCCEEDED", "REUSED") for step in steps)
        found.append(
            {
                "run": snapshot["run"],
                "status": snapshot["status"],
                "workflow": snapshot["workflow"],
                "source": snapshot["source"]["name"],
                "n": snapshot["source"]["n"],
                "started": snapshot["started"],
                "seconds": snapshot["seconds"],
                "steps_done": done,
                "steps": len(steps),
                "alive": snapshot["alive"],
                "path": snapshot["path"],
            }
        )
    return sorted(found, key=lambda run: str(run["started"]), reverse=True)


def event_words(event: dict[str, Any]) -> str:
    """An event as a line that people read."""
    told = {name: value for name, value in event.items() if name not in ("time", "run", "step", "event")}
    words = [str(event.get("time", ""))[11:19], str(event.get("step") or ""), str(event.get("event", ""))]
    if event.get("event") == "progress":
        left = f", {told['eta']:,.0f} s left" if told.get("eta") else ""
        rate = f", {told.get('per_second') or 0:,.0f} {told.get('unit')}/s"
        detail = f"{told.get('pass')}: {told.get('done'):,} of {told.get('total'):,} {told.get('unit')}{rate}{left}"
    else:
        parts = (f"{name} {_value(value)}" for name, value in told.items() if value not in (None, {}, []))
        detail = ", ".join(parts)
    line = f"{words[0]}  {words[1]:<14} {words[2]:<10} {detail}".rstrip()
    # What users and files have named may hold what terminals obey.
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
