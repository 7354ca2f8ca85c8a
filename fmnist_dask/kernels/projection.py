"""Projecting rows on directions, to the same bits however rows are cut into blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows of a panel. Panels begin at absolute rows that are multiples of this.
PANEL_ROWS = 256


def panels(rows: IntArray, size: int = PANEL_ROWS) -> Iterator[slice]:
    """Slices of ascending rows that belong to the same panel.

    A matrix product may round differently for other shapes; with panels that depend on the absolute row alone, every
    row is always multiplied in the same company. Blocks must begin at multiples of ``size``.
    """
    panel = rows // size
    edges = [0, *(np.flatnonzero(np.diff(panel)) + 1).tolist(), len(rows)]
    for low, high in itertools.pairwise(edges):
        if low < high:
            yield slice(low, high)


def project(features: AnyArray, rows: IntArray, mean: FloatArray, directions: FloatArray) -> FloatArray:
    """``(x − mean) · directions`` in float64.

    Parameters
    ----------
    features : uint8 or float array, shape (m, d)
    rows : int64 array, shape (m,)
        Absolute rows, ascending.
    mean : float64 array, shape (d,)
    directions : float64 array, shape (d, k)

    Returns
    -------
    float64 array, shape (m, k)
    """
    codes = np.empty((len(features), directions.shape[1]))
    columns = np.ascontiguousarray(directions)
    for part in panels(rows):
        np.matmul(features[part] - mean, columns, out=codes[part])
    return codes


def sketch(features: AnyArray, rows: IntArray, mean: FloatArray, basis: FloatArray, scale: FloatArray) -> IntArray:
    """``Σ (x − mean)((x − mean) · basis)`` over rows, as integers: each panel's sum counts as ``round(v * scale)``.

    Parameters
    ----------
    basis : float64 array, shape (d, l)
    scale : float64 array, shape (d,)
        Of each feature.

    Returns
    -------
    int64 array, shape (d, l)
    """
    total = np.zeros(basis.shape, dtype=np.int64)
    columns = np.ascontiguousarray(basis)
    for part in panels(rows):
        centred = features[part] - mean
        total += np.rint(centred.T @ (centred @ columns) * scale[:, None]).astype(np.int64)
    return total


def scatter_about(features: AnyArray, rows: IntArray, mean: FloatArray, scale: FloatArray, total: IntArray) -> None:
    """Add ``Σ (x − mean)(x − mean)ᵀ`` to ``total``, shape (d, d), as integers.

    Parameters
    ----------
    scale : float64 array, shape (d,)
        Powers of two. Each panel's sum over features i and j counts as ``round(v * scale[i] * scale[j])``.
    """
    for part in panels(rows):
        centred = (features[part] - mean) * scale
        total += np.rint(centred.T @ centred).astype(np.int64)
