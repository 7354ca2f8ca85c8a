"""Exact nearest neighbours of samples among each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmnist_dask.errors import MemoryLimitError, UsageError
from fmnist_dask.kernels.neighbours import Best, Measure, Samples, look_between, look_within, panel_bytes
from fmnist_dask.models.grids import grid_of
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import BoolArray, FloatArray, IntArray

#: Samples and bytes of one block: a call compares two of them.
BLOCK_ROWS, BLOCK_BYTES = 16_384, 2**24
#: Blocks of which there are so many at least, where samples allow it: 21 calls.
LEAST_BLOCKS, LEAST_ROWS = 6, 512
#: Neighbours of all samples that the driver may hold, in bytes; and what calls may answer before they are merged.
MOST_STATE, ROUND_BYTES = 2**30, 2**28
#: A neighbour's squared distance and row.
ENTRY_BYTES = 16


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of some samples among them, nearest first; of equally near ones the lower row.

    Attributes
    ----------
    rows : int64 array, shape (m,)
        The samples.
    neighbours : int64 array, shape (m, k)
        Rows of their neighbours, never of themselves; −1 where there are fewer than k others.
    distances : float64 array, shape (m, k)
        In the units of the features; infinite where there is no neighbour.
    """

    rows: IntArray
    neighbours: IntArray
    distances: FloatArray


@dataclass(frozen=True)
class _Shared:
    """What all calls of a round work with.

    Attributes
    ----------
    rows : int64 array, shape (m,)
        Samples that take part, ascending; block ``b`` has those from ``b · block_rows`` on.
    limits : float64 array, shape (m,)
    limit_rows : int64 array, shape (m,)
        What earlier rounds have found: neighbours farther away are not needed.
    """

    source: Readable
    rows: IntArray
    block_rows: int
    k: int
    measure: Measure
    limits: FloatArray
    limit_rows: IntArray

    def block(self, number: int) -> tuple[Samples, Best]:
        """The samples of a block, and what they know."""
        part = slice(number * self.block_rows, (number + 1) * self.block_rows)
        rows = self.rows[part]
        features = np.empty((len(rows), self.source.n_features), dtype=self.source.feature_dtype)
        size = self.source.chunk_rows
        for start in range(int(rows[0]) // size * size, int(rows[-1]) + 1, size):
            low, high = np.searchsorted(rows, (start, start + size))
            if high > low:
                first, last = int(rows[low]), int(rows[high - 1])
                features[low:high] = self.source.block(first, last + 1).features[rows[low:high] - first]
        return Samples(features, rows), Best.before(self.limits[part], self.limit_rows[part], self.k)


def nearest_neighbours(source: Readable, inside: BoolArray, k: int, split: str = "all") -> Algorithm[Neighbours]:
    """The k nearest neighbours of each sample by Euclidean distance, exact and the same for any chunking.

    Each pair of samples is looked at once, in blocks; the k best of each are kept, n × k numbers, never the distances.
    Matrix products rule most pairs out, within bounds of what rounding does; the others are compared by sums of squared
    differences in float64.

    Parameters
    ----------
    inside : bool array, shape (n,)
        Samples that take part, as those whose neighbours are wanted and as neighbours.
    k
        Neighbours.
    split
        Where those samples are: its features are looked at for values that are not finite.

    Raises
    ------
    UsageError
        k is less than 1; features that are not finite, or so large that their squares are not.
    MemoryLimitError
        The neighbours of all samples do not fit into the driver.
    """
    if k < 1:
        raise UsageError(f"{k} neighbours of each image", "ask for 1 or more")
    rows = np.flatnonzero(inside)
    m = len(rows)
    if state_bytes(m, k) > MOST_STATE:
        raise MemoryLimitError(
            f"{k:,} neighbours of each of {m:,} images need {state_bytes(m, k) / 2**30:.1f} GiB of the driver; "
            f"{MOST_STATE / 2**30:.1f} GiB are for them",
            "ask for fewer neighbours, or work on a split with fewer images",
        )
    best = Best.none(m, k)
    if m < 2:
        return Neighbours(rows, best.rows, best.squares)
    measure = yield from measure_of(source, split)
    size = block_rows(source, m)
    for pairs in rounds(m, size, k):
        weights = [size**2 // (2 if left == right else 1) // 10**6 for left, right in pairs]
        answers = yield Tasks(
            "neighbours",
            tuple(Call(pair_neighbours, pair, max(1, weight)) for pair, weight in zip(pairs, weights, strict=True)),
            pair_bytes(source, size, k),
            unit="million pairs",
            shared=_Shared(source, rows, size, k, measure, best.limits, best.limit_rows),
            expected=lambda: [],
        )
        for answer in answers:
            for block, *found in answer:
                best.part(block * size, (block + 1) * size).take(*found)
    return Neighbours(rows, best.rows, measure.distances(best.squares))


def state_bytes(m: int, k: int) -> int:
    """Memory of the neighbours of all samples in the driver."""
    return m * (k + 1) * ENTRY_BYTES


def block_rows(source: Readable, m: int) -> int:
    """Samples of one block: few enough for memory and for calls that last, and blocks enough for many workers."""
    affordable = min(BLOCK_ROWS, BLOCK_BYTES // row_bytes(source))
    return max(1, min(affordable, max(LEAST_ROWS, -(-m // LEAST_BLOCKS))))


def rounds(m: int, size: int, k: int) -> Iterator[list[tuple[int, int]]]:
    """Pairs of blocks, as many at a time as may answer before they are merged.

    Blocks with themselves come first: what they find spares the others most of the comparisons.
    """
    blocks = -(-m // size)
    pairs = [(left, left + offset) for offset in range(blocks) for left in range(blocks - offset)]
    most = max(1, ROUND_BYTES // (2 * size * (k * ENTRY_BYTES + 8)))
    start = 0
    while start < len(pairs):
        stop = min(start + most, blocks if start < blocks else len(pairs))
        yield pairs[start:stop]
        start = stop


def calls_of_round(m: int, size: int, k: int) -> int:
    """Pairs of blocks in the largest round, without listing them."""
    blocks = -(-m // size)
    most = max(1, ROUND_BYTES // (2 * size * (k * ENTRY_BYTES + 8)))
    return min(most, max(blocks, blocks * (blocks - 1) // 2))


def pair_bytes(source: Readable, size: int, k: int) -> int:
    """Memory of one call: two blocks, a chunk that one of them is read from, their neighbours, panels."""
    read = 2 * min(source.chunk_rows, source.n) * row_bytes(source)
    # Neighbours stand twice while an answer is made of them.
    return 2 * size * (row_bytes(source) + 3 * k * ENTRY_BYTES + 64) + read + panel_bytes(source.n_features) + 2**22


def pair_neighbours(shared: _Shared, left: int, right: int) -> list[tuple[int, IntArray, FloatArray, IntArray]]:
    """What two blocks find in each other, or one in itself: block, and neighbours as :meth:`Best.found` has them."""
    samples, best = shared.block(left)
    if left == right:
        look_within(samples, best, shared.measure)
        return [(left, *best.found())]
    others, their_best = shared.block(right)
    look_between(samples, others, best, their_best, shared.measure)
    return [(left, *best.found()), (right, *their_best.found())]


def measure_of(source: Readable, split: str) -> Algorithm[Measure]:
    """How distances among the samples of a split are computed; refuses features that are not finite."""
    d = source.n_features
    if source.feature_dtype == "uint8":
        return Measure.of_range(np.zeros(d), np.full(d, 255.0))
    seen = (yield Scan({"range": FeatureRange()}, split=split))["range"]
    grid_of(seen)  # refuses what is not finite, or has squares that are not
    return Measure.of_range(seen["low"], seen["high"])
