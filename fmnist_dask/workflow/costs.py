"""The section "Performance" of a report: where the time and the memory of a run went, from its manifest alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.workflow.provenance import as_mapping, known_facts

if TYPE_CHECKING:
    from fmnist_dask.report.page import Facts, Figure, Section, Table

#: Rows of tables and bars of the figure; the largest stand for themselves, the rest is summed up.
MOST_ROWS, MOST_BARS, MOST_PROCESSES, MOST_KERNELS = 20, 12, 16, 8
#: What the workers' time is shared among: key in the manifest, words, colour.
PARTS = (
    ("decode", "reading and decoding", "#0072B2"),
    ("kernel", "reductions", "#009E73"),
    ("columns", "columns", "#56B4E9"),
    ("combine", "merging states", "#CC79A7"),
    ("calls", "calls", "#E69F00"),
    ("other", "the rest of Dask's tasks", "#7A7A7A"),
    ("idle", "no task", "#dfe3e8"),
)
Entry = Mapping[str, Any]


def performance(manifest: Mapping[str, Any]) -> Section | None:
    """What a run has cost; fields that a manifest of an older version does not have are left out."""
    from fmnist_dask.report.page import ORDER_PERFORMANCE, Section

    work = _entries(manifest, "work")
    found = [
        _facts(manifest, work),
        _kernel_facts(work),
        _figure(work),
        _work_table(work),
        _process_table(_entries(manifest, "processes")),
    ]
    blocks: tuple[Any, ...] = tuple(block for block in found if block is not None)
    if not blocks:
        return None
    return Section(
        title="Performance",
        anchor="performance",
        lead="Where the time went, and how much memory the processes took against the plan.",
        blocks=blocks,
        order=ORDER_PERFORMANCE,
    )


def _entries(manifest: Mapping[str, Any], name: str) -> list[Entry]:
    entries = manifest.get(name)
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _facts(manifest: Mapping[str, Any], work: Sequence[Entry]) -> Facts | None:
    from fmnist_dask.report.blocks import Facts
    from fmnist_dask.report.words import duration, size

    photograph = as_mapping(manifest.get("source")).get("kind") == "photograph"
    seconds, read = manifest.get("seconds"), manifest.get("bytes_read")
    rate = f"{read / seconds / 1e6:,.1f} MB/s over the whole run" if seconds and read else None
    planned, peak = manifest.get("planned_worker_bytes"), manifest.get("peak_worker_bytes")
    memory = f"{size(peak)} at most" if peak else ""
    if planned:
        memory = f"{memory}{', ' if memory else ''}{size(planned)} planned"
    busy = sum(map(_seconds, work))
    pairs = known_facts(
        [
            ("time", duration(seconds)),
            ("passes and calls", duration(busy) if busy else None),
            (f"passes over the {'photograph' if photograph else 'images'}", manifest.get("passes")),
            ("read", size(read)),
            ("throughput", rate),
            ("memory of a worker", memory),
            ("memory of the driver", size(manifest.get("peak_driver_bytes"))),
            ("spilled", size(manifest.get("spilled_bytes")) if manifest.get("spilled_bytes") else None),
            ("workers started again", manifest.get("worker_restarts") or None),
            ("scheduler", _scheduler_words(manifest, work)),
        ]
    )
    return Facts(tuple(pairs), "Speed and memory") if pairs else None


def _scheduler_words(manifest: Mapping[str, Any], work: Sequence[Entry]) -> str | None:
    from fmnist_dask.report.words import duration, share

    told = [entry for entry in work if entry.get("scheduler_seconds")]
    if not told:
        return None
    used = sum(float(entry["scheduler_seconds"]) for entry in told)
    shared = any(entry.get("in_driver") for entry in _entries(manifest, "processes"))
    with_client = ", the client included" if shared else ""  # they share one event loop
    return f"{duration(used)} of processor time{with_client}; {share(used, sum(map(_seconds, told)))}"


def _seconds(entry: Entry) -> float:
    return float(entry.get("seconds") or 0)


def _largest(entries: Sequence[Entry], most: int) -> tuple[list[Entry], list[Entry]]:
    """Entries that took longest, in the order of the run, and those left over; one is not left over alone."""
    if len(entries) <= most:
        return list(entries), []
    ranked = sorted(range(len(entries)), key=lambda at: -_seconds(entries[at]))[: most - 1]
    return [entries[at] for at in sorted(ranked)], [entry for at, entry in enumerate(entries) if at not in set(ranked)]


def _who(entry: Entry, most: int = 3) -> str:
    from fmnist_dask.report.words import count, listing

    steps = [str(step) for step in entry.get("steps") or ()]
    rest = len(steps) - most
    return listing(steps if rest < 2 else [*steps[:most], f"{count(rest)} more"]) or "–"


def _what(entry: Entry, most: int = 3) -> str:
    """What was computed: classes of reductions and columns, or what calls are for."""
    names = str(entry.get("title") or "–").split("+")
    rest = len(names) - most
    return " + ".join(names if rest < 2 else [*names[:most], f"{rest} more"])


def _bar_name(entry: Entry) -> str:
    from fmnist_dask.report.figures.shares import NAME_LENGTH

    times = int(entry.get("times") or 1)
    who = _who(entry, 1)
    if entry.get("kind") == "pass":
        name = f"{who}: {f'{times:,} passes' if times > 1 else 'a pass'}"
        full = f"{name}, {_what(entry, 1)}"
        return full if len(full) <= NAME_LENGTH else name
    title = str(entry.get("title") or "calls")
    return f"{who}: {title}" if title != who else f"{who}: calls"


def _figure(work: Sequence[Entry]) -> Figure | None:
    from fmnist_dask.report.blocks import Figure, Swatch
    from fmnist_dask.report.figures.shares import Part, share_bars
    from fmnist_dask.report.words import count, duration

    told = [entry for entry in work if sum(as_mapping(entry.get("worker_seconds")).values()) > 0]
    if not told:
        return None
    shown, rest = _largest(told, MOST_BARS)
    names, groups = [_bar_name(entry) for entry in shown], [[entry] for entry in shown]
    if rest:
        names, groups = [*names, f"{count(len(rest), 'other')}, each shorter"], [*groups, rest]
    amounts = np.array(
        [
            [sum(float(as_mapping(entry["worker_seconds"]).get(key, 0)) for entry in group) for key, _, _ in PARTS]
            for group in groups
        ]
    )
    used = [at for at in range(len(PARTS)) if amounts[:, at].any()]
    amounts = amounts[:, used]
    parts = [Part(PARTS[at][1], PARTS[at][2]) for at in used]
    texts = [duration(sum(map(_seconds, group))) for group in groups]
    written = [[duration(amount) for amount in row] for row in amounts.tolist()]
    ahead = sum(float(entry.get("ahead_seconds") or 0) for entry in told)
    total = amounts.sum(axis=0).tolist()
    return Figure(
        share_bars(names, texts, amounts, written, parts, "share of the workers' time"),
        title="What the workers' threads did",
        caption="Each bar is the time of all workers' threads from the plan of a pass, or a set of calls, to its last "
        "answer; behind its name, what the clock said. Waiting for a chunk that is read ahead counts as reading."
        + (f" Beside the tasks, threads that read ahead decoded for {duration(ahead)}." if ahead else ""),
        legend=tuple(
            Swatch(part.colour, part.name, duration(seconds)) for part, seconds in zip(parts, total, strict=True)
        ),
    )


def _work_table(work: Sequence[Entry]) -> Table | None:
    from fmnist_dask.report.blocks import Table
    from fmnist_dask.report.words import count, duration, size

    if not work:
        return None
    shown, rest = _largest(work, MOST_ROWS)
    rows = []
    for entry in shown:
        seconds, read = _seconds(entry), entry.get("bytes_read") or 0
        planned, peak = entry.get("planned_worker_bytes"), entry.get("peak_worker_bytes")
        rows.append(
            (
                _who(entry),
                _what(entry),
                f"{int(entry.get('times') or 1):,}",
                duration(seconds),
                size(read) if read else "–",
                f"{read / seconds / 1e6:,.0f}" if read and seconds else "–",
                size(planned),
                size(peak),
                _of_plan(peak, planned),
            )
        )
    if rest:
        spent = sum(map(_seconds, rest))
        rows.append((count(len(rest), "other"), "each shorter", "", duration(spent), *("",) * 5))
    return Table(
        ("steps", "work", "times", "time", "read", "MB/s", "planned", "measured", "of plan"),
        tuple(rows),
        text_columns=2,
        caption="Steps that wait for the images at the same moment share a pass; passes of the same steps with the "
        "same work are one row. Planned and measured: memory of the largest worker, its idle process included.",
    )


def _of_plan(peak: Any, planned: Any) -> str:
    return f"{100 * peak / planned:.0f} %" if peak and planned else "–"


def _kernel_facts(work: Sequence[Entry]) -> Facts | None:
    """Reductions by what they took, those of all passes together."""
    from fmnist_dask.report.blocks import Facts
    from fmnist_dask.report.words import duration, share

    seconds: dict[str, float] = {}
    for entry in work:
        for name, spent in as_mapping(entry.get("kernels")).items():
            seconds[str(name)] = seconds.get(str(name), 0.0) + float(spent)
    if not seconds:
        return None
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda pair: -pair[1])
    pairs = [(name, f"{duration(spent)}, {share(spent, total)}") for name, spent in ranked[:MOST_KERNELS]]
    rest = [spent for _, spent in ranked[MOST_KERNELS:]]
    if rest:
        pairs.append((f"{len(rest)} more", f"{duration(sum(rest))}, {share(sum(rest), total)}"))
    return Facts(tuple(pairs), "Reductions, seconds of one thread")


def _process_table(processes: Sequence[Entry]) -> Table | None:
    from fmnist_dask.report.blocks import Table
    from fmnist_dask.report.words import count, size

    if not processes:
        return None
    ranked = sorted(processes, key=lambda entry: (_rank(entry), -(entry.get("peak_bytes") or 0)))
    others = [entry for entry in ranked if entry.get("role") != "worker"]
    workers = [entry for entry in ranked if entry.get("role") == "worker"]
    shown = [*workers[:MOST_PROCESSES], *others]
    rows = []
    for entry in shown:
        peak, planned = entry.get("peak_bytes"), entry.get("planned_bytes")
        place = str(entry.get("address") or entry.get("host") or "–")
        rows.append(
            (
                _process_name(entry),
                place,
                str(entry.get("pid") or "–"),
                size(peak),
                size(planned),
                _of_plan(peak, planned),
            )
        )
    if len(workers) > MOST_PROCESSES:
        left = workers[MOST_PROCESSES:]
        peak = max(entry.get("peak_bytes") or 0 for entry in left)
        rows.insert(MOST_PROCESSES, (count(len(left), "other worker"), "each less", "", size(peak), "", ""))
    return Table(
        ("process", "where", "pid", "peak memory", "planned", "of plan"),
        tuple(rows),
        text_columns=2,
        caption="Highest resident memory while the run lasted; a worker's from when it was ready for tasks.",
    )


def _rank(entry: Entry) -> int:
    roles = ("worker", "nanny", "scheduler", "driver")
    return roles.index(entry["role"]) if entry.get("role") in roles else len(roles)


def _process_name(entry: Entry) -> str:
    name = str(entry.get("role") or "–")
    if entry.get("in_driver"):
        return f"{name}, in the driver's process"
    return f"{name}, lost" if entry.get("lost") else name
