"""Segments of a long pass: the states of row ranges, saved by workers, so that a pass that is run again goes on.

What is saved belongs to one reduction (or column) over one split of one source, whatever else shared the pass. A range
is used again where all that a pass needs of it is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmnist_dask.passes.encoding import is_whole, read_value, write_value
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.identity import NotIdentifiableError, code_stamp, digest_of
from fmnist_dask.passes.protocol import Readable, State

#: A segment reads at least this many bytes for each thread of the cluster: some seconds of work.
SEGMENT_BYTES = 256 * 2**20
#: A segment reads at least this many times the bytes of its states, so that saving them stays a small part.
INPUT_PER_SAVED_STATE = 64
SUFFIX = ".states"

#: Chunks from the first to before the last.
Span = tuple[int, int]


@dataclass(frozen=True)
class SegmentStore:
    """Where the ranges of one pass lie. Sent to workers.

    Attributes
    ----------
    root
        Directory, seen by driver and workers.
    keys
        Of each reduction, then of each column of the pass: the directory with its ranges.
    n_reductions
        How many of them are reductions. Of a column only the fact is kept that its rows are written.
    """

    root: str
    keys: tuple[str, ...]
    n_reductions: int

    @classmethod
    def of(cls, root: Path, source: Readable, fused: FusedScan, column_keys: Sequence[str]) -> SegmentStore | None:
        """The store of a pass; ``None`` if one of its reductions cannot be found again."""
        try:
            keys = [digest_of((reduction, split, source, code_stamp())) for reduction, split in fused.reductions]
        except NotIdentifiableError:
            return None
        return cls(str(root), (*keys, *column_keys), len(keys))

    def spans(self) -> list[Span]:
        """Ranges that are there for everything in the pass; disjoint and ascending."""
        common: set[str] | None = None
        for key in self.keys:
            there = {file.name for file in Path(self.root, key).glob(f"*{SUFFIX}")}
            common = there if common is None else common & there
        # Of ranges that begin at the same chunk the longest is worth most.
        found = sorted((_span_of(name) for name in common or ()), key=lambda span: (span[0], -span[1]))
        chosen: list[Span] = []
        for span in found:
            free = not chosen or chosen[-1][1] <= span[0]
            if free and all(is_whole(self._file(key, span)) for key in self.keys):
                chosen.append(span)
        return chosen

    def save(self, span: Span, states: Sequence[State]) -> None:
        """Save the states of a range whose columns are written."""
        for position, key in enumerate(self.keys):
            write_value(self._file(key, span), states[position] if position < self.n_reductions else None)

    def load(self, span: Span) -> list[State]:
        """The states of a range.

        Raises
        ------
        ValueError, OSError
            They are damaged, or gone.
        """
        return [read_value(self._file(key, span)) for key in self.keys[: self.n_reductions]]

    def discard(self) -> None:
        """Take everything away that was saved for this pass."""
        for key in self.keys:
            shutil.rmtree(Path(self.root, key), ignore_errors=True)

    def _file(self, key: str, span: Span) -> Path:
        return Path(self.root, key, f"{span[0]}-{span[1]}{SUFFIX}")


@dataclass(frozen=True)
class Part:
    """Consecutive tasks whose states are merged first, or a range whose states are saved.

    Attributes
    ----------
    tasks
        Numbers of the tasks; none for a range that is there.
    span
        The chunks.
    saved
        Whether the states are to be saved, or are there.
    """

    tasks: tuple[int, ...]
    span: Span
    saved: bool = False


def cut_segments(
    tasks: Sequence[Sequence[int]], spans: Sequence[Span], chunk_bytes: int, state_bytes: int, threads: int
) -> list[Part]:
    """Cut a pass into segments, in row order, with the ranges that are there in their places.

    Parameters
    ----------
    tasks
        Chunks of each task.
    spans
        Ranges that are there; no task reaches over one.
    """
    least = max(SEGMENT_BYTES * threads, INPUT_PER_SAVED_STATE * state_bytes)
    parts: list[Part] = [Part((), span, saved=True) for span in spans]
    gap: list[int] = []
    for number, task in enumerate(tasks):
        if gap and any(tasks[gap[-1]][-1] < start <= task[0] for start, _ in spans):
            parts += _segments(tasks, gap, chunk_bytes, least)
            gap = []
        gap.append(number)
    parts += _segments(tasks, gap, chunk_bytes, least)
    if len(parts) == 1 and parts[0].tasks:
        return [Part(parts[0].tasks, parts[0].span)]  # once it could be saved the pass is done
    return sorted(parts, key=lambda part: part.span)


def _segments(tasks: Sequence[Sequence[int]], gap: list[int], chunk_bytes: int, least: int) -> list[Part]:
    """Segments of the tasks between two ranges that are there; what is left over goes to the last one."""
    groups: list[list[int]] = [[]]
    read = 0
    for number in gap:
        if read >= least:
            groups.append([])
            read = 0
        groups[-1].append(number)
        read += len(tasks[number]) * chunk_bytes
    if read < least and len(groups) > 1:
        left_over = groups.pop()
        groups[-1] += left_over
        read = least
    return [
        Part(tuple(group), (tasks[group[0]][0], tasks[group[-1]][-1] + 1), saved=len(groups) > 1 or read >= least)
        for group in groups
        if group
    ]


def _span_of(name: str) -> Span:
    start, _, stop = name.removesuffix(SUFFIX).partition("-")
    return (int(start), int(stop)) if start.isdigit() and stop.isdigit() else (0, 0)
