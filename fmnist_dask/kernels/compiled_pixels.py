"""Kernels compiled by numba that count each pixel's values into few bins. Imported where they run only.

Counters of one bin lie side by side for all pixels, so that the processor's vector unit compares and counts 32 pixels
at a time: that is several times as fast as one addressed counter a value, up to a few dozen bins.
"""

from __future__ import annotations

import numba
import numpy as np

#: Pixels worked on at a time: what belongs to them stays in the first-level cache over all rows of a block.
TILE = 2048
#: Rows that 8 bits count.
BYTE_ROWS = 255


@numba.njit(nogil=True, cache=True)
def _count_equal(pixels, rows, first, shift, wanted, tally, counts):  # pragma: no cover - compiled
    """Add to each pixel's counter how often ``value >> shift`` is what is wanted there."""
    for begin in range(0, rows.shape[0], BYTE_ROWS):
        tally[:] = 0
        for at in range(begin, min(begin + BYTE_ROWS, rows.shape[0])):
            values = pixels[rows[at], first : first + wanted.shape[0]]
            for pixel in range(wanted.shape[0]):
                tally[pixel] += np.uint8((values[pixel] >> shift) == wanted[pixel])
        for pixel in range(wanted.shape[0]):
            counts[pixel] += tally[pixel]


@numba.njit(nogil=True, cache=True)
def count_summary(pixels, rows, first, sums, squares, low, high, histogram):  # pragma: no cover - compiled
    """Add the given rows to the sums and extremes of a range of pixels, and to the histogram of them all.

    Parameters
    ----------
    pixels : uint8 array, shape (n, n_pixels)
    rows : int64 array, shape (m,)
        Rows to count.
    first : int
        First pixel of the range; the other arrays' lengths say where it ends.
    sums, squares : unsigned integer arrays, shape (p,)
    low, high : uint8 arrays, shape (p,)
    histogram : int64 array, shape (4, 256)
        In four tables that add up: a counter hit again too soon stalls.
    """
    for start in range(0, low.shape[0], TILE):
        stop = min(start + TILE, low.shape[0])
        own_sums, own_squares, lowest, highest = (
            sums[start:stop],
            squares[start:stop],
            low[start:stop],
            high[start:stop],
        )
        for at in range(rows.shape[0]):
            values = pixels[rows[at], first + start : first + stop]
            for pixel in range(stop - start):
                value = values[pixel]
                own_sums[pixel] += value
                own_squares[pixel] += np.uint32(value) * np.uint32(value)
                lowest[pixel] = min(lowest[pixel], value)
                highest[pixel] = max(highest[pixel], value)
            for pixel in range(stop - start):
                histogram[pixel & 3, values[pixel]] += 1


@numba.njit(nogil=True, cache=True)
def count_intervals(pixels, rows, first, shift, starts, bins):  # pragma: no cover - compiled
    """Count, for each pixel, the values within a few intervals of the values' range, each cut into bins.

    Parameters
    ----------
    pixels, rows, first
        As above.
    shift : int
        A bin has ``2**shift`` values.
    starts : uint8 array, shape (s, p)
        First bin of each interval of each pixel.
    bins : unsigned integer array, shape (s, b, p)
        Changed in place: counters of the interval's first ``b`` bins.
    """
    tally = np.empty(TILE, np.uint8)
    wanted = np.empty(TILE, np.uint8)
    for start in range(0, starts.shape[1], TILE):
        stop = min(start + TILE, starts.shape[1])
        size = stop - start
        for slot in range(starts.shape[0]):
            for number in range(bins.shape[1]):
                for pixel in range(size):
                    wanted[pixel] = starts[slot, start + pixel] + np.uint8(number)
                counts = bins[slot, number, start:stop]
                _count_equal(pixels, rows, first + start, shift, wanted[:size], tally, counts)


@numba.njit(nogil=True, cache=True)
def least_above(pixels, rows, first, ends, above):  # pragma: no cover - compiled
    """Lower ``above`` to the smallest value of each pixel that is greater than the end of an interval.

    Parameters
    ----------
    ends : uint8 array, shape (s, p)
        Last value of each interval.
    above : uint8 array, shape (s, p)
        Changed in place.
    """
    for start in range(0, ends.shape[1], TILE):
        stop = min(start + TILE, ends.shape[1])
        for slot in range(ends.shape[0]):
            limits, found = ends[slot, start:stop], above[slot, start:stop]
            for at in range(rows.shape[0]):
                values = pixels[rows[at], first + start : first + stop]
                for pixel in range(stop - start):
                    value = values[pixel]
                    found[pixel] = min(found[pixel], value if value > limits[pixel] else np.uint8(255))
