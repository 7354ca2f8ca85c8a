"""Exact per-pixel histograms of one block, and the statistics that follow from them."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array

LEVELS = 256


def order_statistics(counts: AnyArray, ranks: IntArray) -> IntArray:
    """Values at given ranks of the sorted sample that a histogram describes.

    Parameters
    ----------
    counts : integer array, shape (..., 256)
    ranks : int64 array, shape (r,)
        Zero-based ranks, each below the number of values.

    Returns
    -------
    int64 array, shape (r, ...)
    """
    cumulative = np.cumsum(counts, axis=-1, dtype=np.int64)
    return np.stack([(cumulative <= rank).sum(axis=-1) for rank in ranks]).astype(np.int64)


def quantiles(counts: AnyArray, probabilities: FloatArray) -> FloatArray:
    """Quantiles by linear interpolation, equal to :func:`numpy.quantile` on the values themselves.

    Parameters
    ----------
    counts : integer array, shape (..., 256)
        Histograms; all of them count the same number of values.
    probabilities : float array, shape (q,)

    Returns
    -------
    float64 array, shape (q, ...)
        NaN where nothing was counted.
    """
    size = int(counts.reshape(-1, LEVELS)[0].sum()) if counts.size else 0
    shape = (len(probabilities), *counts.shape[:-1])
    if size == 0:
        return np.full(shape, np.nan)
    lower, weight = quantile_ranks(size, probabilities)
    below = order_statistics(counts, lower)
    above = order_statistics(counts, np.minimum(lower + 1, size - 1))
    return interpolated(below, above, weight.reshape(-1, *(1 for _ in shape[1:])))


def quantile_ranks(size: int, probabilities: FloatArray) -> tuple[IntArray, FloatArray]:
    """Zero-based rank at or below each quantile of ``size`` values, and the share of the way to the next rank."""
    virtual = np.asarray(probabilities, dtype=np.float64) * (size - 1)
    lower = np.floor(virtual).astype(np.int64)
    return lower, virtual - lower


def interpolated(below: AnyArray, above: AnyArray, weight: FloatArray) -> FloatArray:
    """Values a share of the way from ``below`` to ``above``."""
    low, high = below.astype(np.float64), above.astype(np.float64)
    # The two-sided form is NumPy's own; the results agree bit for bit.
    step = high - low
    return np.where(weight < 0.5, low + step * weight, high - step * (1 - weight))


def moments(counts: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Mean and population standard deviation of the values that histograms describe.

    Parameters
    ----------
    counts : integer array, shape (..., 256)

    Returns
    -------
    mean, std : float64 arrays, shape (...)
        NaN where nothing was counted. Sums are taken as integers about the integer nearest to the mean, so that
        nothing cancels and the only roundings are those of the last divisions.
    """
    levels = np.arange(LEVELS, dtype=np.int64)
    counts = counts.astype(np.int64)
    return moments_of(counts.sum(axis=-1), (counts * levels).sum(axis=-1), (counts * levels * levels).sum(axis=-1))


def moments_of(size: AnyArray, total: IntArray, squares: IntArray) -> tuple[FloatArray, FloatArray]:
    """The same from the number of values, their sum and their sum of squares (int64)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / size
        centre = np.where(size > 0, np.rint(np.nan_to_num(mean)), 0).astype(np.int64)
        deviation = total - centre * size
        squared = squares - 2 * centre * total + centre * centre * size
        std = np.sqrt(np.maximum(squared / size - (deviation / size) ** 2, 0.0))
    return mean, np.where(size > 0, std, np.nan)


def extremes(counts: AnyArray) -> tuple[UInt8Array, UInt8Array]:
    """Smallest and largest value that histograms of shape (..., 256) describe, as uint8 (0 where empty)."""
    present = counts > 0
    lowest = present.argmax(axis=-1)
    highest = LEVELS - 1 - present[..., ::-1].argmax(axis=-1)
    empty = ~present.any(axis=-1)
    return np.where(empty, 0, lowest).astype(np.uint8), np.where(empty, 0, highest).astype(np.uint8)
