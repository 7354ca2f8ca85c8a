"""What people see in a terminal: progress bars or plain lines, tables, where things are."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from fmnist_dask.collection.place import place_of
from fmnist_dask.collection.quarantine import QUARANTINE
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.protocol import PassProgress
from fmnist_dask.workflow.observe import Observer
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory

#: Seconds between two lines of progress where there is no terminal to redraw.
LINE_INTERVAL = 5.0
STATUS_STYLES = {"SUCCEEDED": "green", "REUSED": "cyan", "SKIPPED": "dim", "FAILED": "bold red", "STOPPED": "yellow"}


def make_console(to_stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for tables where there is none."""
    console = Console(stderr=to_stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=140)


class Terminal(Observer):
    """Prints what happens in a run."""

    def __init__(self, to_stderr: bool = False) -> None:
        self.console = make_console(to_stderr)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._waiting: TaskID | None = None
        self._last_line = 0.0
        self._finished: set[str] = set()

    def __enter__(self) -> Terminal:
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bars.stop()

    def connecting(self, cluster: str) -> None:
        """A line that goes away again: starting takes some seconds."""
        if self.console.is_terminal:
            self._waiting = self._bars.add_task(f"starting {escape(cluster)}", total=None, rate="")

    def connected(self, dashboard: str, cluster: dict[str, Any]) -> None:
        """Dashboard first: people open it while the rest begins."""
        from fmnist_dask.cluster.connect import ssh_tunnel

        if self._waiting is not None:
            self._bars.remove_task(self._waiting)
        limit = cluster["memory_limit"]
        memory = f", {size(limit)} each" if limit else ""
        self.console.print(f"dashboard   [link={dashboard}]{dashboard}[/link]")
        if tunnel := ssh_tunnel(dashboard):
            self.console.print(f"            from elsewhere: {tunnel}")
        self.console.print(f"cluster     {cluster['class']}, {cluster['workers']} workers{memory}")

    def waiting(self, reason: str) -> None:
        """Why nothing happens."""
        self.console.print(f"waiting     {escape(reason)}")

    def lost(self, error: Exception) -> None:
        """At once; the run goes on when the cluster is there again."""
        self.console.print(f"[bold red]cluster lost:[/bold red] {escape(str(error))}\n            trying again")

    def ingesting(self, source: Source | PhotoSource, store: Path) -> None:
        """Name what was detected, and where it goes."""
        shape = " × ".join(map(str, source.image_shape))
        said = " [yellow](synthetic)[/yellow]" if source.synthetic else ""
        many = f", {source.n:,} images" if isinstance(source, Source) else ""
        self.console.print(f"source      {escape(source.name)}{said}: {source.kind}{many} of {shape}")
        self.console.print(f"            {escape(source.description)}")

    def collection(self, collection: Collection) -> None:
        """Path and size."""
        said = " [yellow](synthetic)[/yellow]" if collection.source.get("synthetic") else ""
        self.console.print(
            f"collection  {escape(collection.path)}{said}: {collection.n:,} images, "
            f"{size(collection.stored_bytes())} stored"
        )
        if collection.n_quarantined:
            self.console.print(
                f"            [yellow]{collection.n_quarantined:,} could not be read[/yellow]: "
                f"{escape(str(place_of(collection.path, QUARANTINE)))}"
            )
        if collection.dropped_duplicates is not None:
            dropped = sum(collection.dropped_duplicates.values())
            self.console.print(f"            {dropped:,} copies left out (drop_duplicates)")

    def raster(self, raster: Raster) -> None:
        """Path and size."""
        shape = " × ".join(map(str, raster.image_shape))
        said = " [yellow](synthetic)[/yellow]" if raster.source.get("synthetic") else ""
        self.console.print(
            f"photograph  {escape(raster.path)}{said}: {shape} in {raster.n_tiles:,} tiles, "
            f"{size(raster.stored_bytes())} stored"
        )

    def progress(self, names: list[str], progress: PassProgress) -> None:
        """A bar in a terminal, else a line now and then."""
        title = f"{progress.name} ({', '.join(names)})" if names != [progress.name] else progress.name
        rate = f"{progress.rate:,.0f} {progress.unit}/s"
        if self.console.is_terminal:
            if title not in self._tasks:
                self._tasks[title] = self._bars.add_task(escape(title), total=progress.total, rate=rate)
            self._bars.update(self._tasks[title], completed=progress.done, total=progress.total, rate=rate)
            return
        whole = progress.done >= progress.total
        now = time.monotonic()
        if (whole and title not in self._finished) or (not whole and now - self._last_line >= LINE_INTERVAL):
            self._last_line = now
            self._finished |= {title} if whole else set()
            eta = "" if whole or progress.eta is None else f", {progress.eta:,.0f} s left"
            self.console.print(f"{escape(title)}: {progress.done:,} of {progress.total:,} {progress.unit}, {rate}{eta}")

    def steps_failed(self, names: list[str], error: Exception) -> None:
        """At once, while others go on."""
        self.console.print(f"[bold red]{escape(', '.join(names))} failed:[/bold red] {escape(str(error))}")

    def ended(self, run: RunDirectory) -> None:
        """Summary table, and the report's path as the last line."""
        if self.console.is_terminal:
            self._bars.stop()
        manifest = run.manifest
        photograph = manifest["source"].get("kind") == "photograph"
        count = "" if photograph else "images"
        table = Table("step", "status", count, "seconds", "result", box=None, pad_edge=False, header_style="bold")
        for name, step in manifest["steps"].items():
            style = STATUS_STYLES.get(step["status"], "")
            used = f"{step['n_used']:,}" if step["n_used"] is not None and not photograph else ""
            seconds = f"{step['seconds']:.1f}" if step["seconds"] is not None else ""
            table.add_row(name, f"[{style}]{step['status']}[/]", used, seconds, escape(metric_words(step["metrics"])))
        self.console.print()
        self.console.print(table)
        peak = manifest.get("peak_worker_bytes")
        memory = f", at most {size(peak)} a worker" if peak and manifest["passes"] else ""
        self.console.print(
            f"\n{manifest['status']} in {manifest['seconds']:.1f} s, "
            f"{passes(manifest['passes'], 'photograph' if photograph else 'images')}{memory}"
        )
        if run.report.is_file():
            self.console.print(f"report      {escape(str(run.report))}")
        elif any(step["status"] in PUBLISHED for step in manifest["steps"].values()):
            self.console.print(f"report      {escape(f'none; fmnist-dask report {run.path} builds it')}")


def passes(count: int, what: str = "images") -> str:
    """``1 pass over the images``."""
    return "no pass was needed" if count == 0 else f"{count} pass{'es' if count > 1 else ''} over the {what}"


def metric_words(metrics: Mapping[str, Any]) -> str:
    """Metrics in one line; maps as ``name: key value / key value``."""
    words = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            text = " / ".join(f"{key} {_number(item)}" for key, item in value.items())
        else:
            text = _number(value)
        words.append(f"{name} {text}")
    return ", ".join(words)


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def size(count: float) -> str:
    """Bytes in a unit that people read: ``26.6 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 1000 or unit == "TB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    raise AssertionError


def print_collection(collection: Collection) -> None:
    """Facts of a collection, one a line."""
    console = make_console()
    synthetic = " (synthetic)" if collection.source.get("synthetic") else ""
    facts = {
        "path": collection.path,
        "source": f"{collection.name}{synthetic}, {collection.source.get('kind')}: {collection.source.get('path')}",
        "images": f"{collection.n:,} of shape {' × '.join(map(str, collection.image_shape))}, uint8",
        "splits": ", ".join(f"{name} {count:,}" for name, count in collection.splits.items()),
        "classes": ", ".join(collection.class_names) or "not labelled",
        "chunks": f"{collection.n_chunks:,} of {collection.chunk_rows:,} images",
        "bytes": f"{size(collection.n * collection.image_bytes)} of pixels, {size(collection.stored_bytes())} stored",
        "quarantined": f"{collection.n_quarantined:,}",
        "fingerprint": collection.fingerprint,
        "generation": str(collection.generation),
    }
    if collection.embedding_width:
        facts["embedding"] = f"{collection.embedding_width:,} values an image"
    if collection.missing_pixels:
        facts["missing"] = f"{collection.missing_pixels:,} pixels"
    if collection.dropped_duplicates is not None:
        facts["left out"] = ", ".join(f"{name} {count:,}" for name, count in collection.dropped_duplicates.items())
        facts["left out"] += " copies"
    for number, entry in enumerate(collection.appended, 1):
        facts[f"appended {number}"] = f"{entry['n']:,} images of {entry['path']} ({entry['kind']})"
    for name, value in facts.items():
        console.print(f"[bold]{name:<12}[/bold]{escape(value)}")


def print_raster(raster: Raster) -> None:
    """Facts of a photograph, one a line."""
    console = make_console()
    synthetic = " (synthetic)" if raster.source.get("synthetic") else ""
    facts = {
        "path": raster.path,
        "source": f"{raster.name}{synthetic}, {raster.source.get('kind')}: {raster.source.get('path')}",
        "pixels": f"{raster.n_pixels:,}: {' × '.join(map(str, raster.image_shape))}, uint8",
        "tiles": f"{raster.n_tiles:,} of {raster.tile[0]} × {raster.tile[1]}",
        "bytes": f"{size(math.prod(raster.image_shape))} of pixels, {size(raster.stored_bytes())} stored",
        "fingerprint": raster.fingerprint,
    }
    for name, value in facts.items():
        console.print(f"[bold]{name:<12}[/bold]{escape(value)}")


def print_workflows(files: Sequence[Path], steps: Mapping[str, Any]) -> None:
    """Shipped workflows with their first comment, and all steps with their parameters."""
    console = make_console()
    table = Table("workflow", "what it does", box=None, pad_edge=False, header_style="bold")
    for file in files:
        first = file.read_text(encoding="utf-8").split("\n")[0]
        table.add_row(file.stem, escape(first.lstrip("# ")))
    console.print(table)
    console.print()
    table = Table("step", "what it does", "parameters", box=None, pad_edge=False, header_style="bold")
    for name, step in steps.items():
        parameters = ", ".join(f"{key}={field.default!r}" for key, field in step.parameters.model_fields.items())
        table.add_row(name, escape(step.summary), escape(parameters))
    console.print(table)
