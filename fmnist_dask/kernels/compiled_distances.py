"""Sums of distances by cluster, compiled by numba. Imported where it runs only: numba takes 0.7 s and 60 MB."""

from __future__ import annotations

import numba
import numpy as np

# What is added are whole numbers below 2⁵³, so that the order in which they are added makes no difference.
WHOLE = {"reassoc", "contract", "nsz"}


@numba.njit(nogil=True, cache=True, fastmath=WHOLE)
def add_distances(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    products, left_squares, right_squares, left_labels, edges, edge_labels, scale, left_sums, right_sums
):
    """Add the distances of all pairs of two panels to sums by the cluster of the other one.

    Parameters
    ----------
    products : float array, shape (m, n)
    left_squares, right_squares : float64 arrays, shapes (m,) and (n,)
        Squared lengths.
    left_labels : int32 array, shape (m,)
    edges : int64 array, shape (s + 1,)
        Where runs of one cluster begin on the right, and their end.
    edge_labels : int32 array, shape (s,)
        The cluster of each run.
    scale
        Distances are rounded to multiples of its inverse.
    left_sums : float64 array, shape (m, k)
        Changed in place, in units of 1 / scale.
    right_sums : float64 array, shape (k, n)
        Likewise.
    """
    for i in range(products.shape[0]):
        mine = right_sums[left_labels[i]]
        own = left_squares[i]
        for run in range(edge_labels.shape[0]):
            total = 0.0
            for j in range(edges[run], edges[run + 1]):
                square = max(own + right_squares[j] - 2.0 * np.float64(products[i, j]), 0.0)
                distance = np.floor(np.sqrt(square) * scale + 0.5)
                total += distance
                mine[j] += distance
            left_sums[i, edge_labels[run]] += total


@numba.njit(nogil=True, cache=True, fastmath=WHOLE)
def add_near_distances(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    left, right, left_labels, right_labels, scale, left_sums, right_sums
):
    """The same of vectors of few values, from their differences: nothing cancels, and each pair is exact by itself.

    Parameters
    ----------
    left, right : float64 arrays, shapes (m, d) and (n, d)
    """
    for i in range(left.shape[0]):
        mine = right_sums[left_labels[i]]
        for j in range(right.shape[0]):
            square = 0.0
            for feature in range(left.shape[1]):
                difference = left[i, feature] - right[j, feature]
                square += difference * difference
            distance = np.floor(np.sqrt(square) * scale + 0.5)
            mine[j] += distance
            left_sums[i, right_labels[j]] += distance


@numba.njit(nogil=True, cache=True, fastmath=WHOLE)
def add_product_distances(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    products, left_squares, right_squares, labels, scale, sums
):
    """Add the distances of all pairs of two panels to sums by the clusters of the right side, of several labellings.

    Parameters
    ----------
    products : float array, shape (m, n)
    left_squares, right_squares : float64 arrays, shapes (m,) and (n,)
        Squared lengths.
    labels : int64 array, shape (r, n)
        Columns of ``sums``, once for each labelling.
    scale
        Distances are rounded to multiples of its inverse.
    sums : float64 array, shape (m, k)
        Changed in place, in units of 1 / scale.
    """
    distances = np.empty(products.shape[1])
    for i in range(products.shape[0]):
        own = left_squares[i]
        for j in range(products.shape[1]):
            square = max(own + right_squares[j] - 2.0 * np.float64(products[i, j]), 0.0)
            distances[j] = np.floor(np.sqrt(square) * scale + 0.5)
        for labelling in range(labels.shape[0]):
            for j in range(products.shape[1]):
                sums[i, labels[labelling, j]] += distances[j]


@numba.njit(nogil=True, cache=True, fastmath=WHOLE)
def add_vector_distances(left, right, labels, scale, sums):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The same from the differences of vectors: nothing cancels, and each pair is exact by itself.

    Parameters
    ----------
    left, right : float64 arrays, shapes (m, d) and (n, d)
    """
    distances = np.empty(right.shape[0])
    for i in range(left.shape[0]):
        for j in range(right.shape[0]):
            square = 0.0
            for feature in range(left.shape[1]):
                difference = left[i, feature] - right[j, feature]
                square += difference * difference
            distances[j] = np.floor(np.sqrt(square) * scale + 0.5)
        for labelling in range(labels.shape[0]):
            for j in range(right.shape[0]):
                sums[i, labels[labelling, j]] += distances[j]


@numba.njit(nogil=True, cache=True)
def smallest_of_rows(scores, index, least):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Columns of the smallest scores of each row, in ascending order of the columns; of equals, the first.

    Parameters
    ----------
    scores : float64 array, shape (m, p)
    index : int64 array, shape (m, r)
        Filled with columns.
    least : float64 array, shape (m, r)
        Filled with their scores.
    """
    r = index.shape[1]
    for i in range(scores.shape[0]):
        for slot in range(r):
            index[i, slot] = slot
            least[i, slot] = scores[i, slot]
        worst = 0
        for slot in range(1, r):
            if least[i, slot] >= least[i, worst]:
                worst = slot
        bound = least[i, worst]
        for j in range(r, scores.shape[1]):
            if scores[i, j] < bound:
                # Those behind move up, so that columns stay in order.
                for slot in range(worst, r - 1):
                    index[i, slot] = index[i, slot + 1]
                    least[i, slot] = least[i, slot + 1]
                index[i, r - 1] = j
                least[i, r - 1] = scores[i, j]
                worst = 0
                for slot in range(1, r):
                    if least[i, slot] >= least[i, worst]:
                        worst = slot
                bound = least[i, worst]
