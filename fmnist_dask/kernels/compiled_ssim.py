"""Structural similarity of lines of pixels, compiled by numba. Imported where it runs."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _paint(index, palette, out):  # pragma: no cover - compiled
    """Values of one line of a palette image, channel by channel beside each other."""
    channels = palette.shape[1]
    if channels == 3:
        red, green, blue = palette[:, 0].copy(), palette[:, 1].copy(), palette[:, 2].copy()
        for x in range(index.shape[0]):
            colour = np.intp(index[x])
            out[3 * x] = red[colour]
            out[3 * x + 1] = green[colour]
            out[3 * x + 2] = blue[colour]
    else:
        for x in range(index.shape[0]):
            for channel in range(channels):
                out[channels * x + channel] = palette[index[x], channel]


@numba.njit(nogil=True, cache=True)
def _enter(first, second, sums):  # pragma: no cover - compiled
    """Add a line to the sums of columns. Rows are named before loops, or these would not be vectorized."""
    a_sum, b_sum, squares, products = sums[0], sums[1], sums[2], sums[3]
    for at in range(first.shape[0]):
        a, b = np.int32(first[at]), np.int32(second[at])
        a_sum[at] += a
        b_sum[at] += b
        squares[at] += a * a + b * b
        products[at] += a * b


@numba.njit(nogil=True, cache=True)
def _slide(first, second, old_first, old_second, sums):  # pragma: no cover - compiled
    """Add a line to the sums of columns, and take another one away."""
    a_sum, b_sum, squares, products = sums[0], sums[1], sums[2], sums[3]
    for at in range(first.shape[0]):
        a, b = np.int32(first[at]), np.int32(second[at])
        c, d = np.int32(old_first[at]), np.int32(old_second[at])
        a_sum[at] += a - c
        b_sum[at] += b - d
        squares[at] += a * a + b * b - c * c - d * d
        products[at] += a * b - c * d


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _total(values):  # pragma: no cover - compiled
    total = 0.0
    for at in range(values.shape[0]):
        total += values[at]
    return total


@numba.njit(nogil=True, cache=True)
def _across(sums, channels, window, out):  # pragma: no cover - compiled
    """Sums of windows from sums of their columns, each from that of the window before."""
    for number in range(4):
        columns, totals = sums[number], out[number]
        for at in range(channels):
            total = 0
            for step in range(window):
                total += columns[at + step * channels]
            totals[at] = total
        entering, after = columns[window * channels :], totals[channels:]
        for at in range(after.shape[0]):
            after[at] = totals[at] + entering[at] - columns[at]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _similarities(totals, window, c1, c2, out):  # pragma: no cover - compiled
    """SSIM of each window of a line, from its sums. Denominators are positive, and so are not looked at."""
    # Everything is multiplied by count² · (count − 1) / count of sample variances, so that sums stay integers.
    whole = np.float64(window * window)
    low = c1 * whole * whole
    spread = c2 * whole * (whole - 1.0)
    a_sum, b_sum, squares_sum, products = totals[0], totals[1], totals[2], totals[3]
    for at in range(out.shape[0]):
        a, b = np.float64(a_sum[at]), np.float64(b_sum[at])
        squares, product = np.float64(squares_sum[at]), np.float64(products[at])
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
