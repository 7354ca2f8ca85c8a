"""What is observed of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.gram import PANEL_ROWS as EXACT_ROWS
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.pairs import MASK_ROOMS, observed_features

State = dict[str, Any]


@dataclass(frozen=True)
class ClassMoments(Reduction):
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
        labels = np.where(block.label < 0, classes - 1, block.label)
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

    def combine(self, left: State, right: State) -> State:
        """Add."""
        for name in left:
            left[name] += right[name]
        return left

    def state_bytes(self, source: Readable) -> int:
        """Two integers a class and feature."""
        return 16 * (len(source.class_names) + 1) * (source.n_features + 3)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel, and which features of all rows are there."""
        return (16 * EXACT_ROWS + MASK_ROOMS * rows) * source.n_features
