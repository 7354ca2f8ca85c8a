"""Plans on screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fmnist_dask.report.words import duration
from fmnist_dask.terminal import make_console, size


def print_plan(plan: Mapping[str, Any]) -> None:
    """The plan of a run as a table, with memory, disk and time that it will need."""
    console = make_console()
    _print_head(console, plan)
    console.print()
    console.print(_table(plan))
    console.print()
    _print_sums(console, plan)


def _print_head(console: Console, plan: Mapping[str, Any]) -> None:
    source, cluster = plan["source"], plan["cluster"]
    photograph = source["kind"] == "photograph"
    shape = " × ".join(map(str, source["image_shape"]))
    what = f"one photograph of {shape}" if photograph else f"{source['n']:,} images"
    console.print(f"source      {escape(source['name'])}: {what}, {size(source['pixel_bytes'])} of pixels")
    there = "there" if source["ingested"] else "to be ingested"
    console.print(f"{'stored' if photograph else 'collection':<12}{escape(source['collection'])} ({there})")
    limit = f", {size(cluster['memory_limit'])} each" if cluster["memory_limit"] else ""
    console.print(f"cluster     {cluster['class']}, {cluster['workers']:,} workers{limit}")


def _table(plan: Mapping[str, Any]) -> Table:
    timed = plan["seconds"] is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("work", "steps"):
        table.add_column(name)
    for name in ("times", "tasks", "chunks", "read", "a task", "a worker", *(["time"] if timed else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in _gathered(plan["work"]):
        table.add_row(
            escape(row["name"]),
            escape(", ".join(row["steps"])),
            f"{row['times']:,}",
            f"{row['tasks']:,}",
            f"{row['chunks']:,}" if row["chunks"] else "",
            size(row["bytes_read"]) if row["bytes_read"] else "",
            size(row["task_bytes"]),
            size(row["worker_bytes"]),
            *([_time(row["seconds"])] if timed else []),
        )
    return table


def _gathered(work: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What comes again later is one line, where it comes first."""
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in work:
        key = (row["name"], *row["steps"])
        if key not in lines:
            lines[key] = dict(row)
            continue
        line = lines[key]
        line["times"] += row["times"]
        line["seconds"] = None if None in (line["seconds"], row["seconds"]) else line["seconds"] + row["seconds"]
    return list(lines.values())


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)


def _print_sums(console: Console, plan: Mapping[str, Any]) -> None:
    images = "photograph" if plan["source"]["kind"] == "photograph" else "images"
    read = f"{plan['passes']:,}, which read {size(plan['bytes_read'])} of pixels"
    memory = size(plan["peak_worker_bytes"])
    if plan["cluster"]["memory_limit"]:
        memory += f" of {size(plan['cluster']['memory_limit'])}"
    disk, load = plan["disk_bytes"], plan["scheduler"]
    made = f"{size(disk['collection'])} for the collection, " if disk["collection"] else ""
    console.print(f"passes over the {images}: {read}")
    console.print(f"peak memory of a worker: {memory}")
    console.print(f"disk: {made}at most {size(disk['columns'])} for results of each image")
    busy = f"; {load['task_seconds'] * 1e3:.1f} ms each" if plan["seconds"] is not None else ""
    console.print(
        f"scheduler: {load['most_tasks']:,} tasks at most in one go ({escape(str(load['of']))}), "
        f"of {load['limit']:,} that it bears well; about {size(load['bytes'])}{busy}"
    )
    seconds = plan["seconds"]
    if seconds is not None:
        parts = ("startup", "ingest", "work", "results")
        said = ", ".join(f"{name} {duration(seconds[name])}" for name in parts if seconds[name])
        unknown = f"; not counted: {', '.join(dict.fromkeys(plan['untimed']))}" if plan["untimed"] else ""
        console.print(f"time: about {duration(seconds['total'])} ({said}{escape(unknown)})")
    for sentence in plan["assumptions"]:
        console.print(f"assumed: {escape(sentence)}")
