"""Where the time of a worker's threads goes: a ledger of each pass in each process, which the pass's end takes away.

A task's thread measures what it does; of blocks that lie inside each other, each counts its own time alone, so that
the parts of a task add up to the whole. What nobody measures is ``other``. Runs on workers; outside of a task, in the
driver for instance, nothing is measured.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fmnist_dask.passes.protocol import Column, Reduction

#: Reading and decoding blocks, and waiting for one that is read ahead.
DECODE, WAIT = "decode", "wait"
#: Reductions, columns (computed and written), merging of states, calls that are no pass.
KERNEL, COLUMNS, COMBINE, CALLS = "kernel", "columns", "combine", "calls"
#: Saving and loading states of row ranges.
SEGMENTS = "segments"
#: All else in a task.
OTHER = "other"
#: Reading and decoding that goes on in a thread of its own, while the task's thread works: no part of its time.
AHEAD = "ahead"
#: Kinds that count as a part of another where a whole is shared out.
PART_OF = {WAIT: DECODE, SEGMENTS: OTHER}
#: Ledgers that a process keeps. One of a pass that has failed is never asked for.
MOST_LEDGERS = 8
#: (kind, name) → seconds; only kernels have names.
Seconds: TypeAlias = dict[tuple[str, str], float]


class TaskTime:
    """Seconds of one task, by kind and, of kernels, by name. Belongs to the task's thread."""

    def __init__(self) -> None:
        self.seconds: Seconds = defaultdict(float)
        #: Seconds of what was measured inside the block that is open.
        self.inner = 0.0


@dataclass
class Ledger:
    """What the tasks of one pass have needed in this process.

    Attributes
    ----------
    peak_bytes
        Highest resident bytes during it that somebody else has asked for, who so began measuring anew.
    """

    seconds: Seconds = field(default_factory=lambda: defaultdict(float))
    tasks: int = 0
    peak_bytes: int = 0

    def by_kind(self) -> dict[str, float]:
        """Seconds of each kind."""
        return by_kind(self.seconds)

    def by_kernel(self) -> dict[str, float]:
        """Seconds of each kernel."""
        return {name: seconds for (kind, name), seconds in self.seconds.items() if kind == KERNEL}


_here = threading.local()
_lock = threading.Lock()
_open: dict[str, Ledger] = {}


def _current() -> TaskTime | None:
    current: TaskTime | None = getattr(_here, "task", None)
    return current


@contextmanager
def task_of(token: str) -> Iterator[TaskTime]:
    """Measure a task of the pass that is called so, in this thread."""
    outer, task = _current(), TaskTime()
    _here.task = task
    with _lock:
        ledger = _open.setdefault(token, Ledger())
        while len(_open) > MOST_LEDGERS:
            del _open[next(iter(_open))]
    began = time.perf_counter()
    try:
        yield task
    finally:
        task.seconds[OTHER, ""] += time.perf_counter() - began - task.inner
        _here.task = outer
        with _lock:
            ledger.tasks += 1
            for key, seconds in task.seconds.items():
                ledger.seconds[key] += seconds


@contextmanager
def measured(kind: str, name: str = "") -> Iterator[None]:
    """Count the time of the block, without what is measured inside it, as of one kind."""
    task = _current()
    if task is None:
        yield
        return
    outer, task.inner = task.inner, 0.0
    began = time.perf_counter()
    try:
        yield
    finally:
        elapsed = time.perf_counter() - began
        task.seconds[kind, name] += elapsed - task.inner
        task.inner = outer + elapsed


def note_ahead(seconds: float) -> None:
    """Count what another thread has read and decoded for this one meanwhile."""
    task = _current()
    if task is not None:
        task.seconds[AHEAD, ""] += seconds


def take_ledger(token: str, peak_bytes: int) -> Ledger:
    """The ledger of a pass, which this process then forgets.

    Parameters
    ----------
    peak_bytes
        Highest resident bytes since somebody asked last. It counts for the passes of others, too, that are under way.
    """
    with _lock:
        for ledger in _open.values():
            ledger.peak_bytes = max(ledger.peak_bytes, peak_bytes)
        taken = _open.pop(token, Ledger())
    taken.peak_bytes = max(taken.peak_bytes, peak_bytes)
    return taken


def name_of(item: Any) -> str:
    """Class of a reduction or column; of one around another, which sees other rows or features, that of the inner."""
    inner = getattr(item, "reduction", None) or getattr(item, "column", None)
    return name_of(inner) if isinstance(inner, Reduction | Column) else type(item).__name__


def by_kind(seconds: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Seconds of each kind, whatever their names."""
    kinds: dict[str, float] = {}
    for (kind, _), spent in seconds.items():
        kinds[kind] = kinds.get(kind, 0.0) + spent
    return kinds


def shared_out(kinds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the time of tasks' threads, by kinds that are no part of others."""
    parts: dict[str, float] = {}
    for kind, spent in kinds.items():
        if kind != AHEAD:
            whole = PART_OF.get(kind, kind)
            parts[whole] = parts.get(whole, 0.0) + spent
    return parts
