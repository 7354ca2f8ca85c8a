"""Nearest centres, exactly: float32 matrix products decide where they can, float64 differences where they cannot."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.plane import Plane, plane_bytes, plane_of
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows of one matrix product: panel and products stay in the second-level cache; and values, where rows are long.
PANEL_ROWS = 256
PANEL_VALUES = 2**21
#: Features beyond which products are of float64: float32 would leave most rows in doubt.
WIDE_FEATURES = 4096
#: Largest relative rounding errors.
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
#: Root of what a product of two float32 numbers may lose at the lower end of their range, and a little more.
UNDERFLOW = 2.0**-62
#: Rows whose pixels 32 bits add up.
BLOCK_ROWS = 2**24


@dataclass(frozen=True)
class CentreSets:
    """Several sets of centres, of which each row looks for the nearest in every set.

    Attributes
    ----------
    centres : float64 array, shape (k, d)
        All sets, one after the other, about ``shift``.
    starts : int64 array, shape (r + 1,)
        Set ``i`` has centres ``starts[i]`` to ``starts[i + 1]``.
    shift : float64 array, shape (d,)
        Subtracted from features first: products of what is left lose less. Zeros for pixels.
    """

    centres: FloatArray
    starts: IntArray
    shift: FloatArray

    @classmethod
    def of(cls, sets: list[FloatArray], shift: FloatArray | None = None, about_shift: bool = False) -> CentreSets:
        """From centres in the units of the features; with ``about_shift``, the shift has been subtracted already."""
        edges = np.cumsum([0, *(len(centres) for centres in sets)], dtype=np.int64)
        joined = np.concatenate(sets).astype(np.float64)
        moved = np.zeros(joined.shape[1]) if shift is None else np.asarray(shift, dtype=np.float64)
        return cls(np.ascontiguousarray(joined if about_shift else joined - moved), edges, moved)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @functools.cached_property
    def plane(self) -> Plane | None:
        """In which most centres are seen to be too far away, if there are many."""
        return plane_of(self.centres)


def nearest(features: AnyArray, sets: CentreSets) -> AnyArray:
    """Position of the nearest centre in each set; ties go to the first.

    The result is that of float64 arithmetic on differences. A float32 product of d terms is off by at most
    ``γ · |x| |c|``, ``γ = (d + 4) 2⁻²⁴`` (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1, and
    the rounding of both factors); only rows whose two best centres are closer than that are computed again, one or two
    in a thousand. Hence it does not depend on how rows are cut into blocks, nor on the matrix product.

    Parameters
    ----------
    features : uint8, float32 or float64 array, shape (m, d)

    Returns
    -------
    int32 array, shape (m, r)
    """
    m, d = features.shape
    labels = np.empty((m, len(sets)), dtype=np.int32)
    search = _Search(sets, features.dtype, d)
    for start in range(0, m, search.rows):
        search.panel(features[start : start + search.rows], labels[start : start + search.rows])
    return labels


class _Search:
    """What panels of rows look for, and the memory that they do so in.

    One panel, and its products, for all: memory that is let go of, and asked for again, is cleared by the system each
    time.
    """

    def __init__(self, sets: CentreSets, features: np.dtype[Any], d: int) -> None:
        self.sets, self.rows = sets, panel_rows(d)
        dtype = "float32" if d <= WIDE_FEATURES else "float64"
        with np.errstate(over="ignore"):
            self.columns = np.ascontiguousarray(sets.centres.T, dtype=dtype)
            self.shift = sets.shift.astype(features) if features.kind == "f" else None
        halves = 0.5 * np.einsum("kd,kd->k", sets.centres, sets.centres)
        self.lengths = np.sqrt(2 * halves)
        # Features are moved in their own precision; what the shift loses in it goes into the scores.
        self.halves = halves + sets.centres @ (sets.shift if self.shift is None else sets.shift - self.shift)
        # In float64, halves, lengths and norms are rounded as much as products are.
        self.gamma = (d + 4) * UNIT_ROUNDOFF[dtype] * (1 if dtype == "float32" else 4)
        self.tiny = float(np.sqrt(d)) * UNDERFLOW
        self.values = np.empty((self.rows, d), dtype=dtype)
        self.norms = np.empty(self.rows, dtype=dtype)
        self.products = np.empty((self.rows, len(sets.centres)), dtype=dtype)
        self.doubts = np.empty((self.rows * len(sets), 2), dtype=np.int32)
        self.limits = np.empty(self.rows * len(sets))
        self.plane = sets.plane if dtype == "float32" else None
        if self.plane is not None:
            self.centres = np.ascontiguousarray(self.columns.T)
            self.projected = np.empty((self.rows, self.plane.dimensions), dtype=dtype)

    def panel(self, part: AnyArray, labels: AnyArray) -> None:
        """Fill in the labels of one panel of rows."""
        from fmnist_dask.kernels.compiled import choose_nearest, row_norms, settle_doubts
        from fmnist_dask.kernels.compiled_plane import sieve_nearest

        size = len(part)
        values, products = self.values[:size], self.products[:size]
        # What is too large for float32 becomes infinite, hence doubtful.
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(values, part if self.shift is None else part - self.shift, casting="same_kind")
            if self.plane is None:
                np.matmul(values, self.columns, out=products)
            else:
                projected = np.matmul(values, self.plane.basis, out=self.projected[:size])
                np.matmul(projected, self.plane.coordinates, out=products)
        row_norms(values, self.norms)
        measures = self.halves, self.norms, self.lengths, self.sets.starts, self.gamma, self.tiny
        results = labels, self.doubts, self.limits
        if self.plane is None:
            count = choose_nearest(products, *measures, *results)
        else:
            plane = self.plane
            bounds = plane.remainders, plane.rounding, plane.leakage, plane.skew
            count, left = sieve_nearest(values, projected, self.centres, *measures, *bounds, products, *results)
            if not plane.worth(left / size):
                self.plane = None
        if count:
            centres = self.sets.centres, self.sets.starts
            doubts = self.doubts[:count], labels, products, self.halves, self.limits
            settle_doubts(part, self.sets.shift, *centres, *doubts)


def panel_rows(d: int) -> int:
    """Rows of one matrix product."""
    return max(1, min(PANEL_ROWS, PANEL_VALUES // d))


def nearest_bytes(m: int, d: int, k: int, sets: int) -> int:
    """Memory of :func:`nearest` beyond rows and centres: labels, a panel and its products, centres in another order."""
    size = panel_rows(d)
    wide = 4 if d <= WIDE_FEATURES else 8
    return 12 * m * sets + 2 * wide * size * (d + k) + 16 * k * d + plane_bytes(k, d, size)


def squared_distances(features: AnyArray, sets: CentreSets, labels: AnyArray) -> FloatArray:
    """Squared distance of each row to its centre in the first set, shape (m,)."""
    from fmnist_dask.kernels.compiled import own_distances

    out = np.empty(len(features))
    own_distances(features, sets.shift, sets.centres, np.ascontiguousarray(labels, dtype=np.int64), out)
    return out


def pixel_sums(pixels: AnyArray, labels: AnyArray, k: int) -> IntArray:
    """Sum of the rows of each group.

    Parameters
    ----------
    pixels : uint8 array, shape (m, d)
    labels : integer array, shape (m, r)
        Groups below ``k``, once for each set.

    Returns
    -------
    int64 array, shape (k, d)
    """
    from fmnist_dask.kernels.compiled import add_pixels

    total = np.zeros((k, pixels.shape[1]), dtype=np.int64)
    for start in range(0, len(pixels), BLOCK_ROWS):
        sums = np.zeros(total.shape, dtype=np.uint32)
        rows = slice(start, start + BLOCK_ROWS)
        add_pixels(pixels[rows], np.ascontiguousarray(labels[rows], dtype=np.int64), sums)
        total += sums
    return total


def column_moments(pixels: AnyArray) -> tuple[IntArray, IntArray]:
    """Sum and sum of squares of each column of a uint8 array of shape (m, d), as int64 arrays of shape (d,)."""
    from fmnist_dask.kernels.compiled import add_moments

    totals = np.zeros((2, pixels.shape[1]), dtype=np.int64)
    for start in range(0, len(pixels), 2**16):
        parts = np.zeros(totals.shape, dtype=np.uint32)
        add_moments(pixels[start : start + 2**16], parts[0], parts[1])
        totals += parts
    return totals[0], totals[1]
