"""Exact per-pixel histograms by split and class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.histogram import LEVELS
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray

#: Stands for every label, where labels are not told apart.
ANY_LABEL = -2


def cells_of(block: Block, label_split: int | None, by_label: bool) -> list[tuple[tuple[int, int], AnyArray]]:
    """Each (split, label) of a block, with its rows; see :class:`PixelHistogram`."""
    split, label = block.split.astype(np.int64), block.label.astype(np.int64)
    if not by_label:
        label = np.full_like(label, ANY_LABEL)
    elif label_split is not None:
        label = np.where(split == label_split, label, ANY_LABEL)
    code = split << 32 | (label - ANY_LABEL)
    groups = []
    for value in np.unique(code):
        key = (int(value >> 32), int(value & 0xFFFFFFFF) + ANY_LABEL)
        groups.append((key, np.flatnonzero(code == value)))
    return groups


def most_cells(source: Readable, label_split: int | None, by_label: bool) -> int:
    """How many (split, label) a collection may have: each class of a split, and what is not labelled in it."""
    splits = len(source.splits)
    classes = 1 + len(source.class_names) if by_label else 1
    return classes * splits if label_split is None else classes + splits - 1


@dataclass(frozen=True)
class PixelHistogram(Reduction):
    """How often each pixel has each of its 256 values, by split and label.

    The result is ``{(split code, label): counts of shape (pixels, 256)}`` for all that occur; label −1 stands for
    unknown. Sums over the keys give any coarser grouping exactly, so that one histogram serves statistics by class, by
    split and over all.

    Parameters
    ----------
    label_split
        Tell labels apart in this split only, and count the others whole, under :data:`ANY_LABEL`; ``None`` for all.
    by_label
        Whether to tell labels apart at all.
    """

    label_split: int | None = None
    by_label: bool = True

    def initial(self, source: Readable) -> dict[tuple[int, int], AnyArray]:
        """No groups."""
        return {}

    def chunk(self, state: dict[tuple[int, int], AnyArray], block: Block) -> dict[tuple[int, int], AnyArray]:
        """Count one block."""
        from fmnist_dask.kernels.compiled import count_levels

        pixels = block.image.reshape(len(block), -1)
        for (split, label), rows in cells_of(block, self.label_split, self.by_label):
            counts = state.get((split, label))
            if counts is None:
                # 32 bits are enough for the images of one task; merged counts grow where they must.
                counts = state[split, label] = np.zeros((pixels.shape[1], LEVELS), dtype=np.uint32)
            count_levels(pixels, rows, counts)
        return state

    def combine(self, left: dict[Any, AnyArray], right: dict[Any, AnyArray]) -> dict[Any, AnyArray]:
        """Add counts."""
        for key, counts in right.items():
            if key in left:
                left[key] = _add(left[key], counts)
            else:
                left[key] = counts.copy()
        return left

    def aggregate(self, state: dict[Any, AnyArray], source: Readable) -> dict[Any, AnyArray]:
        """Groups in order of split and label."""
        return {key: state[key].astype(np.int64) for key in sorted(state)}

    def state_bytes(self, source: Readable) -> int:
        """One table of 256 counters a pixel for each class of a split, and for what is not labelled in it."""
        return 4 * LEVELS * source.image_bytes * most_cells(source, self.label_split, self.by_label)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Codes and row numbers."""
        return 40 * rows

    def kept_as(self) -> Any:
        """Counts of some rows are part of those of all."""
        return self


def _add(left: AnyArray, right: AnyArray) -> AnyArray:
    """Sum of counters, in 64 bits once 32 might overflow."""
    if left.dtype == right.dtype == np.uint32 and int(left.max()) + int(right.max()) < 1 << 32:
        left += right
        return left
    return left.astype(np.uint64) + right
