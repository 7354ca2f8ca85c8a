"""Projecting rows on directions, to the same bits however rows are cut into blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows of a panel. Panels begin at absolute rows that are multiples of this.
PANEL_ROWS = 256
#: Features that become floats at a time: 16 MiB of a panel, however large images are.
TILE_FEATURES = 8192


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
        first, *others = _tiles(features.shape[1])
        np.matmul(features[part, first] - mean[first], columns[first], out=codes[part])
        for tile in others:
            codes[part] += (features[part, tile] - mean[tile]) @ columns[tile]
    return codes


def rounded_product(rows: AnyArray, columns: AnyArray) -> AnyArray:
    """``rows @ columns``, summed in float64 and then rounded to float32.

    In float32, products of the same row differ by a few last bits with the place where the row lies in its array.

    Parameters
    ----------
    rows : float32 array, shape (m, d)
    columns : float32 array, shape (d, k)

    Returns
    -------
    float32 array, shape (m, k)
    """
    found = np.empty((len(rows), columns.shape[1]), np.float32)
    wide = columns.astype(np.float64)
    for first in range(0, len(rows), PANEL_ROWS):
        part = slice(first, first + PANEL_ROWS)
        found[part] = rows[part].astype(np.float64) @ wide
    return found


def sketch(
    features: AnyArray, rows: IntArray, mean: FloatArray, basis: FloatArray, scale: FloatArray, total: IntArray
) -> None:
    """Add ``Σ (x − mean)((x − mean) · basis)`` over rows to ``total``, shape (d, l), as integers.

    Parameters
    ----------
    basis : float64 array, shape (d, l)
    scale : float64 array, shape (d,)
        Of each feature: each panel's sum counts as ``round(v * scale)``.
    """
    columns = np.ascontiguousarray(basis)
    for part in panels(rows):
        codes = project(features[part], rows[part], mean, columns)
        for tile in _tiles(features.shape[1]):
            centred = features[part, tile] - mean[tile]
            total[tile] += np.rint(centred.T @ codes * scale[tile, None]).astype(np.int64)


def projection_bytes(d: int) -> int:
    """Memory of :func:`project` beyond rows, codes and directions: a tile of a panel, as float64, and what is added."""
    return 16 * PANEL_ROWS * min(d, TILE_FEATURES)


def sketch_bytes(d: int, width: int) -> int:
    """Memory of :func:`sketch` beyond rows, basis and sums: a tile of a panel, its product, and that as integers."""
    return projection_bytes(d) + 16 * PANEL_ROWS * width + 32 * min(d, TILE_FEATURES) * width


def _tiles(d: int) -> list[slice]:
    return [slice(first, min(first + TILE_FEATURES, d)) for first in range(0, d, TILE_FEATURES)]


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
