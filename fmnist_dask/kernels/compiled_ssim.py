"""Structural similarity of lines of pixels, compiled by numba. Imported where it runs."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _paint(index, palette, out):  # pragma: no cover - compiled
    """Values of one line of a palette image, channel by channel beside each other."""
    channels = palette.shape[1]
    if channels == 3:
        for x in range(index.shape[0]):
            colour = index[x]
            out[3 * x] = palette[colour, 0]
            out[3 * x + 1] = palette[colour, 1]
            out[3 * x + 2] = palette[colour, 2]
    else:
        for x in range(index.shape[0]):
            for channel in range(channels):
                out[channels * x + channel] = palette[index[x], channel]


@numba.njit(nogil=True, cache=True)
def _enter(first, second, sums):  # pragma: no cover - compiled
    for at in range(first.shape[0]):
        a, b = np.int32(first[at]), np.int32(second[at])
        sums[0, at] += a
        sums[1, at] += b
        sums[2, at] += a * a + b * b
        sums[3, at] += a * b


@numba.njit(nogil=True, cache=True)
def _slide(first, second, old_first, old_second, sums):  # pragma: no cover - compiled
    for at in range(first.shape[0]):
        a, b = np.int32(first[at]), np.int32(second[at])
        c, d = np.int32(old_first[at]), np.int32(old_second[at])
        sums[0, at] += a - c
        sums[1, at] += b - d
        sums[2, at] += a * a + b * b - c * c - d * d
        sums[3, at] += a * b - c * d


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _total(values):  # pragma: no cover - compiled
    total = 0.0
    for at in range(values.shape[0]):
        total += values[at]
    return total


@numba.njit(nogil=True, cache=True)
def _across(sums, channels, window, out):  # pragma: no cover - compiled
    """Sums of windows from sums of their columns: of one step after the other, so that many are added at once."""
    for number in range(4):
        for at in range(out.shape[1]):
            out[number, at] = sums[number, at]
        for step in range(1, window):
            shift = step * channels
            for at in range(out.shape[1]):
                out[number, at] += sums[number, at + shift]


@numba.njit(nogil=True, cache=True)
def _similarities(totals, window, c1, c2, out):  # pragma: no cover - compiled
    """SSIM of each window of a line, from its sums."""
    # Everything is multiplied by count² · (count − 1) / count of sample variances, so that sums stay integers.
    whole = np.float64(window * window)
    low = c1 * whole * whole
    spread = c2 * whole * (whole - 1.0)
    for at in range(out.shape[0]):
        a, b = np.float64(totals[0, at]), np.float64(totals[1, at])
        squares, product = np.float64(totals[2, at]), np.float64(totals[3, at])
        means = a * b
        powers = a * a + b * b
        out[at] = ((2.0 * means + low) * (2.0 * (whole * product - means) + spread)) / (
            (powers + low) * (whole * squares - powers + spread)
        )


@numba.njit(nogil=True, cache=True)
def palette_similarity(lines, index, palette, window, c1, c2, out):  # pragma: no cover - compiled
    """SSIM of lines of an image with the same lines in the colours of a palette, summed over each line of windows.

    Parameters
    ----------
    lines : uint8 array, shape (y, x · channels)
    index : uint8 array, shape (y, x)
    palette : uint8 array, shape (k, channels)
    window
        Its height and width, odd.
    c1, c2
        The two constants of SSIM.
    out : float64 array, shape (y − window + 1,)
        Filled: sums over the windows of a line and over channels.
    """
    height, width = lines.shape
    channels = palette.shape[1]
    painted = np.empty((window, width), dtype=np.uint8)
    sums = np.zeros((4, width), dtype=np.int32)
    found = np.empty(width - (window - 1) * channels)
    totals = np.empty((4, found.shape[0]), dtype=np.int32)
    for y in range(height):
        slot = y % window
        if y < window:
            _paint(index[y], palette, painted[slot])
            _enter(lines[y], painted[slot], sums)
        else:
            old = painted[slot].copy()
            _paint(index[y], palette, painted[slot])
            _slide(lines[y], painted[slot], lines[y - window], old, sums)
        if y >= window - 1:
            _across(sums, channels, window, totals)
            _similarities(totals, window, c1, c2, found)
            out[y - window + 1] = _total(found)


@numba.njit(nogil=True, cache=True)
def squared_error(lines, index, palette):  # pragma: no cover - compiled
    """Sum of squared differences of lines and their palette colours, an integer; shapes as above."""
    total = np.int64(0)
    painted = np.empty(lines.shape[1], dtype=np.uint8)
    for y in range(lines.shape[0]):
        _paint(index[y], palette, painted)
        line = np.int64(0)
        for at in range(lines.shape[1]):
            apart = np.int32(lines[y, at]) - np.int32(painted[at])
            line += apart * apart
        total += line
    return total
