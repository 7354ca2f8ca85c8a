"""Kernels on colours, compiled by numba: counting, nearest colours, hierarchies, mixtures. Imported where they run."""

from __future__ import annotations

import numba
import numpy as np

#: Bits of a channel.
BITS = 8


@numba.njit(nogil=True, cache=True, inline="always")
def _code(pixels, at, width, low):  # pragma: no cover - compiled
    """The channels of a pixel, ``width`` bits each, one after the other."""
    code = np.uint32(0)
    for channel in range(pixels.shape[1]):
        code = (code << width) | (np.uint32(pixels[at, channel]) >> low)
    return code


@numba.njit(nogil=True, cache=True)
def count_codes(pixels, shift, table, found):  # pragma: no cover - compiled
    """Count colours in a table that is zero before; the number of distinct ones, whose codes ``found`` lists.

    Where there are more of them than it has room for, counting ends with −1.

    Parameters
    ----------
    pixels : uint8 array, shape (m, 3) or (m, 1)
    shift
        Bits of each channel that are left out.
    table : uint32 array, shape (2^((8 − shift) · channels),)
    found : uint32 array
    """
    width = np.uint32(BITS - shift)
    low = np.uint32(shift)
    distinct = 0
    for at in range(pixels.shape[0]):
        code = _code(pixels, at, width, low)
        if table[code] == 0:
            if distinct == found.shape[0]:
                return -1
            found[distinct] = code
            distinct += 1
        table[code] += np.uint32(1)
    return distinct


@numba.njit(nogil=True, cache=True)
def sum_codes(pixels, shift, table, sums):  # pragma: no cover - compiled
    """Add each pixel's channels to the sums of its bin, whose place the table says.

    Parameters
    ----------
    sums : int64 array, shape (bins, channels)
        Changed in place.
    """
    width = np.uint32(BITS - shift)
    low = np.uint32(shift)
    for at in range(pixels.shape[0]):
        code = _code(pixels, at, width, low)
        place = table[code]
        for channel in range(pixels.shape[1]):
            sums[place, channel] += pixels[at, channel]


@numba.njit(nogil=True, cache=True)
def look_up(pixels, shift, table, out):  # pragma: no cover - compiled
    """What a table says of each pixel's colour.

    Parameters
    ----------
    pixels : uint8 array, shape (m, channels)
    table : array, shape (2^((8 − shift) · channels),)
    out : array of the table's type, shape (m,)
    """
    width = np.uint32(BITS - shift)
    low = np.uint32(shift)
    for at in range(pixels.shape[0]):
        code = _code(pixels, at, width, low)
        out[at] = table[code]


@numba.njit(nogil=True, cache=True)
def merge_counts(left, left_count, right, right_count, code, count):  # pragma: no cover - compiled
    """Merge two ascending lists of codes with their counts; the length of the merged one.

    Parameters
    ----------
    left, right : uint32 arrays
    left_count, right_count : int64 arrays, shape (m, columns)
    code, count : arrays
        Filled; long enough for both.
    """
    i, j, at = 0, 0, 0
    columns = range(count.shape[1])
    while i < left.shape[0] or j < right.shape[0]:
        if j == right.shape[0] or (i < left.shape[0] and left[i] < right[j]):
            code[at] = left[i]
            for column in columns:
                count[at, column] = left_count[i, column]
            i += 1
        elif i == left.shape[0] or right[j] < left[i]:
            code[at] = right[j]
            for column in columns:
                count[at, column] = right_count[j, column]
            j += 1
        else:
            code[at] = left[i]
            for column in columns:
                count[at, column] = left_count[i, column] + right_count[j, column]
            i += 1
            j += 1
        at += 1
    return at


@numba.njit(nogil=True, cache=True)
def optimal_levels(weight, k, cost, split):  # pragma: no cover - compiled
    """Least sums of squares of sorted levels in ``k`` and fewer runs, by dynamic programming (Bellman 1973).

    Parameters
    ----------
    weight : float64 array, shape (m,)
        Of the levels 0, 1, …
    cost : float64 array, shape (k, m)
        Filled: least sum of squares of the levels up to each in that many runs and one more.
    split : int64 array, shape (k, m)
        Filled: where the last run begins.
    """
    m = weight.shape[0]
    count, first, second = np.zeros(m + 1), np.zeros(m + 1), np.zeros(m + 1)
    for level in range(m):
        count[level + 1] = count[level] + weight[level]
        first[level + 1] = first[level] + weight[level] * level
        second[level + 1] = second[level] + weight[level] * level * level
    for stop in range(m):
        cost[0, stop] = _within(count, first, second, 0, stop + 1)
        split[0, stop] = 0
    for runs in range(1, k):
        for stop in range(m):
            cost[runs, stop], split[runs, stop] = cost[runs - 1, stop], split[runs - 1, stop]
            least, best = np.inf, 0
            for start in range(min(runs, stop), stop + 1):
                before = cost[runs - 1, start - 1] if start > 0 else 0.0
                value = before + _within(count, first, second, start, stop + 1)
                if value < least:
                    least, best = value, start
            cost[runs, stop], split[runs, stop] = least, best


@numba.njit(nogil=True, cache=True, inline="always")
def _within(count, first, second, start, stop):  # pragma: no cover - compiled
    w = count[stop] - count[start]
    if w <= 0:
        return 0.0
    s = first[stop] - first[start]
    return max(second[stop] - second[start] - s * s / w, 0.0)
