"""Exact products of integers through floating-point matrix products."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array

#: Subtracted from pixels, so that products are below 2¹⁴ and more rows fit a panel.
OFFSET = 128
#: Rows whose products float32 adds up without rounding: 1,024 · 128² = 2²⁴.
PANEL_ROWS = 1024


def add_gram(pixels: UInt8Array, gram: FloatArray, sums: AnyArray) -> None:
    """Add ``Σ (x − 128)(x − 128)ᵀ`` and ``Σ (x − 128)`` over the rows of a block; exact.

    Float32 matrix products of at most 1,024 rows have no rounding, since every partial sum is an integer of at most
    2²⁴; float64 holds their sums exactly up to 2⁵³.

    Parameters
    ----------
    pixels : uint8 array, shape (m, d)
    gram : float64 array, shape (d, d)
        Changed in place.
    sums : int64 array, shape (d,)
        Changed in place.
    """
    for start in range(0, len(pixels), PANEL_ROWS):
        panel = pixels[start : start + PANEL_ROWS].astype(np.float32)
        panel -= OFFSET
        # The same array on both sides: NumPy computes one triangle (SYRK) and copies it.
        gram += panel.T @ panel
        sums += panel.sum(axis=0).astype(np.int64)


def scatter_of(gram: FloatArray, sums: AnyArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Mean, and scatter matrix about it, from what :func:`add_gram` gathered.

    Everything is turned to the nearest integer of each mean first, still exactly: what is left to subtract in floating
    point is at most n / 4, so that nothing cancels, and a constant feature has a scatter of exactly zero.

    Returns
    -------
    mean : float64 array, shape (d,)
    scatter : float64 array, shape (d, d)
        ``Σ (x − mean)(x − mean)ᵀ``.
    """
    nearest, rest = _split_mean(sums, n)
    moved = gram.astype(np.int64)
    product = np.multiply.outer(sums, nearest)
    moved -= product
    moved -= product.T
    moved += n * np.multiply.outer(nearest, nearest)
    scatter: FloatArray = moved.astype(np.float64)
    scatter -= np.multiply.outer(rest / n, rest)
    return mean_of(sums, n), scatter


def mean_of(sums: AnyArray, n: int) -> FloatArray:
    """Mean from what :func:`add_gram` gathered, shape (d,)."""
    nearest, rest = _split_mean(sums, n)
    mean: FloatArray = OFFSET + nearest + rest / n
    return mean


def _split_mean(sums: AnyArray, n: int) -> tuple[IntArray, FloatArray]:
    """The integer nearest to each mean about the offset, and n times what is left."""
    nearest = np.rint(sums / n).astype(np.int64)
    return nearest, (sums - n * nearest).astype(np.float64)
