"""Exact nearest neighbours among samples, by Euclidean distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.nearest import UNIT_ROUNDOFF, WIDE_FEATURES
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows of the panels whose products are made at once: 2 MB of them.
LEFT_ROWS, RIGHT_ROWS = 512, 1024
#: Values of one panel, at most: rows of many features are fewer.
PANEL_VALUES = 2**21
#: What products and lengths of scaled values may lose below float32's range, for each feature.
UNDERFLOW = 2.0**-120
#: Exponents of scales: beyond, their squares are no floats.
MOST_EXPONENT = 500
#: Row of a neighbour that there is not.
NOBODY = -1


@dataclass(frozen=True)
class Measure:
    """How distances are computed: always the same way for the same two samples.

    Attributes
    ----------
    shift : float64 array, shape (d,)
        Subtracted before products are made, so that little cancels where features are far from zero. Distances do not
        depend on it.
    scale
        Power of two by which differences are multiplied, so that neither products nor squares leave the range of
        floats.
    """

    shift: FloatArray
    scale: float

    @classmethod
    def of_range(cls, low: FloatArray, high: FloatArray) -> Measure:
        """For features between two bounds, each of shape (d,); for pixels 0 and 255."""
        reach = float(np.max(high - low, initial=0.0))
        exponent = math.frexp(reach)[1] if reach > 0 else 0
        scale = math.ldexp(1.0, max(-MOST_EXPONENT, min(MOST_EXPONENT, -exponent)))
        return cls(low + (high - low) / 2, scale)

    def distances(self, squares: FloatArray) -> FloatArray:
        """Distances in the units of the features."""
        found: FloatArray = np.sqrt(squares) / self.scale
        return found


@dataclass(frozen=True)
class Samples:
    """Some samples and their numbers.

    Attributes
    ----------
    features : uint8, float32 or float64 array, shape (m, d)
    rows : int64 array, shape (m,)
    """

    features: AnyArray
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> Samples:
        """Some of them."""
        return Samples(self.features[start:stop], self.rows[start:stop])


@dataclass(frozen=True)
class Best:
    """The nearest neighbours so far, by distance, then row: the same whatever is looked at first. Changed in place.

    Attributes
    ----------
    squares : float64 array, shape (m, k)
        Squared distances, scaled, ascending; infinite where there is no neighbour.
    rows : int64 array, shape (m, k)
        Their rows; −1 where there is none.
    limits : float64 array, shape (m,)
    limit_rows : int64 array, shape (m,)
        Distance and row that others have to come before to be kept.
    """

    squares: FloatArray
    rows: IntArray
    limits: FloatArray
    limit_rows: IntArray

    @classmethod
    def none(cls, m: int, k: int) -> Best:
        """No neighbours."""
        return cls.before(np.full(m, np.inf), np.full(m, NOBODY, np.int64), k)

    @classmethod
    def before(cls, limits: FloatArray, limit_rows: IntArray, k: int) -> Best:
        """No neighbours, and no use for those that do not come before the given ones."""
        m = len(limits)
        return cls(np.full((m, k), np.inf), np.full((m, k), NOBODY, np.int64), limits.copy(), limit_rows.copy())

    def part(self, start: int, stop: int) -> Best:
        """Of some of the samples; a view."""
        rows = slice(start, stop)
        return Best(self.squares[rows], self.rows[rows], self.limits[rows], self.limit_rows[rows])

    def found(self) -> tuple[IntArray, FloatArray, IntArray]:
        """How many neighbours each sample has, and their squared distances and rows, one sample after the other."""
        there = self.rows != NOBODY
        return there.sum(axis=1), self.squares[there], self.rows[there]

    def take(self, counts: IntArray, squares: FloatArray, rows: IntArray) -> None:
        """Keep neighbours that were :meth:`found` elsewhere, where they are nearer."""
        from fmnist_dask.kernels.compiled_neighbours import keep_found

        keep_found(counts, squares, rows, self.squares, self.rows, self.limits, self.limit_rows)


def look_within(samples: Samples, best: Best, measure: Measure) -> None:
    """Look for neighbours among the samples themselves; each pair is looked at once, none is its own neighbour."""
    left, right = panel_rows(samples.features.shape[1])
    room = _room(samples)
    for low in range(0, len(samples), right):
        columns = _Panel.of(samples.part(low, low + right), measure)
        mine = best.part(low, low + right)
        for start in range(low, low + len(columns), left):
            # A panel with itself, then with what follows it among the columns.
            stop = min(start + left, low + len(columns))
            rows, own = columns.part(start - low, stop - low), best.part(start, stop)
            _look(rows, rows, own, own, measure, room, same=True)
            rest, others = columns.part(stop - low, len(columns)), mine.part(stop - low, len(columns))
            if len(rest):
                _look(rows, rest, own, others, measure, room)
        for start in range(0, low, left):
            stop = min(start + left, low)
            rows = _Panel.of(samples.part(start, stop), measure)
            _look(rows, columns, best.part(start, stop), mine, measure, room)


def look_between(left: Samples, right: Samples, left_best: Best, right_best: Best, measure: Measure) -> None:
    """Look for the neighbours of two different sets of samples in each other."""
    left_rows, right_rows = panel_rows(left.features.shape[1])
    room = _room(left)
    for low in range(0, len(right), right_rows):
        columns, theirs = _Panel.of(right.part(low, low + right_rows), measure), right_best.part(low, low + right_rows)
        for start in range(0, len(left), left_rows):
            rows = _Panel.of(left.part(start, start + left_rows), measure)
            _look(rows, columns, left_best.part(start, start + left_rows), theirs, measure, room)


def look_for(samples: Samples, others: AnyArray, k: int, measure: Measure) -> tuple[IntArray, FloatArray]:
    """The k nearest of other samples to each sample: their places among them and distances, nearest first.

    Parameters
    ----------
    others : array, shape (p, d)
        At least k.
    """
    p = len(others)
    best = Best.none(len(samples), k)
    # The others look for nobody: nothing comes before a limit of minus infinity.
    nobody = Best.before(np.full(p, -np.inf), np.full(p, NOBODY, np.int64), 1)
    look_between(samples, Samples(others, np.arange(p)), best, nobody, measure)
    return best.rows, measure.distances(best.squares)


def panel_rows(d: int) -> tuple[int, int]:
    """Rows of the panels on the left and on the right."""
    most = max(1, PANEL_VALUES // d)
    return min(LEFT_ROWS, most), min(RIGHT_ROWS, most)


def panel_bytes(d: int) -> int:
    """Memory of two panels and their products while they are looked at."""
    left, right = panel_rows(d)
    wide = np.dtype(dtype_of(d)).itemsize
    return (left + right) * d * (wide + 8) + wide * left * right


def dtype_of(d: int) -> str:
    """Precision of products; in float32, those of very many features would rule too little out."""
    return "float32" if d <= WIDE_FEATURES else "float64"


@dataclass(frozen=True)
class _Panel:
    """Samples as they are, and as products are made of them."""

    samples: Samples
    values: AnyArray
    halves: AnyArray

    @classmethod
    def of(cls, samples: Samples, measure: Measure) -> _Panel:
        """Convert samples.

        A rounded product of d terms is off by at most ``γ |x| |y|``, ``γ = d u / (1 − d u)`` (Higham, "Accuracy and
        Stability of Numerical Algorithms", section 3.1), ``u`` the unit roundoff; values, halves and comparisons are
        rounded, too, which is less than ``7 u (|x|² + |y|²) / 2``. In float64 the direct sum, against which products
        are held, is off as much: four times that is ample.
        """
        d = samples.features.shape[1]
        dtype = dtype_of(d)
        moved = (samples.features - measure.shift) * measure.scale
        values = np.ascontiguousarray(moved, dtype=dtype)
        squares = np.einsum("ij,ij->i", values, values, dtype=np.float64)
        slack = 2 * (d + 8) * UNIT_ROUNDOFF[dtype] * (1 if dtype == "float32" else 4)
        halves = (0.5 * squares * (1 - slack) - d * UNDERFLOW).astype(dtype)
        return cls(samples, values, halves)

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, start: int, stop: int) -> _Panel:
        """Some of the samples."""
        return _Panel(self.samples.part(start, stop), self.values[start:stop], self.halves[start:stop])


def _room(samples: Samples) -> AnyArray:
    """Memory for the products of two panels: allocated anew each time, it would be cleared page by page each time."""
    d = samples.features.shape[1]
    left, right = panel_rows(d)
    return np.empty(left * right, dtype=dtype_of(d))


def _look(
    rows: _Panel, columns: _Panel, own: Best, others: Best, measure: Measure, room: AnyArray, same: bool = False
) -> None:
    """Keep the neighbours in two panels."""
    from fmnist_dask.kernels.compiled_neighbours import take_products

    left, right = rows.samples, columns.samples
    mine = (own.squares, own.rows, own.limits, own.limit_rows)
    theirs = (others.squares, others.rows, others.limits, others.limit_rows)
    products = room[: len(rows) * len(columns)].reshape(len(rows), len(columns))
    np.matmul(rows.values, columns.values.T, out=products)
    # What is to be beaten is rounded, and so is the comparison.
    margin = 1 + 4 * UNIT_ROUNDOFF[str(products.dtype)]
    take_products(
        products, left.features, right.features, left.rows, right.rows, rows.halves, columns.halves,
        np.empty_like(columns.halves), measure.scale, margin, same, *mine, *theirs,
    )  # fmt: skip
