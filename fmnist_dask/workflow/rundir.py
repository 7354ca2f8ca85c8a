"""A run's directory: manifest, events, and where results, tables and the report lie."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fmnist_dask.collection.files import make_directory, read_manifest, write_json
from fmnist_dask.errors import RunError

FORMAT_VERSION = 1
#: Step words that mean "the result is there".
PUBLISHED = ("SUCCEEDED", "REUSED")
#: What a directory must hold to be called a run.
MANIFEST = "manifest.json"


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RunDirectory:
    """Paths and small files of one run.

    Parameters
    ----------
    path
        The directory; its name is the run's id.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = read_manifest(path / MANIFEST) or {}
        #: Hear each event.
        self.listeners: list[Callable[[dict[str, Any]], None]] = []

    @classmethod
    def existing(cls, path: str | Path) -> RunDirectory:
        """A run that is there: a path, or an id below ``runs/``.

        Raises
        ------
        RunError
            There is none.
        """
        for candidate in (Path(path), Path("runs") / path):
            if (candidate / MANIFEST).is_file():
                return cls(candidate.resolve())
        raise RunError(
            f"no run at {path}: it has no {MANIFEST}", "give the path of a run directory, or an id below runs/"
        )

    @property
    def results(self) -> Path:
        """The DataTree, one group a step."""
        return self.path / "results.zarr"

    @property
    def tables(self) -> Path:
        """Parquet tables."""
        return self.path / "tables"

    @property
    def pictures(self) -> Path:
        """Large pictures that steps have drawn."""
        return self.path / "pictures"

    @property
    def pending(self) -> Path:
        """What is being made; nothing here is ever taken for a result."""
        return self.path / ".pending"

    def publishing(self, step: str) -> Path:
        """A step's result that is being written."""
        return self.pending / "results" / step

    @property
    def columns(self) -> Path:
        """Columns of passes, one directory each."""
        return self.pending / "columns"

    @property
    def segments(self) -> Path:
        """States of row ranges of passes that have not ended."""
        return self.pending / "segments"

    @property
    def journals(self) -> Path:
        """Answers that steps have received."""
        return self.pending / "journal"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def events(self) -> Path:
        """What happened when, an object a line."""
        return self.path / "events.jsonl"

    @property
    def job(self) -> Path:
        """How the run was asked for, so that another process can go on with it."""
        return self.path / "job.json"

    @property
    def stop_request(self) -> Path:
        """A file that asks the driver, wherever it is, to stop."""
        return self.path / ".stop"

    @property
    def driver_log(self) -> Path:
        """What a detached driver has printed."""
        return self.path / "driver.log"

    @property
    def performance(self) -> Path:
        """Dask's own report of what its workers did."""
        return self.path / "performance.html"

    def create(self) -> None:
        """Make the directory and what stands in it from the start."""
        for directory in (self.path, self.tables, self.pending):
            make_directory(directory)

    def save(self) -> None:
        """Write the manifest."""
        write_json(self.path / MANIFEST, self.manifest)

    def event(self, event: str, step: str | None = None, **fields: Any) -> None:
        """Append a line to ``events.jsonl``."""
        line = {"time": now(), "run": self.path.name, "step": step, "event": event, **fields}
        # A disk that is full stops what must be written; this need not.
        with contextlib.suppress(OSError), open(self.events, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        for listener in self.listeners:
            listener(line)

    def link_latest(self) -> None:
        """Point ``latest`` beside the run at it, where links can be made."""
        link = self.path.parent / "latest"
        pending = self.path.parent / f".latest-{time.time_ns()}"
        try:
            if link.is_symlink() or not link.exists():
                pending.symlink_to(self.path.name)
                pending.replace(link)
        except OSError:  # a file system without links; the run has its path
            pending.unlink(missing_ok=True)
