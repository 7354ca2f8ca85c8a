"""Kernels compiled by numba. Imported where they run only: numba costs a process 0.7 s and 60 MB."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def count_levels(pixels, rows, counts):  # pragma: no cover - compiled
    """Add each pixel of the given rows to ``counts[pixel, level]``.

    Parameters
    ----------
    pixels : uint8 array, shape (n, n_pixels)
    rows : int64 array, shape (m,)
        Rows to count.
    counts : uint32 array, shape (n_pixels, 256)
        Changed in place.
    """
    # Rows of one class are much alike: four at a time, most pixels agree (background, saturated cloth) and cost one
    # update instead of four. That is 1.5 times as fast as row by row; tiles of pixels were up to twice as slow, since
    # a counter hit again too soon stalls the store buffer.
    one, four = np.uint32(1), np.uint32(4)
    whole = rows.shape[0] // 4 * 4
    for at in range(0, whole, 4):
        first, second, third, fourth = rows[at], rows[at + 1], rows[at + 2], rows[at + 3]
        for pixel in range(pixels.shape[1]):
            a, b = pixels[first, pixel], pixels[second, pixel]
            c, d = pixels[third, pixel], pixels[fourth, pixel]
            if ((a ^ b) | (c ^ d) | (a ^ c)) == 0:
                counts[pixel, a] += four
            else:
                counts[pixel, a] += one
                counts[pixel, b] += one
                counts[pixel, c] += one
                counts[pixel, d] += one
    for at in range(whole, rows.shape[0]):
        for pixel in range(pixels.shape[1]):
            counts[pixel, pixels[rows[at], pixel]] += one


@numba.njit(nogil=True, cache=True)
def _spread(squares, total, count):  # pragma: no cover - compiled
    """``squares · count − total²``: the variance of ``count`` integers of up to ±1020, times their number squared."""
    if count <= 1 << 21:
        return float(squares * count - total * total)  # exact: below 2^63
    return max(float(squares) - float(total) * (float(total) / count), 0.0) * count


@numba.njit(nogil=True, cache=True)
def measure_images(gray, out):  # pragma: no cover - compiled
    """Measure each grey image; see :func:`fmnist_dask.kernels.properties.image_properties`.

    Parameters
    ----------
    gray : uint8 array, shape (rows, y, x)
    out : float32 array, shape (rows, 5)
        Filled in the order of ``PROPERTIES``.
    """
    rows, height, width = gray.shape
    size = height * width
    inner = max((height - 2) * (width - 2), 0)
    levels = np.empty(256, np.int64)
    for row in range(rows):
        levels[:] = 0
        for y in range(height):
            for x in range(width):
                levels[gray[row, y, x]] += 1
        laplacian_sum = np.int64(0)
        laplacian_squares = np.int64(0)
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                value = (
                    np.int64(gray[row, y - 1, x])
                    + np.int64(gray[row, y + 1, x])
                    + np.int64(gray[row, y, x - 1])
                    + np.int64(gray[row, y, x + 1])
                    - 4 * np.int64(gray[row, y, x])
                )
                laplacian_sum += value
                laplacian_squares += value * value
        total = 0
        squares = 0
        most = 0
        distinct = 0
        for level in range(256):
            count = levels[level]
            total += count * level
            squares += count * level * level
            most = max(most, count)
            distinct += count > 0
        out[row, 0] = total / (255.0 * size)
        out[row, 1] = np.sqrt(_spread(squares, total, size)) / (255.0 * size)
        out[row, 2] = most / size
        out[row, 3] = np.sqrt(_spread(laplacian_squares, laplacian_sum, inner)) / (255.0 * max(inner, 1))
        out[row, 4] = distinct
