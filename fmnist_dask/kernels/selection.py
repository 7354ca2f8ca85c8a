"""Order statistics by counting: intervals that hold them are narrowed, a few leading bits of the values at a time.

Finding the k-th smallest of many values takes no sorting where they can be read several times: counts of the values in
parts of an interval tell in which part it lies, and its rank there (Munro and Paterson, "Selection and sorting with
limited storage", 1980). All functions work on every pixel at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import AnyArray, UInt8Array


@dataclass
class Sought:
    """Order statistics that are not known yet, ascending: q of them for each of p pixels.

    Attributes
    ----------
    start : uint8 array, shape (q, p)
        First value of the interval that each lies in.
    rank : unsigned integer array, shape (q, p)
        Its zero-based rank among the values within the interval.
    total : unsigned integer array, shape (q, p)
        Values within the interval.
    """

    start: UInt8Array
    rank: AnyArray
    total: AnyArray

    @classmethod
    def of(cls, ranks: AnyArray, n: int, pixels: int) -> Sought:
        """Ranks among ``n`` values, ascending, which may lie anywhere."""
        dtype = np.uint32 if n < 1 << 32 else np.uint64
        shape = (len(ranks), pixels)
        rank = np.repeat(np.asarray(ranks, dtype=dtype)[:, None], pixels, axis=1)
        return cls(np.zeros(shape, dtype=np.uint8), rank, np.full(shape, n, dtype=dtype))

    def part(self, first: int, stop: int) -> Sought:
        """A range of pixels, as views."""
        return Sought(self.start[:, first:stop], self.rank[:, first:stop], self.total[:, first:stop])

    def intervals(self, most: int) -> tuple[UInt8Array, AnyArray]:
        """The distinct intervals of each pixel, and which of them each order statistic lies in.

        Returns
        -------
        starts : uint8 array, shape (most, p)
            Ascending; where there are fewer, the last one stands for the rest.
        which : integer array, shape (q, p)
        """
        new = np.zeros(self.start.shape, dtype=np.intp)
        new[1:] = self.start[1:] != self.start[:-1]
        which = new.cumsum(axis=0)
        starts = np.repeat(self.start[-1:], most, axis=0)
        np.put_along_axis(starts, which, self.start, axis=0)
        return starts, which

    def narrow(self, bins: AnyArray, which: AnyArray, width: int) -> None:
        """Go on to the parts of the intervals that the order statistics lie in.

        Parameters
        ----------
        bins : unsigned integer array, shape (s, b, p)
            Counts in all but the last part of each interval.
        which : integer array, shape (q, p)
            Interval of each order statistic.
        width
            Bits of the values within a part.
        """
        for at in range(len(self.start)):
            counts = _counts(bins, which[at], self.total[at])
            part, before, inside = _part_of(counts, self.rank[at])
            self.start[at] += (part << width).astype(np.uint8)
            self.rank[at] -= before.astype(self.rank.dtype)
            self.total[at] = inside

    def finish(self, bins: AnyArray, which: AnyArray, above: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
        """The order statistics, and those of the next ranks; parts are single values.

        Parameters
        ----------
        bins, which
            As above.
        above : uint8 array, shape (s, p)
            Smallest value above each interval.

        Returns
        -------
        values, following : uint8 arrays, shape (q, p)
            What follows the largest value is that value.
        """
        values, following = np.empty_like(self.start), np.empty_like(self.start)
        for at in range(len(self.start)):
            counts = _counts(bins, which[at], self.total[at])
            part, before, inside = _part_of(counts, self.rank[at])
            later = (counts > 0) & (np.arange(len(counts))[:, None] > part)
            beyond = np.take_along_axis(above, which[at][None], axis=0)[0]
            after = np.where(later.any(axis=0), self.start[at] + later.argmax(axis=0), beyond)
            repeated = self.rank[at] - before + 1 < inside
            values[at] = self.start[at] + part
            following[at] = np.where(repeated, values[at], after)
        return values, following


def _counts(bins: AnyArray, which: AnyArray, total: AnyArray) -> AnyArray:
    """Counts in all parts of one interval of each pixel, int64, shape (b + 1, p)."""
    counts = np.empty((bins.shape[1] + 1, bins.shape[2]), dtype=np.int64)
    counts[:-1] = np.take_along_axis(bins, which[None, None], axis=0)[0]
    counts[-1] = total - counts[:-1].sum(axis=0)
    return counts


def _part_of(counts: AnyArray, rank: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The part that a rank lies in, the values before that part, and those within."""
    cumulative = counts.cumsum(axis=0)
    part = (cumulative <= rank).sum(axis=0)
    inside = np.take_along_axis(counts, part[None], axis=0)[0]
    before = np.take_along_axis(cumulative, part[None], axis=0)[0] - inside
    return part, before, inside
