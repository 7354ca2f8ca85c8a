"""States kept for the next generation of a collection: after an append only the new rows are read.

Rows of a collection never change, so that the state of its first n rows is good for whatever comes behind them. A pass
over a collection leaves such states beside it where they are small against what was read; a pass over a later
generation begins with them.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import STATES
from fmnist_dask.collection.place import is_remote
from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.encoding import NotEncodableError, read_value, write_value
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.identity import NotIdentifiableError, code_stamp, digest_of
from fmnist_dask.passes.protocol import Column, Readable, Reduction, State, Variable
from fmnist_dask.passes.worker import owned
from fmnist_dask.typing import AnyArray

logger = logging.getLogger(__name__)

#: States are kept of passes that read at least this many times their bytes.
INPUT_PER_KEPT_STATE = 16
#: Generations of which a state is kept.
KEPT_GENERATIONS = 2
SUFFIX = ".states"
#: Rows of a column that are copied at a time.
COPIED_ROWS = 1 << 18


@dataclass(frozen=True)
class Since(Reduction):
    """A reduction over the rows from ``row`` on: the state of those before is known."""

    reduction: Reduction
    row: int

    def initial(self, source: Readable) -> State:
        """As of no rows."""
        return self.reduction.initial(source)

    def chunk(self, state: State, block: Block) -> State:
        """Fold in what is new of a block."""
        later = block.since(self.row)
        return self.reduction.chunk(state, later) if len(later) else state

    def combine(self, left: State, right: State) -> State:
        """As the reduction does."""
        return self.reduction.combine(left, right)

    def state_bytes(self, source: Readable) -> int:
        """As the reduction's."""
        return self.reduction.state_bytes(source)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """As the reduction's."""
        return self.reduction.part_bytes(source, rows)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """As the reduction's."""
        return self.reduction.task_bytes(source, rows)

    def wants(self, start: int, stop: int) -> bool:
        """Whether there are new rows that the reduction wants."""
        return stop > self.row and self.reduction.wants(max(start, self.row), stop)


@dataclass(frozen=True)
class ColumnSince(Column):
    """A column of which the rows before ``row`` are known."""

    column: Column
    row: int

    def variables(self, source: Readable) -> dict[str, Variable]:
        """As the column's."""
        return self.column.variables(source)

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Values of a block's rows; none of them are known."""
        return self.column.compute(block)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """As the column's."""
        return self.column.task_bytes(source, rows)

    def begins(self) -> int:
        """First row to be computed."""
        return self.row


@dataclass(frozen=True)
class Known:
    """What is known of a pass before it begins.

    Attributes
    ----------
    fused
        The pass over what is not.
    states
        Position of a reduction → state of the rows before.
    columns
        Position of a column → variable → values of the rows before.
    """

    fused: FusedScan
    states: Mapping[int, State]
    columns: Mapping[int, Mapping[str, AnyArray]]

    def merged(self, states: Sequence[State]) -> list[State]:
        """States of all rows."""
        pairs = zip(self.fused.reductions, states, strict=True)
        return [
            reduction.combine(owned(self.states[at]), state) if at in self.states else state
            for at, ((reduction, _), state) in enumerate(pairs)
        ]

    def fill(self, columns: Sequence[Mapping[str, Any]]) -> None:
        """Write the known rows of columns to where the pass writes the others."""
        for position, variables in self.columns.items():
            for name, values in variables.items():
                for start in range(0, len(values), COPIED_ROWS):
                    part = np.asarray(values[start : start + COPIED_ROWS])
                    columns[position][name][start : start + len(part)] = part


@dataclass(frozen=True)
class KeptStates:
    """The states that lie beside a collection.

    Attributes
    ----------
    root
        Their directory; one of this release's code.
    identity
        What a state depends on, besides its reduction.
    n
        Rows of the collection now.
    """

    root: Path
    identity: tuple[Any, ...]
    n: int

    @classmethod
    def of(cls, source: Readable) -> KeptStates | None:
        """Those of a collection on disk; ``None`` of anything else, and of one in an object store."""
        if not isinstance(source, Collection) or is_remote(source.path):
            return None
        identity = (source.origin, source.image_shape, source.class_names, tuple(source.splits))
        return cls(Path(source.path, STATES, code_stamp()), identity, source.n)

    def key(self, item: Reduction | Column, split: int | None) -> str | None:
        """Name of a state; ``None`` of one that is not kept."""
        kept = item.kept_as()
        return None if kept is None else self.key_of((kept, split))

    def key_of(self, what: Any) -> str | None:
        """Name of what is told from others by a value; ``None`` if another process could not name it again."""
        try:
            return digest_of((what, self.identity))
        except NotIdentifiableError:
            return None

    def rows_known(self, key: str) -> int:
        """Rows of the latest state of an earlier generation; 0 if there is none."""
        return max((rows for rows in self._there(key) if rows < self.n), default=0)

    def _there(self, key: str) -> list[int]:
        names = (file.name.removesuffix(SUFFIX).rpartition("-")[2] for file in self.root.glob(f"{key}-*"))
        return [int(name) for name in names if name.isdigit()]

    def place(self, key: str, rows: int) -> Path:
        """File of a state, or directory of a column."""
        return self.root / f"{key}-{rows}"

    def value(self, key: str) -> tuple[int, Any]:
        """Rows and state of the latest earlier generation; 0 and ``None`` if there is none that is whole."""
        rows = self.rows_known(key)
        try:
            return (rows, read_value(self._file(key, rows))) if rows else (0, None)
        except (OSError, ValueError) as error:
            logger.warning("%s is read again: %s", key, error)
            return 0, None

    def _file(self, key: str, rows: int) -> Path:
        return self.root / f"{key}-{rows}{SUFFIX}"

    def known(self, fused: FusedScan, load: bool = True) -> Known:
        """What is known of a pass.

        Parameters
        ----------
        load
            False to find out only what is left to be read.
        """
        states, columns = {}, {}
        reductions, written = list(fused.reductions), list(fused.columns)
        for at, (reduction, split) in enumerate(fused.reductions):
            key = self.key(reduction, split)
            rows, state = (0, None) if key is None else self.value(key) if load else (self.rows_known(key), None)
            if rows:
                reductions[at], states[at] = (Since(reduction, rows), split), state
        for at, (column, split) in enumerate(fused.columns):
            key = self.key(column, split)
            rows = 0 if key is None else self.rows_known(key)
            if key is not None and rows:
                try:
                    arrays = {file.stem: np.load(file, "r") for file in self.place(key, rows).glob("*.npy")}
                except (OSError, ValueError):
                    continue
                if all(len(values) == rows for values in arrays.values()) and arrays:
                    written[at], columns[at] = (ColumnSince(column, rows), split), arrays
        return Known(replace(fused, reductions=tuple(reductions), columns=tuple(written)), states, columns)

    def keep(self, fused: FusedScan, states: Sequence[State], columns: Sequence[Mapping[str, Any]], read: int) -> None:
        """Keep what a pass over all rows has found, where that is small against the ``read`` bytes of all pixels."""
        for at, (reduction, split) in enumerate(fused.reductions):
            key = self.key(reduction, split)
            if key is not None:
                self.save(key, states[at], read)
        for at, (column, split) in enumerate(fused.columns):
            key = self.key(column, split)
            if key is not None:
                self._save_column(key, columns[at], read)
        self.sweep()

    def save(self, key: str, state: State, read: int) -> None:
        """Keep one state; one that cannot be written is computed again some day."""
        if self._file(key, self.n).exists() or _bytes_of(state) * INPUT_PER_KEPT_STATE > read:
            return
        try:
            write_value(self._file(key, self.n), state)
        except (OSError, NotEncodableError) as error:
            logger.debug("%s is not kept: %s", key, error)
            return
        self._drop_older(key)

    def _save_column(self, key: str, variables: Mapping[str, Any], read: int) -> None:
        place = self.place(key, self.n)
        firsts = {name: np.asarray(values[0:1]) for name, values in variables.items()}
        if place.exists() or self.n * sum(first.nbytes for first in firsts.values()) * INPUT_PER_KEPT_STATE > read:
            return
        pending = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
        try:
            pending.mkdir(parents=True)
            for name, first in firsts.items():
                target = np.lib.format.open_memmap(
                    pending / f"{name}.npy", "w+", dtype=first.dtype, shape=(self.n, *first.shape[1:])
                )
                for start in range(0, self.n, COPIED_ROWS):
                    target[start : start + COPIED_ROWS] = variables[name][start : min(start + COPIED_ROWS, self.n)]
                target.flush()
            pending.rename(place)
        except OSError as error:
            logger.debug("%s is not kept: %s", key, error)
            shutil.rmtree(pending, ignore_errors=True)
            return
        self._drop_older(key)

    def _drop_older(self, key: str) -> None:
        for rows in sorted(self._there(key))[:-KEPT_GENERATIONS]:
            self._file(key, rows).unlink(missing_ok=True)
            shutil.rmtree(self.place(key, rows), ignore_errors=True)

    def forget(self) -> None:
        """Take all states away: the next pass reads everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def sweep(self) -> None:
        """Take away what code of another release has kept: nobody else would."""
        for other in self.root.parent.glob("*"):
            if other != self.root:
                shutil.rmtree(other, ignore_errors=True)


def _bytes_of(state: State) -> int:
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, dict):
        return sum(_bytes_of(value) for value in state.values())
    if isinstance(state, (list, tuple)):
        return sum(map(_bytes_of, state))
    return 64
