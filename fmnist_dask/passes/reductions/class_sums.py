"""Sums of the pixels of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import IntArray

#: Rows whose pixels add up in float32 without rounding: 255 × 4,096 < 2²⁴.
PANEL_ROWS = 4096

State = dict[str, IntArray]


@dataclass(frozen=True)
class ClassSums(Reduction):
    """Images of each class, the last for those without a label, and the sums of their uint8 pixels: integers.

    ``images`` has shape (classes + 1,), ``sum`` (classes + 1, d).
    """

    def initial(self, source: Readable) -> State:
        """Zeros."""
        classes = len(source.class_names) + 1
        return {"images": np.zeros(classes, np.int64), "sum": np.zeros((classes, source.n_features), np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        classes = len(state["images"])
        labels = np.where(block.label < 0, classes - 1, block.label)
        state["images"] += np.bincount(labels, minlength=classes)
        for start in range(0, len(block), PANEL_ROWS):
            part = slice(start, start + PANEL_ROWS)
            of_class = (labels[part, None] == np.arange(classes)).astype(np.float32)
            state["sum"] += (of_class.T @ block.features[part].astype(np.float32)).astype(np.int64)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        for name in left:
            left[name] += right[name]
        return left

    def state_bytes(self, source: Readable) -> int:
        """An integer a class and pixel."""
        return 8 * (len(source.class_names) + 1) * (source.n_features + 1)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel of floats, their products, and classes."""
        classes = len(source.class_names) + 1
        panel = min(rows, PANEL_ROWS)
        return 4 * panel * (source.n_features + classes) + 12 * classes * source.n_features + 16 * rows

    def kept_as(self) -> Any:
        """Integers of some add up with those of others."""
        return self
