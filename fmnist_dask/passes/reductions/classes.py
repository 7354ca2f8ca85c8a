"""Sums of the pixels of each class: of all, and of those that are observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.gram import PANEL_ROWS as EXACT_ROWS
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.pairs import MASK_ROOMS, observed_features
from fmnist_dask.typing import IntArray

State = dict[str, Any]


#: Rows whose pixels add up in float32 without rounding: 255 × 4,096 < 2²⁴.
SUM_ROWS = 4096


class _OfClasses(Reduction):
    """Integers of each class, the last for images without a label."""

    def combine(self, left: State, right: State) -> State:
        """Add."""
        for name in left:
            left[name] += right[name]
        return left


def _classes_of(block: Block, classes: int) -> IntArray:
    """Class of each image, the last for those without a label."""
    labels: IntArray = np.where(block.label < 0, classes - 1, block.label)
    return labels


@dataclass(frozen=True)
class ClassSums(_OfClasses):
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
        labels = _classes_of(block, classes)
        state["images"] += np.bincount(labels, minlength=classes)
        for start in range(0, len(block), SUM_ROWS):
            part = slice(start, start + SUM_ROWS)
            of_class = (labels[part, None] == np.arange(classes)).astype(np.float32)
            state["sum"] += (of_class.T @ block.features[part].astype(np.float32)).astype(np.int64)
        return state

    def state_bytes(self, source: Readable) -> int:
        """An integer a class and pixel."""
        return 8 * (len(source.class_names) + 1) * (source.n_features + 1)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel of floats, their products, and classes."""
        classes = len(source.class_names) + 1
        panel = min(rows, SUM_ROWS)
        return 4 * panel * (source.n_features + classes) + 12 * classes * source.n_features + 16 * rows

    def kept_as(self) -> Any:
        """Integers of some add up with those of others."""
        return self


@dataclass(frozen=True)
class ClassMoments(_OfClasses):
    """Of the images of each class, the last for those without a label: integers, of pixels.

    ``sum`` is ``Σ x − 128`` over those that have a pixel, and ``count`` how many do, both of shape (classes + 1, d);
    ``images`` counts them; ``missing`` and ``missing_square`` add up, over images, the pixels that one lacks.
    """

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d, classes = source.n_features, len(source.class_names) + 1
        found = {name: np.zeros((classes, d), np.int64) for name in ("sum", "count")}
        return found | {name: np.zeros(classes, np.int64) for name in ("images", "missing", "missing_square")}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        classes = len(state["images"])
        labels = _classes_of(block, classes)
        for start in range(0, len(block), EXACT_ROWS):
            part = slice(start, start + EXACT_ROWS)
            o = there[part].astype(np.float32)
            x = features[part].astype(np.float32)
            x -= OFFSET
            x *= o
            # Integers of at most 2²⁴: nothing is rounded.
            of_class = (labels[part, None] == np.arange(classes)).astype(np.float32)
            state["sum"] += (of_class.T @ x).astype(np.int64)
            state["count"] += (of_class.T @ o).astype(np.int64)
            lacks = o.shape[1] - there[part].sum(axis=1, dtype=np.int64)
            np.add.at(state["images"], labels[part], 1)
            np.add.at(state["missing"], labels[part], lacks)
            np.add.at(state["missing_square"], labels[part], lacks**2)
        return state

    def state_bytes(self, source: Readable) -> int:
        """Two integers a class and feature."""
        return 16 * (len(source.class_names) + 1) * (source.n_features + 3)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel, and which features of all rows are there."""
        return (16 * EXACT_ROWS + MASK_ROOMS * rows) * source.n_features
