"""The labels of all rows, and the features of some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.sizing import row_bytes

State = dict[str, list[Any]]


class _InOrder(Reduction):
    """Arrays of samples, one block after the other."""

    def combine(self, left: State, right: State) -> State:
        """One after the other."""
        for name in left:
            left[name].extend(right[name])
        return left


@dataclass(frozen=True)
class RowLabels(_InOrder):
    """``row`` and ``label`` of every sample, by row."""

    def initial(self, source: Readable) -> State:
        """Nothing."""
        return {"row": [], "label": []}

    def chunk(self, state: State, block: Block) -> State:
        """Those of one block."""
        state["row"].append(block.rows)
        state["label"].append(block.label)
        return state

    def aggregate(self, state: State, source: Readable) -> Any:
        """As arrays."""
        empty = {"row": np.zeros(0, np.int64), "label": np.zeros(0, np.int16)}
        return {name: np.concatenate([empty[name], *parts]) for name, parts in state.items()}

    def state_bytes(self, source: Readable) -> int:
        """A row and a label each."""
        return self.part_bytes(source, source.n)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """A row and a label each."""
        return 10 * rows


@dataclass(frozen=True)
class RowsAt(_InOrder):
    """Features of given samples: ``row`` and ``features``, by row.

    Attributes
    ----------
    rows
        Their rows, int64, ascending.
    """

    rows: ArrayParameter

    def initial(self, source: Readable) -> State:
        """Nothing."""
        return {"row": [], "features": []}

    def chunk(self, state: State, block: Block) -> State:
        """Those of one block."""
        here = np.isin(block.rows, self._between(int(block.rows[0]), int(block.rows[-1]) + 1), assume_unique=True)
        if here.any():
            state["row"].append(block.rows[here])
            state["features"].append(block.features[here])
        return state

    def aggregate(self, state: State, source: Readable) -> Any:
        """As arrays."""
        if not state["row"]:
            return {"row": np.zeros(0, np.int64), "features": np.zeros((0, source.n_features), source.feature_dtype)}
        return {name: np.concatenate(parts) for name, parts in state.items()}

    def state_bytes(self, source: Readable) -> int:
        """All of them."""
        return len(self.rows.values) * (row_bytes(source) + 8)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """No more than there are."""
        return min(rows, len(self.rows.values)) * (row_bytes(source) + 8)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Which rows of a block are meant."""
        return 32 * rows

    def wants(self, start: int, stop: int) -> bool:
        """Whether some lie there."""
        return len(self._between(start, stop)) > 0

    def _between(self, start: int, stop: int) -> Any:
        low, high = np.searchsorted(self.rows.values, (start, stop))
        return self.rows.values[low:high]
