"""Several algorithms' scans as one pass: equal reductions over the same rows are computed once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fmnist_dask.passes.protocol import Column, ColumnArray, Readable, Reduction, Scan, State, names_of


@dataclass(frozen=True)
class FusedScan:
    """What one pass computes, without repetition.

    Attributes
    ----------
    reductions
        (reduction, split code or None) of each distinct reduction.
    columns
        (column, split code or None) of each distinct column.
    """

    reductions: tuple[tuple[Reduction, int | None], ...]
    columns: tuple[tuple[Column, int | None], ...]

    def wants(self, start: int, stop: int) -> bool:
        """Whether anything needs rows ``start`` to ``stop``."""
        return any(stop > column.begins() for column, _ in self.columns) or any(
            reduction.wants(start, stop) for reduction, _ in self.reductions
        )

    @property
    def title(self) -> str:
        """What is computed, in a few words, for task names."""
        return names_of([item for item, _ in (*self.reductions, *self.columns)])

    def state_bytes(self, source: Readable) -> int:
        """Bytes of the merged states."""
        return sum(reduction.state_bytes(source) for reduction, _ in self.reductions)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Bytes of the states of a task over ``rows`` consecutive rows."""
        return sum(reduction.part_bytes(source, rows) for reduction, _ in self.reductions)

    def parameter_bytes(self) -> int:
        """Bytes that a worker holds of reductions and columns themselves, such as centres: as sent, and loaded."""
        return 2 * len(pickle.dumps(self))

    def scratch_bytes(self, source: Readable, rows: int) -> int:
        """Temporaries while one block is folded in: reductions take turns, columns too."""
        reductions = [reduction.task_bytes(source, rows) for reduction, _ in self.reductions]
        columns = [column.task_bytes(source, rows) for column, _ in self.columns]
        return max([*reductions, *columns], default=0)


@dataclass(frozen=True)
class Wiring:
    """Which of a pass's results each scan asked for, by position."""

    reductions: dict[str, dict[str, int]]
    columns: dict[str, dict[str, int]]

    def deliver(self, results: list[Any], columns: list[dict[str, ColumnArray]]) -> dict[str, dict[str, Any]]:
        """Hand each scan its results under the names it used."""
        return {
            scan: {
                **{name: results[position] for name, position in self.reductions[scan].items()},
                **{name: columns[position] for name, position in self.columns[scan].items()},
            }
            for scan in self.reductions
        }


@dataclass(frozen=True)
class PassOutcome:
    """What a pass has found.

    Attributes
    ----------
    states
        Merged state of each reduction.
    columns
        ``{variable: array}`` of each column.
    discard
        Lets go of what was kept in case the pass had to be run again; to be called once its answers are safe.
    """

    source: Readable
    fused: FusedScan
    wiring: Wiring
    states: list[State]
    columns: list[dict[str, ColumnArray]]
    discard: Callable[[], None] = lambda: None

    def answers(self) -> dict[str, dict[str, Any]]:
        """The results of each scan."""
        pairs = zip(self.fused.reductions, self.states, strict=True)
        results = [reduction.aggregate(state, self.source) for (reduction, _), state in pairs]
        return self.wiring.deliver(results, self.columns)

    def raw(self, scan: str) -> RawAnswer:
        """What the answer to one scan is made of."""
        return RawAnswer(
            {name: self.states[position] for name, position in self.wiring.reductions[scan].items()},
            {name: self.columns[position] for name, position in self.wiring.columns[scan].items()},
        )


@dataclass(frozen=True)
class RawAnswer:
    """States and columns by the names that a scan gave them, before anything is made of the states."""

    states: dict[str, State]
    columns: dict[str, dict[str, ColumnArray]]

    def answer(self, scan: Scan, source: Readable) -> dict[str, Any]:
        """The scan's result."""
        found = {name: scan.reductions[name].aggregate(state, source) for name, state in self.states.items()}
        return {**found, **self.columns}


def fuse(
    source: Readable, scans: Mapping[str, Scan], split_codes: Mapping[str, int | None]
) -> tuple[FusedScan, Wiring]:
    """Merge scans into one pass.

    Parameters
    ----------
    scans
        Name of the algorithm → its scan.
    split_codes
        Split name → code, for all splits that the scans name.
    """
    reductions: dict[tuple[Reduction, int | None], int] = {}
    columns: dict[tuple[Column, int | None], int] = {}
    wiring = Wiring({}, {})
    for name, scan in scans.items():
        code = split_codes[scan.split]
        wiring.reductions[name] = {
            key: reductions.setdefault((item, code), len(reductions)) for key, item in scan.reductions.items()
        }
        wiring.columns[name] = {
            key: columns.setdefault((item, code), len(columns)) for key, item in scan.columns.items()
        }
    return FusedScan(tuple(reductions), tuple(columns)), wiring
