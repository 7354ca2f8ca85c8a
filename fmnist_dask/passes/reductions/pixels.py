"""Exact statistics of a range of pixels in little memory: sums and extremes, and counts within chosen intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.histogram import LEVELS
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.histogram import cells_of, most_cells
from fmnist_dask.typing import AnyArray

#: (split code, label) of a group of images; ``None`` stands for any.
Group = tuple[int | None, int | None]
State = dict[Any, dict[str, Any]]
#: Largest value, and its square.
LARGEST, LARGEST_SQUARE = 255, 255**2


def counter(most: int) -> np.dtype[np.unsignedinteger]:
    """Smallest type of counters that reach ``most``, of 16, 32 and 64 bits."""
    return np.dtype(np.uint16 if most < 1 << 16 else np.uint32 if most < 1 << 32 else np.uint64)


def sum_types(n: int) -> tuple[np.dtype[np.unsignedinteger], np.dtype[np.unsignedinteger]]:
    """Types that hold sums and sums of squares of ``n`` values."""
    total, square = (counter(max(most * n, 1 << 16)) for most in (LARGEST, LARGEST_SQUARE))
    return total, square


def summary_bytes(n: int, bits: int) -> int:
    """Bytes a pixel of each cell in a :class:`PixelSummary` of ``n`` images."""
    return counter(n).itemsize * ((1 << bits) - 1) + sum(dtype.itemsize for dtype in sum_types(n)) + 2


def interval_bytes(n: int, slots: int, bits: int, last: bool) -> int:
    """Bytes a pixel of each group in an :class:`IntervalCounts` of ``n`` images."""
    return slots * (counter(n).itemsize * ((1 << bits) - 1) + last)


@dataclass(frozen=True)
class PixelSummary(Reduction):
    """Of each split and label: images, and sum, sum of squares, extremes and a coarse histogram of each pixel.

    The result is ``{(split code, label): {...}}`` for all that occur, as :class:`PixelHistogram` has them. Each has
    ``n``; ``sum``, ``square`` (unsigned integers), ``low``, ``high`` (uint8), of shape (p,); ``bins`` of shape
    (1, 2**bits - 1, p), without the last bin; ``histogram`` (int64, shape (256,)) of all these pixels.

    Parameters
    ----------
    images
        Images of the collection: counters are wide enough for them.
    label_split, by_label
        As in :class:`PixelHistogram`.
    first, stop
        Range of pixels of the flattened image.
    bits
        Leading bits of a value that tell its bin.
    """

    images: int
    label_split: int | None
    by_label: bool
    first: int
    stop: int
    bits: int

    def initial(self, source: Readable) -> State:
        """No groups."""
        return {}

    def chunk(self, state: State, block: Block) -> State:
        """Count one block."""
        from fmnist_dask.kernels.compiled_pixels import count_intervals, count_summary

        pixels = block.image.reshape(len(block), -1)
        starts = np.zeros((1, self.stop - self.first), dtype=np.uint8)
        for key, rows in cells_of(block, self.label_split, self.by_label):
            if key not in state:
                state[key] = self._nothing()
            cell = state[key]
            tables = np.zeros((4, LEVELS), dtype=np.int64)
            count_summary(pixels, rows, self.first, cell["sum"], cell["square"], cell["low"], cell["high"], tables)
            count_intervals(pixels, rows, self.first, 8 - self.bits, starts, cell["bins"])
            cell["histogram"] += tables.sum(axis=0)
            cell["n"] += len(rows)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add, and widen the extremes."""
        for key, cell in right.items():
            if key not in left:
                left[key] = {name: np.copy(value) if name != "n" else value for name, value in cell.items()}
                continue
            own = left[key]
            for name in ("sum", "square", "bins", "histogram", "n"):
                own[name] += cell[name]
            np.minimum(own["low"], cell["low"], out=own["low"])
            np.maximum(own["high"], cell["high"], out=own["high"])
        return left

    def aggregate(self, state: State, source: Readable) -> State:
        """Cells in order of split and label."""
        return {key: state[key] for key in sorted(state)}

    def state_bytes(self, source: Readable) -> int:
        """Sums, extremes and bins of each pixel, and a histogram, for each cell."""
        cell = (self.stop - self.first) * summary_bytes(self.images, self.bits) + 8 * LEVELS + 64
        return most_cells(source, self.label_split, self.by_label) * cell

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Codes and row numbers, tables, and where the bins begin."""
        return 40 * rows + 64 * LEVELS + self.stop - self.first + 2**16

    def _nothing(self) -> dict[str, Any]:
        size = self.stop - self.first
        total, square = sum_types(self.images)
        return {
            "n": 0,
            "sum": np.zeros(size, dtype=total),
            "square": np.zeros(size, dtype=square),
            "low": np.full(size, LARGEST, dtype=np.uint8),
            "high": np.zeros(size, dtype=np.uint8),
            "bins": np.zeros((1, 2**self.bits - 1, size), dtype=counter(self.images)),
            "histogram": np.zeros(LEVELS, dtype=np.int64),
        }


@dataclass(frozen=True)
class IntervalCounts(Reduction):
    """Counts of each pixel's values within chosen intervals of the range 0 to 255, for each of several groups.

    The result maps each group that occurs to ``bins`` of shape (slots, 2**bits - 1, p): counts in all but the last
    of the equal parts that each interval is cut into; and, where asked for, ``above`` (uint8, shape (slots, p)):
    the smallest value above each interval.

    Parameters
    ----------
    images
        Images of the collection: counters are wide enough for them.
    groups
        What is counted apart; groups may overlap.
    starts
        uint8 array of shape (groups, slots, p): first value of each interval, a multiple of its width.
    width
        Bits of the values within an interval.
    bits
        Leading ones of these, which tell the part.
    above
        Whether to look for the values above.
    first
        First pixel of the range of the flattened image.
    """

    images: int
    groups: tuple[Group, ...]
    starts: ArrayParameter
    width: int
    bits: int
    above: bool
    first: int

    def initial(self, source: Readable) -> State:
        """No groups."""
        return {}

    def chunk(self, state: State, block: Block) -> State:
        """Count one block."""
        from fmnist_dask.kernels.compiled_pixels import count_intervals, least_above

        pixels = block.image.reshape(len(block), -1)
        shift = self.width - self.bits
        for group, starts in zip(self.groups, self.starts.values, strict=True):
            rows = _rows_of(block, group)
            if not len(rows):
                continue
            if group not in state:
                state[group] = self._nothing(starts.shape)
            count_intervals(pixels, rows, self.first, shift, starts >> shift, state[group]["bins"])
            if self.above:
                ends = starts + np.uint8((1 << self.width) - 1)
                least_above(pixels, rows, self.first, ends, state[group]["above"])
        return state

    def combine(self, left: State, right: State) -> State:
        """Add counts, keep the smallest values."""
        for group, found in right.items():
            if group not in left:
                left[group] = {name: values.copy() for name, values in found.items()}
                continue
            left[group]["bins"] += found["bins"]
            if self.above:
                np.minimum(left[group]["above"], found["above"], out=left[group]["above"])
        return left

    def aggregate(self, state: State, source: Readable) -> State:
        """Groups in the order asked for."""
        return {group: state[group] for group in self.groups if group in state}

    def state_bytes(self, source: Readable) -> int:
        """Counters of each interval of each pixel and group."""
        slots, size = map(int, self.starts.values.shape[1:])
        return len(self.groups) * (size * interval_bytes(self.images, slots, self.bits, self.above) + 64)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Bounds of one group's intervals, and row numbers."""
        slots, size = map(int, self.starts.values.shape[1:])
        return 2 * slots * size + 10 * rows + 2**16

    def _nothing(self, shape: tuple[int, ...]) -> dict[str, Any]:
        slots, size = shape
        found = {"bins": np.zeros((slots, 2**self.bits - 1, size), dtype=counter(self.images))}
        return {**found, "above": np.full(shape, LARGEST, dtype=np.uint8)} if self.above else found


def _rows_of(block: Block, group: Group) -> AnyArray:
    """Rows of a block that belong to a group."""
    split, label = group
    inside = np.ones(len(block), dtype=bool)
    if split is not None:
        inside &= block.split == split
    if label is not None:
        inside &= block.label == label
    return np.flatnonzero(inside)
