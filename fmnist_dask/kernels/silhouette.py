"""Sums of distances from each sample to the members of each cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows of the panels whose products are made at once: 2 MB of them.
LEFT_ROWS, RIGHT_ROWS = 512, 1024
#: Subtracted from pixels, so that products of 1,024 of them are below 2²⁴, and exact in float32.
OFFSET, EXACT_FEATURES = 128, 1024
#: Vectors of at most so many values are compared by their differences.
FEW_FEATURES = 24


@dataclass(frozen=True)
class Panel:
    """Samples as they are compared, in the order of their clusters.

    Attributes
    ----------
    values : float32 or float64 array, shape (m, d)
    squares : float64 array, shape (m,)
        Squared lengths.
    labels : int32 array, shape (m,)
        Ascending.
    order : int64 array, shape (m,)
        Where each came from.
    """

    values: AnyArray
    squares: FloatArray
    labels: IntArray
    order: IntArray

    @classmethod
    def of(cls, features: AnyArray, labels: IntArray, shift: FloatArray | None = None) -> Panel:
        """Sort and convert samples.

        Parameters
        ----------
        shift : float64 array, shape (d,)
            Subtracted from features that are no pixels, so that little cancels where they are far from zero.
        """
        order = np.argsort(labels, kind="stable")
        pixels = features.dtype == np.uint8
        exact = pixels and features.shape[1] <= EXACT_FEATURES
        values: Any = features[order].astype(np.float32 if exact else np.float64)
        if pixels:
            values -= OFFSET
        elif shift is not None:
            values -= shift
        squares = np.einsum("ij,ij->i", values, values, dtype=np.float64)
        return cls(values, squares, labels[order].astype(np.int32), order)

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> Panel:
        """Some of the samples."""
        rows = slice(start, stop)
        return Panel(self.values[rows], self.squares[rows], self.labels[rows], self.order[rows])


def distance_scale(largest: float, n: int) -> float:
    """Power of two by which distances are multiplied before they are rounded to whole numbers.

    The sum of n of them is below 2⁵², so that float64 adds them up without rounding, in whatever order.
    """
    if largest <= 0:
        return 1.0
    exponent = math.floor(52 - math.log2(largest) - math.log2(max(n, 1)))
    return math.ldexp(1.0, min(exponent, 1000))


def distance_sums(left: Panel, right: Panel, k: int, scale: float) -> tuple[FloatArray, FloatArray]:
    """Sums of the distances between two sets of samples.

    Parameters
    ----------
    k
        Clusters.
    scale
        See :func:`distance_scale`.

    Returns
    -------
    float64 arrays, shapes (len(left), k) and (len(right), k)
        For each sample, in the order before sorting, the sum of its distances to the members of each cluster on the
        other side, in units of 1 / scale.
    """
    from fmnist_dask.kernels.compiled_distances import add_distances, add_near_distances

    of_left, of_right = np.zeros((len(left), k)), np.zeros((k, len(right)))
    few = left.values.shape[1] <= FEW_FEATURES
    for low in range(0, len(right), RIGHT_ROWS):
        columns = right.part(low, low + RIGHT_ROWS)
        edges = np.flatnonzero(np.r_[True, np.diff(columns.labels) != 0, True])
        sums = np.zeros((k, len(columns)))
        for start in range(0, len(left), LEFT_ROWS):
            rows = left.part(start, start + LEFT_ROWS)
            found = of_left[start : start + LEFT_ROWS]
            if few:
                add_near_distances(
                    rows.values.astype(np.float64), columns.values.astype(np.float64), rows.labels, columns.labels,
                    scale, found, sums,
                )  # fmt: skip
                continue
            products = rows.values @ columns.values.T
            add_distances(
                products, rows.squares, columns.squares, rows.labels, edges, columns.labels[edges[:-1]], scale, found,
                sums,
            )  # fmt: skip
        of_right[:, low : low + RIGHT_ROWS] = sums
    return _restored(of_left, left.order), _restored(of_right.T, right.order)


def sums_by_labellings(
    sample: AnyArray, features: AnyArray, labels: IntArray, k: int, scale: float, shift: FloatArray | None
) -> FloatArray:
    """Sums of the distances of some samples to the members of each cluster of several labellings.

    Each distance is worked out once. Of pixels, products decide, which are exact; of floats, differences do: hence
    results do not depend on how rows are cut.

    Parameters
    ----------
    sample : array, shape (m, d)
    features : array, shape (n, d)
    labels : int64 array, shape (r, n)
        Clusters by each labelling, numbered through all of them.
    k
        Clusters of all labellings.
    scale, shift
        See :func:`distance_scale` and :meth:`Panel.of`.

    Returns
    -------
    float64 array, shape (m, k)
        Whole numbers, in units of 1 / scale.
    """
    from fmnist_dask.kernels.compiled_distances import add_product_distances, add_vector_distances

    sums = np.zeros((len(sample), k))
    by_products = sample.dtype == np.uint8 and sample.shape[1] > FEW_FEATURES
    for low in range(0, len(features), RIGHT_ROWS):
        part = slice(low, low + RIGHT_ROWS)
        right, clusters = _unsorted(features[part], shift), np.ascontiguousarray(labels[:, part])
        for start in range(0, len(sample), LEFT_ROWS):
            left = _unsorted(sample[start : start + LEFT_ROWS], shift)
            found = sums[start : start + LEFT_ROWS]
            if by_products:
                products = left.values @ right.values.T
                add_product_distances(products, left.squares, right.squares, clusters, scale, found)
            else:
                values = left.values.astype(np.float64), right.values.astype(np.float64)
                add_vector_distances(*values, clusters, scale, found)
    return sums


def _unsorted(features: AnyArray, shift: FloatArray | None) -> Panel:
    return Panel.of(features, np.zeros(len(features), dtype=np.int32), shift)


def inner_sums(panel: Panel, k: int, scale: float) -> FloatArray:
    """The same among the samples of one set; each pair is looked at once.

    Returns
    -------
    float64 array, shape (len(panel), k)
    """
    found = np.zeros((len(panel), k))
    for start in range(0, len(panel), RIGHT_ROWS):
        rows = panel.part(start, start + RIGHT_ROWS)
        here = np.arange(len(rows))
        rows = Panel(rows.values, rows.squares, rows.labels, here)
        # All pairs of a panel with itself come twice: once from either side.
        found[start : start + RIGHT_ROWS] += distance_sums(rows, rows, k, scale)[0]
        rest = panel.part(start + RIGHT_ROWS, len(panel))
        if len(rest):
            rest = Panel(rest.values, rest.squares, rest.labels, np.arange(len(rest)))
            mine, theirs = distance_sums(rows, rest, k, scale)
            found[start : start + RIGHT_ROWS] += mine
            found[start + RIGHT_ROWS :] += theirs
    return _restored(found, panel.order)


def _restored(sums: FloatArray, order: IntArray) -> FloatArray:
    """Rows in the order that they had before they were sorted."""
    found = np.empty_like(sums)
    found[order] = sums
    return found


def silhouettes(sums: FloatArray, labels: IntArray, sizes: IntArray) -> FloatArray:
    """Silhouette of each sample (Rousseeuw 1987); 0 for the only member of its cluster.

    Parameters
    ----------
    sums : float64 array, shape (m, k)
        Sums of the distances to the members of each cluster.
    labels : int array, shape (m,)
    sizes : int64 array, shape (k,)
        Members of each cluster; 0 for none.
    """
    rows = np.arange(len(sums))
    own = sizes[labels]
    within = sums[rows, labels] / np.maximum(own - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        others = np.where(sizes > 0, sums / sizes, np.inf)
    others[rows, labels] = np.inf
    between = others.min(axis=1)
    largest = np.maximum(within, between)
    known = (own > 1) & np.isfinite(between) & (largest > 0)
    found: FloatArray = np.where(known, (between - within) / np.where(known, largest, 1.0), 0.0)
    return found
