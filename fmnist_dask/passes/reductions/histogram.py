"""Exact per-pixel histograms by split and class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.histogram import LEVELS
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class PixelHistogram(Reduction):
    """How often each pixel has each of its 256 values, for every (split code, label) that occurs.

    The result is ``{(split code, label): counts of shape (pixels, 256)}``; label −1 stands for unknown. Sums over the
    keys give any coarser grouping exactly, so that one histogram serves statistics by class, by split and over all.
    """

    def initial(self, source: Readable) -> dict[tuple[int, int], AnyArray]:
        """No groups."""
        return {}

    def chunk(self, state: dict[tuple[int, int], AnyArray], block: Block) -> dict[tuple[int, int], AnyArray]:
        """Count one block."""
        from fmnist_dask.kernels.compiled import count_levels

        pixels = block.image.reshape(len(block), -1)
        for (split, label), rows in _groups(block):
            counts = state.get((split, label))
            if counts is None:
                # 32 bits count up to 4·10⁹ images of one class; results are 64 bits wide.
                counts = state[split, label] = np.zeros((pixels.shape[1], LEVELS), dtype=np.uint32)
            count_levels(pixels, rows, counts)
        return state

    def combine(self, left: dict[Any, AnyArray], right: dict[Any, AnyArray]) -> dict[Any, AnyArray]:
        """Add counts."""
        for key, counts in right.items():
            if key in left:
                left[key] += counts
            else:
                left[key] = counts.copy()
        return left

    def aggregate(self, state: dict[Any, AnyArray], source: Readable) -> dict[Any, AnyArray]:
        """Groups in order of split and label."""
        return {key: state[key] for key in sorted(state)}

    def state_bytes(self, source: Readable) -> int:
        """One table of 256 counters a pixel for each class of each split, and for what is not labelled in it."""
        groups = (1 + len(source.class_names)) * len(source.splits)
        return 4 * LEVELS * source.image_bytes * groups

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Codes and row numbers."""
        return 40 * rows


def _groups(block: Block) -> list[tuple[tuple[int, int], AnyArray]]:
    """Each (split, label) of a block, with its rows."""
    code = block.split.astype(np.int64) << 32 | (block.label.astype(np.int64) + 1)
    groups = []
    for value in np.unique(code):
        key = (int(value >> 32), int(value & 0xFFFFFFFF) - 1)
        groups.append((key, np.flatnonzero(code == value)))
    return groups
