"""Structural similarity and squared error of images in the colours of a palette, exact, also over parts of an image."""

from __future__ import annotations

import math

import numpy as np

from fmnist_dask.typing import AnyArray, IntArray, UInt8Array

#: Side of the windows that are compared, and the range of pixels.
WINDOW, DATA_RANGE = 7, 255.0
C1, C2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2


def n_windows(height: int, width: int, channels: int) -> int:
    """Windows of an image, each channel counted; 0 where it is smaller than one."""
    return max(height - WINDOW + 1, 0) * max(width - WINDOW + 1, 0) * channels


def fixed_point(windows: int) -> int:
    """Bits after the point with which sums of so many similarities stay below 2^62."""
    return min(40, 61 - max(windows, 1).bit_length())


def similarity_sums(image: UInt8Array, index: UInt8Array, palette: UInt8Array, bits: int) -> int:
    """Sum of the similarities of all windows that lie in some lines, in units of 2^−bits.

    The mean similarity of Wang et al. (2004) as scikit-image computes it by default: uniform windows of 7 × 7, sample
    covariances, each channel by itself, windows that reach over the edge left out. Sums within windows are integers,
    and those of a line of windows are rounded once, so that parts of an image add up to the whole whatever they are.

    Parameters
    ----------
    image : uint8 array, shape (y, x, channels)
    index : uint8 array, shape (y, x)
        Places in the palette.
    palette : uint8 array, shape (k, channels)
    """
    from fmnist_dask.kernels.compiled_ssim import palette_similarity

    height, width, channels = image.shape
    if not n_windows(height, width, channels):
        return 0
    found = np.empty(height - WINDOW + 1)
    lines = np.ascontiguousarray(image).reshape(height, width * channels)
    palette_similarity(lines, index, palette, WINDOW, C1, C2, found)
    total: int = int(np.rint(np.ldexp(found, bits)).astype(np.int64).sum())
    return total


def squared_errors(image: UInt8Array, index: UInt8Array, palette: UInt8Array) -> int:
    """Sum of squared differences of all values; shapes as above."""
    from fmnist_dask.kernels.compiled_ssim import squared_error

    height, width, channels = image.shape
    lines = np.ascontiguousarray(image).reshape(height, width * channels)
    return int(squared_error(lines, index, palette))


def similarities(images: UInt8Array, index: UInt8Array, palettes: UInt8Array) -> AnyArray:
    """Mean similarity of each of many images, NaN where they are smaller than a window.

    Parameters
    ----------
    images : uint8 array, shape (n, y, x, channels)
    index : uint8 array, shape (n, y, x)
    palettes : uint8 array, shape (n, k, channels), or (1, k, channels) for all

    Returns
    -------
    float64 array, shape (n,)
    """
    from fmnist_dask.kernels.compiled_ssim import palette_similarity

    n, height, width, channels = images.shape
    windows = n_windows(height, width, channels)
    if not windows:
        return np.full(n, np.nan)
    found = np.empty((n, height - WINDOW + 1))
    lines = np.ascontiguousarray(images).reshape(n, height, width * channels)
    for at in range(n):
        palette = palettes[at % len(palettes)]
        palette_similarity(lines[at], index[at], palette, WINDOW, C1, C2, found[at])
    result: AnyArray = found.sum(axis=1) / windows
    return result


def rounded(values: AnyArray, bits: int) -> int:
    """Their sum in units of 2^−bits, each rounded: the same in any order."""
    whole: IntArray = np.rint(np.ldexp(values, bits)).astype(np.int64)
    return int(whole.sum())


def mean_of(total: int, windows: int, bits: int) -> float:
    """Mean from a sum in units of 2^−bits; NaN of nothing."""
    return math.ldexp(total / windows, -bits) if windows else math.nan
