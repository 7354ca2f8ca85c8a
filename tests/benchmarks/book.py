"""The book: all chapters one after the other, what they found, and on which machine."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from threadpoolctl import threadpool_limits

from fmnist_dask.workflow.fingerprint import blas_names, cpu_name, recorded_versions
from tests.benchmarks import peers
from tests.benchmarks.rows import Row
from tests.benchmarks.settings import Settings, options_of, told

#: In the order of the book: first those that answer quickly.
CHAPTERS = (
    "statistics_pass", "pca", "kmeans", "kmeans_many", "nearest", "neighbours", "silhouette", "k_sweep", "clusters",
    "low_rank", "rank_sweep", "maps", "grids", "quantize", "ingest", "append", "codecs", "cold_start", "overhead",
    "scheduler", "plans", "scaling",
)  # fmt: skip


@dataclass
class Told:
    """What became of one chapter.

    Attributes
    ----------
    error
        Why it ended early; empty where it did not.
    missing
        What could not be measured, since a peer is not there.
    """

    name: str
    title: str = ""
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


@dataclass
class Book:
    """All chapters, and where and when they were run."""

    size: str
    data: str
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    chapters: list[Told] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """Of all chapters."""
        return [row for chapter in self.chapters for row in chapter.rows]

    @property
    def failed(self) -> list[Told]:
        """Chapters that ended early."""
        return [chapter for chapter in self.chapters if chapter.error]

    def as_json(self) -> dict[str, Any]:
        """As ``book.json`` has it."""
        return {
            "format_version": 1,
            **{name: getattr(self, name) for name in ("date", "size", "data", "machine", "versions")},
            "chapters": [
                {name: getattr(one, name) for name in ("name", "title", "seconds", "missing", "error")}
                for one in self.chapters
            ],
            "rows": [row.as_json() for row in self.rows],
        }


def title_of(name: str) -> str:
    """First line of a chapter's own words."""
    words = importlib.import_module(f"tests.benchmarks.{name}").__doc__ or name
    return words.splitlines()[0].rstrip(".")


def empty_book(settings: Settings) -> Book:
    """A book about this machine, at this moment."""
    versions = recorded_versions() | {peer: peers.version(peer) or "not installed" for peer in peers.PEERS}
    machine = {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "os": platform.platform(),
        "python": platform.python_version(),
        "blas": blas_names(),
    }
    data = "drawn garments" if settings.data is None else "Fashion-MNIST"
    return Book(settings.size, data, datetime.now(UTC).isoformat(timespec="seconds"), machine, versions)


def chapters_of_book(names: Sequence[str], settings: Settings, repeats: int | None) -> Iterator[Told]:
    """Run chapters one after the other; one that fails does not keep the others from it.

    At size ``tiny`` all share this process and a cluster; else each is a process of its own, which no other's memory,
    threads or imports weigh on.
    """
    run = _here if settings.tiny else _apart
    with contextlib.ExitStack() as stack:
        if settings.tiny:
            # Times mean nothing here, and threads that wait for each other take longest where others work as well.
            os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
            stack.enter_context(threadpool_limits(1))
            stack.enter_context(settings.sharing())
        for name in names:
            told_, begun = Told(name), time.perf_counter()
            print(f"\n{name}", flush=True)
            try:
                told_.title = title_of(name)
                run(told_, settings, repeats)
            except Exception as error:
                traceback.print_exc()
                told_.error = f"{type(error).__name__}: {error}"
            told_.seconds = round(time.perf_counter() - begun, 1)
            for why in told_.missing:
                print(f"  left out: {why}", flush=True)
            yield told_


def _here(chapter: Told, settings: Settings, repeats: int | None) -> None:
    module = importlib.import_module(f"tests.benchmarks.{chapter.name}")
    options = options_of(module.BY_SIZE, settings.size)
    if repeats is not None:
        options = replace(options, repeats=repeats)
    settings.missing = chapter.missing
    for row in told(module.chapter(settings, options), chapter.name):
        chapter.rows.append(row)


def _apart(chapter: Told, settings: Settings, repeats: int | None) -> None:
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place) / "rows.json"
        command = [sys.executable, "-m", f"tests.benchmarks.{chapter.name}", "--size", settings.size]
        command += ["--directory", str(settings.directory), "--json", str(kept)]
        command += [] if repeats is None else ["--repeats", str(repeats)]
        environment = dict(os.environ)
        if settings.data is None:
            environment.pop("FMNIST_DASK_DATA", None)
        else:
            command += ["--data", str(settings.data)]
        try:
            subprocess.run(command, check=True, env=environment)
        finally:
            if kept.exists():
                found = json.loads(kept.read_text())
                chapter.rows += [Row.of_json(row) for row in found["rows"]]
                chapter.missing += found["missing"]
