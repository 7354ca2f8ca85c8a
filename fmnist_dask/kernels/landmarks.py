"""Affinities of rows to the landmarks nearest to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Affinities of a row add up to this, in whole numbers: their sums over rows are exact.
UNIT_BITS = 20


@dataclass(frozen=True)
class Landmarks:
    """Points that stand for all samples.

    Attributes
    ----------
    centres : float64 array, shape (p, d)
    neighbours
        Landmarks that a row has an affinity to: the nearest ones.
    width
        Twice the variance of the Gaussian kernel; in squared units of the features.
    """

    centres: FloatArray
    neighbours: int
    width: float

    def nearest(self, features: AnyArray, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """The landmarks nearest to each row, in ascending order, and squared distances; both of shape (m, neighbours).

        Parameters
        ----------
        features : uint8 or float array, shape (m, d)
        rows : int64 array, shape (m,)
            Absolute rows, ascending: results are the same however rows are cut into blocks that begin at multiples of
            a panel.
        """
        from fmnist_dask.kernels.compiled_distances import smallest_of_rows

        p = len(self.centres)
        r = min(self.neighbours, p)
        shift = self.centres.mean(axis=0)
        moved = self.centres - shift
        # The score of a landmark, ``|c|² − 2 x·c``, in one product of (x, 1).
        columns = np.concatenate([-2 * moved.T, np.einsum("pd,pd->p", moved, moved)[None]])
        panel = np.ones((min(PANEL_ROWS, len(features)), len(columns)))
        scores = np.empty((len(panel), p))
        index, distance = np.empty((len(features), r), np.int64), np.empty((len(features), r))
        for part in panels(rows):
            values = panel[: part.stop - part.start]
            np.subtract(features[part], shift, out=values[:, :-1])
            found = np.matmul(values, columns, out=scores[: len(values)])
            smallest_of_rows(found, index[part], distance[part])
            distance[part] += np.einsum("md,md->m", values[:, :-1], values[:, :-1])[:, None]
        np.maximum(distance, 0, out=distance)
        return index, distance

    def affinities(self, features: AnyArray, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Landmarks of each row, and affinities to them as whole numbers that add up to about 2²⁰; (m, neighbours)."""
        index, distance = self.nearest(features, rows)
        # Relative to the nearest: that of a row far from all landmarks would vanish.
        weight = np.exp((distance.min(axis=1, keepdims=True) - distance) / self.width)
        weight /= weight.sum(axis=1, keepdims=True)
        return index, np.rint(weight * 2**UNIT_BITS).astype(np.int64)


def add_products(total: IntArray, index: IntArray, weight: IntArray) -> None:
    """Add ``Σ z zᵀ`` over sparse rows z to ``total``, shape (p, p); exact."""
    from scipy.sparse import csr_array

    m, r = index.shape
    starts = np.arange(0, (m + 1) * r, r)
    sparse = csr_array((weight.ravel(), index.ravel(), starts), shape=(m, len(total)))
    found = (sparse.T @ sparse).tocoo()
    total[found.row, found.col] += found.data  # no entry is twice in a product


def landmark_bytes(d: int, p: int, r: int, rows: int) -> int:
    """Memory of :meth:`Landmarks.affinities` beyond rows and landmarks."""
    return 8 * PANEL_ROWS * (3 * p + 2 * d) + 8 * p * (d + 2) + 40 * rows * r
