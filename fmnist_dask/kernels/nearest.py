"""Nearest centres, exactly: float32 matrix products decide where they can, float64 differences where they cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    from fmnist_dask.kernels.compiled import choose_nearest, row_norms, settle_doubts

    m, d = features.shape
    labels = np.empty((m, len(sets)), dtype=np.int32)
    dtype = "float32" if d <= WIDE_FEATURES else "float64"
    with np.errstate(over="ignore"):
        columns = np.ascontiguousarray(sets.centres.T, dtype=dtype)
    halves = 0.5 * np.einsum("kd,kd->k", sets.centres, sets.centres)
    lengths = np.sqrt(2 * halves)
    gamma, tiny = (d + 4) * UNIT_ROUNDOFF[dtype], float(np.sqrt(d)) * UNDERFLOW
    # In float64, halves, lengths and norms are rounded as much as products are.
    gamma *= 1 if dtype == "float32" else 4
    with np.errstate(over="ignore"):
        shift = sets.shift.astype(features.dtype) if features.dtype.kind == "f" else None
    # Features are moved in their own precision; what the shift loses in it goes into the scores.
    halves += sets.centres @ (sets.shift if shift is None else sets.shift - shift)
    size = panel_rows(d)
    norms = np.empty(size, dtype=dtype)
    doubts, limits = np.empty((size * len(sets), 2), dtype=np.int32), np.empty(size * len(sets))
    products = np.empty((size, columns.shape[1]), dtype=dtype)
    # One panel for all: memory that is let go of, and asked for again, is cleared by the system each time.
    panels = np.empty((size, d), dtype=dtype)
    for start in range(0, m, size):
        part = features[start : start + size]
        panel = panels[: len(part)]
        # What is too large for float32 becomes infinite, hence doubtful.
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(panel, part if shift is None else part - shift, casting="same_kind")
            rows = slice(start, start + len(panel))
            np.matmul(panel, columns, out=products[: len(panel)])
        row_norms(panel, norms)
        found = products[: len(panel)]
        count = choose_nearest(found, halves, norms, lengths, sets.starts, gamma, tiny, labels[rows], doubts, limits)
        if count:
            settle_doubts(
                part, sets.shift, sets.centres, sets.starts, doubts[:count], labels[rows], found, halves, limits
            )
    return labels


def panel_rows(d: int) -> int:
    """Rows of one matrix product."""
    return max(1, min(PANEL_ROWS, PANEL_VALUES // d))


def nearest_bytes(m: int, d: int, k: int, sets: int) -> int:
    """Memory of :func:`nearest` beyond rows and centres: labels, a panel and its products, centres in another order."""
    size = panel_rows(d)
    wide = 4 if d <= WIDE_FEATURES else 8
    return 12 * m * sets + 2 * wide * size * (d + k) + 16 * k * d


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
