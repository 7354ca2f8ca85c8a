"""What people see of runs that go on without their terminal: tables, and a view that lives while they watch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fmnist_dask.jobs.status import Watched, ended
from fmnist_dask.terminal import LINE_INTERVAL, STATUS_STYLES, make_console, metric_words, size
from fmnist_dask.workflow.story import read_words

#: Seconds between two looks at a run.
LOOK_INTERVAL = 0.5
BAR_WIDTH = 20
#: Heights of a curve's points.
BLOCKS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 24
STYLES = {**STATUS_STYLES, "RUNNING": "bold blue", "PENDING": "dim"}


def watch_run(path: Path) -> dict[str, Any]:
    """Show a run until it has ended; the last snapshot."""
    console, watched = make_console(), Watched(path)
    if not console.is_terminal:
        return _lines(console, watched)
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            snapshot = watched.look()
            live.update(status_view(snapshot), refresh=True)
            if ended(snapshot):
                return snapshot
            time.sleep(LOOK_INTERVAL)


def _lines(console: Console, watched: Watched) -> dict[str, Any]:
    """Plain lines now and then, where there is no terminal to redraw."""
    last, told = 0.0, ""
    while True:
        snapshot = watched.look()
        over, now = ended(snapshot), time.monotonic()
        line = one_line(snapshot)
        if over or (now - last >= LINE_INTERVAL and line != told):
            last, told = now, line
            console.print(escape(line))
        if over:
            console.print(status_view(snapshot))
            return snapshot
        time.sleep(LOOK_INTERVAL)


def one_line(snapshot: Mapping[str, Any]) -> str:
    """A run in one line."""
    steps = snapshot["steps"]
    done = sum(step["status"] in ("SUCCEEDED", "REUSED") for step in steps)
    at_work = [f"{step['name']} {_progress_words(step)}".strip() for step in steps if step["status"] == "RUNNING"]
    words = [f"{snapshot['run']}: {snapshot['status']}, {done} of {len(steps)} steps done", *at_work[:1]]
    if len(at_work) > 1:
        words.append(f"and {len(at_work) - 1} more")
    return "; ".join(words)


def _progress_words(step: Mapping[str, Any]) -> str:
    if not step["total"]:
        return ""
    left = f", {duration(step['eta'])} left" if step["eta"] else ""
    return f"{step['done']:,} of {step['total']:,} {step['unit']}, {step['per_second']:,.0f}/s{left}"


def print_status(snapshot: Mapping[str, Any]) -> None:
    """A run as it is at this moment."""
    make_console().print(status_view(snapshot))


def status_view(snapshot: Mapping[str, Any]) -> RenderableType:
    """Headline, facts, steps, curves and errors of a run."""
    parts: list[RenderableType] = [_headline(snapshot), _facts(snapshot), Text(), _steps(snapshot)]
    curves = _curves(snapshot)
    if curves.row_count:
        parts += [Text(), curves]
    if snapshot["errors"] or snapshot["error"]:
        parts.append(Text())
        told = {str(error["error"]) for error in snapshot["errors"]}
        for error in snapshot["errors"]:
            where = f"{error['step']}: " if error["step"] else ""
            parts.append(Text.from_markup(f"[red]{escape(where + str(error['error']))}[/red]"))
        if snapshot["error"] and not any(text in str(snapshot["error"]) for text in told):
            parts.append(Text.from_markup(f"[red]{escape(str(snapshot['error']))}[/red]"))
    if snapshot["report"] and ended(snapshot):
        parts += [Text(), Text(f"report      {snapshot['report']}")]
    if ended(snapshot) and snapshot["status"] != "SUCCEEDED":
        parts.append(Text(f"go on       fmnist-dask resume {snapshot['path']}"))
    return Group(*parts)


def _headline(snapshot: Mapping[str, Any]) -> Text:
    status = snapshot["status"]
    seconds = snapshot["seconds"] if ended(snapshot) else _since(snapshot["started"])
    took = f"   {duration(seconds)}" if seconds is not None else ""
    return Text.from_markup(
        f"[bold]{escape(str(snapshot['run']))}[/bold]   [{STYLES.get(status, '')}]{status}[/]{took}"
    )


def _facts(snapshot: Mapping[str, Any]) -> RenderableType:
    source, cluster, memory, driver = (snapshot[name] or {} for name in ("source", "cluster", "memory", "driver"))
    grid = Table.grid(padding=(0, 2))
    images = read_words(source)
    images += " (synthetic)" if source.get("synthetic") else ""
    if snapshot["n_quarantined"]:
        images += f", {snapshot['n_quarantined']:,} could not be read"
    grid.add_row("images", escape(images))
    if driver.get("pid") and snapshot["alive"]:
        beat = f"alive {snapshot['heartbeat']:.0f} s ago"
        grid.add_row("driver", escape(f"process {driver['pid']} on {driver['host']}, {beat}"))
    if cluster.get("class"):
        grid.add_row("cluster", escape(f"{cluster['class']}, {cluster['workers']} workers, {cluster['address'] or ''}"))
    if snapshot["dashboard"] and not ended(snapshot):
        grid.add_row("dashboard", escape(snapshot["dashboard"].replace("/status", "/workflows")))
    peak = max(memory.get("worker_bytes") or [memory.get("peak_worker_bytes") or 0])
    if peak:
        limit = f" of {size(memory['limit'])}" if memory.get("limit") else ""
        word = "largest worker now" if not ended(snapshot) else "at most"
        peak = peak if not ended(snapshot) else memory.get("peak_worker_bytes") or peak
        grid.add_row("memory", f"{word} {size(peak)}{limit}")
    return grid


def _steps(snapshot: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "status", "progress", "", "a second", "left", "result"):
        table.add_column(name, no_wrap=name not in ("result",), overflow="fold")
    for step in snapshot["steps"]:
        bar, count, rate, left = "", "", "", ""
        if step["status"] == "RUNNING" and step["total"]:
            filled = round(BAR_WIDTH * step["done"] / step["total"])
            bar = "━" * filled + f"[dim]{'━' * (BAR_WIDTH - filled)}[/dim]"
            unit = "" if step["unit"] == "images" else f" {step['unit']}"
            count = f"{step['done']:,}/{step['total']:,}{unit}"
            if step["chunks_total"]:
                count += f"\n{step['chunks_done']:,}/{step['chunks_total']:,} chunks"
            rate = f"{step['per_second']:,.0f}"
            left = duration(step["eta"]) if step["eta"] is not None else ""
        elif step["seconds"] is not None:
            count = duration(step["seconds"])
        status = step["status"]
        result = metric_words(step["metrics"] or {}) or (step["error"] or "")
        table.add_row(
            escape(step["name"]), f"[{STYLES.get(status, '')}]{status}[/]", bar, count, rate, left, escape(result)
        )
    return table


def _curves(snapshot: Mapping[str, Any]) -> Table:
    """What converges, as small curves; only of steps that are at work, or of all where nothing is any more."""
    table = Table.grid(padding=(0, 2))
    for step in snapshot["steps"]:
        for name, values in step["curves"].items():
            if len(values) >= 2:
                table.add_row(escape(f"{step['name']} {name}"), sparkline(values), f"{values[-1]:,.6g}")
    return table


def sparkline(values: Sequence[float]) -> str:
    """A curve in one line; the last values if there are many."""
    shown = list(values[-CURVE_WIDTH:])
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in shown)


def duration(seconds: float | None) -> str:
    """``12 s``, ``3:05``, ``2:10:00``."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:,.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _since(moment: str | None) -> float | None:
    if not moment:
        return None
    return max((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds(), 0.0)


def print_runs(found: Sequence[Mapping[str, Any]], directory: str) -> None:
    """Runs, one a line."""
    console = make_console()
    if not found:
        console.print(f"no runs in {escape(directory)}/; begin one: fmnist-dask run explore")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "status", "steps", "images", "started", "time"):
        table.add_column(name, no_wrap=True)
    for run in found:
        status = run["status"]
        seconds = run["seconds"] if run["seconds"] is not None and not run["alive"] else _since(run["started"])
        took = duration(seconds) if run["alive"] or run["seconds"] is not None else ""
        started = str(run["started"] or "")[:19].replace("T", " ")
        table.add_row(
            escape(str(run["run"])),
            f"[{STYLES.get(status, '')}]{status}[/]",
            f"{run['steps_done']}/{run['steps']}",
            f"{run['n'] or 0:,}",
            started,
            took,
        )
    console.print(table)


def print_clusters(found: Sequence[Mapping[str, Any]]) -> None:
    """Clusters, one a line."""
    console = make_console()
    if not found:
        console.print("no clusters are kept alive; start one: fmnist-dask cluster start local-processes")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cluster", "host", "class", "workers", "address", "dashboard", "started"):
        table.add_column(name, no_wrap=True)
    for cluster in found:
        table.add_row(
            escape(cluster["name"]),
            escape(cluster["host"]),
            escape(cluster["class_name"]),
            str(cluster["workers"]),
            cluster["address"],
            cluster["dashboard"],
            cluster["started"].replace("T", " "),
        )
    console.print(table)
