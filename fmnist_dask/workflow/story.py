"""How far a run is, as one snapshot: made of its manifest and its events, by whoever watches it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: Points of a curve that are kept; of longer ones, every other one goes.
MOST_POINTS = 400
#: Last errors that are kept.
MOST_ERRORS = 5
#: Fields of a progress event that a snapshot shows.
PROGRESS = ("pass", "unit", "done", "total", "chunks_done", "chunks_total", "per_second", "eta")
#: Name under which the making of the collection is told.
INGEST = "ingest"


def read_words(source: Mapping[str, Any]) -> str:
    """What a run reads: ``70,000 images of garments``, ``the photograph china``."""
    if source.get("kind") == "photograph":
        return f"the photograph {source.get('name')}"
    return f"{source.get('n') or 0:,} images of {source.get('name')}"


class Story:
    """Folds events into what they come to."""

    def __init__(self) -> None:
        self.progress: dict[str, dict[str, Any]] = {}
        self.curves: dict[str, dict[str, list[float]]] = {}
        self.checkpoints: dict[str, int] = {}
        self.errors: list[dict[str, Any]] = []
        self.worker_bytes: list[int] = []
        self.planned_worker_bytes: int | None = None
        self.dashboard = ""
        self.time = ""
        self._stride: dict[tuple[str, str], tuple[int, int]] = {}

    def hear(self, line: Mapping[str, Any]) -> None:
        """One event."""
        event, step = line.get("event"), line.get("step")
        self.time = str(line.get("time", self.time))
        if event == "start" and step is None:
            self.progress.clear()
            self.errors.clear()
            self.worker_bytes, self.planned_worker_bytes = [], None
        elif event == "start":
            # What a journal remembers is told again.
            self.curves.pop(str(step), None)
            self.progress.pop(str(step), None)
        elif event == "cluster":
            self.dashboard = str(line.get("dashboard", ""))
        elif event == "progress":
            self.progress[str(step)] = {name: line.get(name) for name in PROGRESS}
            self.worker_bytes = list(line.get("worker_bytes") or self.worker_bytes)
            self.planned_worker_bytes = line.get("planned_worker_bytes") or self.planned_worker_bytes
        elif event == "converge":
            for name, value in line.items():
                if name not in ("time", "run", "step", "event"):
                    self._add(str(step), name, float(value))
        elif event in ("checkpoint", "resumed"):
            self.checkpoints[str(step)] = int(line.get("answers", 0))
        elif event == "done" and step is not None:
            self.progress.pop(str(step), None)
        elif event in ("error", "lost") and line.get("error"):
            self.errors = [*self.errors, {name: line.get(name) for name in ("time", "step", "error")}][-MOST_ERRORS:]

    def _add(self, step: str, name: str, value: float) -> None:
        """A point of a curve; of long curves every second, fourth, … one."""
        curve = self.curves.setdefault(step, {}).setdefault(name, [])
        if not curve:
            self._stride[step, name] = (1, 0)
        stride, seen = self._stride[step, name]
        if seen % stride == 0:
            curve.append(value)
        if len(curve) >= MOST_POINTS:
            del curve[1::2]
            stride *= 2
        self._stride[step, name] = (stride, seen + 1)

    def snapshot(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that a person who watches wants to see, as plain values."""
        source = manifest.get("source") or {}
        cluster = manifest.get("cluster") or {}
        steps = [self._step(name, record) for name, record in (manifest.get("steps") or {}).items()]
        if INGEST in self.progress:
            now = self.progress[INGEST]
            status = "RUNNING" if now["done"] < now["total"] else "SUCCEEDED"
            steps.insert(0, {**_no_step(INGEST), "status": status, **now})
        return {
            "time": self.time,
            "run": manifest.get("run"),
            "title": manifest.get("title"),
            "workflow": manifest.get("workflow"),
            "status": manifest.get("status", "PENDING"),
            "started": manifest.get("started"),
            "ended": manifest.get("ended"),
            "seconds": manifest.get("seconds"),
            "error": manifest.get("error"),
            "seed": manifest.get("seed"),
            "source": {name: source.get(name) for name in ("name", "n", "kind", "path", "synthetic")},
            "driver": manifest.get("driver"),
            "dashboard": self.dashboard,
            "cluster": {name: cluster.get(name) for name in ("class", "workers", "threads", "memory_limit", "address")},
            "memory": {
                "worker_bytes": self.worker_bytes,
                "peak_worker_bytes": manifest.get("peak_worker_bytes"),
                "planned_worker_bytes": self.planned_worker_bytes or manifest.get("planned_worker_bytes"),
                "limit": cluster.get("memory_limit"),
            },
            "passes": manifest.get("passes"),
            "n_quarantined": source.get("n_quarantined", 0),
            "errors": list(self.errors),
            "steps": steps,
        }

    def _step(self, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
        known = ("uses", "status", "split", "on", "seconds", "passes", "metrics", "error")
        told = self.progress.get(name, {}) if record.get("status") == "RUNNING" else {}
        return {
            **_no_step(name),
            **{field: record.get(field) for field in known},
            **told,
            "checkpoints": self.checkpoints.get(name, 0),
            "curves": {curve: list(values) for curve, values in self.curves.get(name, {}).items()},
        }


def _no_step(name: str) -> dict[str, Any]:
    """A step of which nothing is known."""
    empty = dict.fromkeys(("uses", "status", "split", "on", "seconds", "passes", "error", *PROGRESS))
    return {"name": name, **empty, "metrics": {}, "checkpoints": 0, "curves": {}}


class EventFile:
    """Reads a file of events as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._rest = b""

    def more(self) -> Iterator[dict[str, Any]]:
        """Events that came since the last call; lines that are no JSON (a disk was full) are left out."""
        try:
            with open(self.path, "rb") as file:
                file.seek(0, 2)
                if file.tell() < self._at:  # another file took its place
                    self._at, self._rest = 0, b""
                file.seek(self._at)
                content = file.read()
                self._at = file.tell()
        except FileNotFoundError:
            return
        *lines, self._rest = (self._rest + content).split(b"\n")
        yield from parsed(lines)


def parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Those lines that are JSON objects."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
