"""The work of a run in its manifest: an entry for each pass and each set of calls, those that are alike as one.

Entries stay for as long as results rest on them. Those of an earlier attempt, which was stopped or has lost its
cluster, go once all their steps begin anew; where one of them is reused, or goes on from its journal, they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from fmnist_dask.passes.account import SHARES, PassAccount
from fmnist_dask.workflow.rundir import RunDirectory
from fmnist_dask.workflow.story import INGEST

if TYPE_CHECKING:
    from fmnist_dask.passes.distributed import DistributedEngine

#: Fields of which the most counts; of other numbers, the sum.
_MOST = ("rows", "planned_worker_bytes", "peak_worker_bytes")
_SUMS = (
    "times",
    "tasks",
    "chunks",
    "bytes_read",
    "seconds",
    "spilled_bytes",
    "scheduler_seconds",
    "ahead_seconds",
    "wait_seconds",
    "segment_seconds",
)


def entry_of(account: PassAccount) -> dict[str, Any]:
    """An account as the manifest has it."""
    work = account.work
    return {
        "kind": "calls" if work.number is None else "pass",
        "steps": [name for name in work.steps if name] or [INGEST],
        "title": work.title,
        "times": 1,
        "rows": work.rows,
        "tasks": work.tasks,
        "chunks": work.chunks,
        "bytes_read": work.bytes_read,
        "seconds": account.seconds,
        "planned_worker_bytes": work.planned_worker_bytes or None,
        "peak_worker_bytes": account.peak_worker_bytes,
        "spilled_bytes": account.spilled_bytes,
        "scheduler_seconds": account.scheduler_seconds,
        "worker_seconds": dict(account.spent),
        "kernels": dict(account.kernels),
        "ahead_seconds": account.ahead_seconds,
        "wait_seconds": account.wait_seconds,
        "segment_seconds": account.segment_seconds,
    }


def add_work(entries: list[dict[str, Any]], account: PassAccount) -> None:
    """Enter an account; passes of an iterative algorithm, the same steps with the same work, become one entry."""
    new = entry_of(account)
    for entry in entries:
        if all(entry.get(name) == new[name] for name in ("kind", "steps", "title")):
            new = {**entry, **_merged(entry, new)}
            entry.update(new)
            break
    else:
        entry = new
        entries.append(entry)
    _finish(entry)


def _merged(entry: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    def both(name: str) -> list[Any]:
        return [value for value in (entry.get(name), new[name]) if value is not None]

    merged: dict[str, Any] = {name: max(both(name), default=None) for name in _MOST}
    merged |= {name: sum(both(name)) if both(name) else None for name in _SUMS}
    for name in ("worker_seconds", "kernels"):
        before, now = entry.get(name) or {}, new[name]
        merged[name] = {key: before.get(key, 0.0) + now.get(key, 0.0) for key in {**before, **now}}
    return merged


def _finish(entry: dict[str, Any]) -> None:
    """What follows from an entry's numbers, and fewer digits."""
    spent = entry["worker_seconds"]
    total = sum(spent.values())
    entry["shares"] = {name: round(spent.get(name, 0.0) / total, 4) for name in SHARES} if total else {}
    for name, value in entry.items():
        if isinstance(value, float):
            entry[name] = round(value, 5)
    for name in ("worker_seconds", "kernels"):
        entry[name] = {key: round(value, 5) for key, value in entry[name].items()}


def work_keeper(run: RunDirectory) -> Callable[[PassAccount], None]:
    """Enters accounts into a run's manifest, which is saved whenever a step has ended."""
    return lambda account: add_work(run.manifest.setdefault("work", []), account)


def forget_work(manifest: dict[str, Any], anew: Collection[str]) -> None:
    """Take away entries of earlier attempts on which no result will rest.

    Parameters
    ----------
    anew
        Steps that begin anew, with nothing that an earlier attempt has left.
    """
    known = {INGEST, *manifest["steps"]}
    manifest["work"] = [
        entry for entry in manifest.get("work") or [] if any(n in known and n not in anew for n in entry["steps"])
    ]


def worker_processes(engine: DistributedEngine, states: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each worker process that has answered, with the most memory that it has held and that any was planned to.

    Parameters
    ----------
    states
        Of workers that are there, by address.
    """
    peaks = dict(engine.book.peaks)
    there = {(address, state["pid"]): state["peak_bytes"] for address, state in states.items()}
    for worker, peak in there.items():
        peaks[worker] = max(peak, peaks.get(worker, 0))
    return [
        {
            "role": "worker",
            "address": address,
            "pid": pid,
            "peak_bytes": peak,
            "planned_bytes": engine.planned_worker_bytes,
            "lost": (address, pid) not in there,
        }
        for (address, pid), peak in peaks.items()
    ]
