"""k-means of weighted points of up to three dimensions, such as colours: fast, and hard to improve on.

Points stand in cells of a grid, and cells in larger ones: centres that are no nearest one of a cell's points are left
out for all of them at once (Kanungo et al. 2002), and a cell with one centre left counts as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Cells along an axis, and how many of them make one of the larger ones.
SIDE, OUTER = 32, 4
#: Iterations end when one of them gains less than this share of the sum of squares: while centres are looked for, ...
SEARCH_GAIN = 1e-4
#: ... and at the end.
FINAL_GAIN = 1e-5
#: Search looks at points in bins, of which there are at most so many.
SEARCH_POINTS = 12_000
#: Shares of the clusters that are split, and as many merged, in rounds.
ROUNDS: tuple[int, ...] = (2, 4, 8, 16, 32)
#: Iterations of a search, and between splitting and merging.
MOST, BRIEF = 100, 10


@dataclass(frozen=True)
class Cells:
    """Weighted points, sorted into cells.

    Attributes
    ----------
    d
        Dimensions of the points given; those that they lack here are zero.
    order : int64 array, shape (m,)
        Places of these points among those given.
    points : float64 array, shape (m, 3)
    weight : float64 array, shape (m,)
    starts : int64 array, shape (cells + 1,)
    low, high : float64 arrays, shape (cells, 3)
        Boxes around the points of each cell.
    cell_weight, cell_sum : float64 arrays, shapes (cells,) and (cells, 3)
    outer_starts, outer_low, outer_high
        The same of outer cells, whose members are cells.
    """

    d: int
    order: IntArray
    points: FloatArray
    weight: FloatArray
    starts: IntArray
    low: FloatArray
    high: FloatArray
    cell_weight: FloatArray
    cell_sum: FloatArray
    outer_starts: IntArray
    outer_low: FloatArray
    outer_high: FloatArray

    @classmethod
    def of(cls, points: FloatArray, weight: FloatArray) -> Cells:
        """Sort points of shape (m, d), d up to 3, with positive weights, into cells."""
        d, points = points.shape[1], in_three(points)
        low = points.min(axis=0)
        step = float((points.max(axis=0) - low).max()) / SIDE or 1.0
        place = np.minimum(((points - low) / step).astype(np.int64), SIDE - 1)
        key = np.zeros(len(points), dtype=np.int64)
        for number in (place // OUTER, place):
            for axis in range(points.shape[1]):
                key = key * SIDE + number[:, axis]
        order = np.argsort(key, kind="stable")
        key, points, weight = key[order], points[order], weight[order]
        first = _changes(key)
        outer = _changes(key[first] // SIDE ** points.shape[1])
        lows, highs = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
        return cls(
            d=d,
            order=order,
            points=points,
            weight=weight,
            starts=np.append(first, len(points)),
            low=lows,
            high=highs,
            cell_weight=np.add.reduceat(weight, first),
            cell_sum=np.add.reduceat(points * weight[:, None], first),
            outer_starts=np.append(outer, len(first)),
            outer_low=np.minimum.reduceat(lows, outer),
            outer_high=np.maximum.reduceat(highs, outer),
        )

    def iterate(self, centres: FloatArray, most: int, least_gain: float) -> tuple[FloatArray, FloatArray]:
        """Lloyd's iterations from some centres; the new ones, and the weights of their clusters."""
        from fmnist_dask.kernels.compiled_lloyd import lloyd

        found, count, total = in_three(centres), np.empty(len(centres)), np.empty((len(centres), 3))
        lloyd(
            self.points, self.weight, self.starts, self.low, self.high, self.cell_weight, self.cell_sum,
            self.outer_starts, self.outer_low, self.outer_high, found, count, total, most, least_gain
        )  # fmt: skip
        return found[:, : self.d], count

    def assigned(self, centres: FloatArray) -> tuple[AnyArray, float]:
        """The nearest centre of each point, int32, in the order of ``points``, of equals the first; and the inertia.

        The inertia is the weighted sum of squared distances to these centres.
        """
        from fmnist_dask.kernels.compiled_lloyd import assign

        found = np.empty(len(self.points), dtype=np.int32)
        inertia = assign(
            self.points, self.weight, in_three(centres), self.starts, self.low, self.high,
            self.outer_starts, self.outer_low, self.outer_high, found
        )  # fmt: skip
        return found, float(inertia)

    def labels(self, centres: FloatArray) -> AnyArray:
        """The nearest centre of each point."""
        return self.assigned(centres)[0]

    def inertia(self, centres: FloatArray) -> float:
        """Weighted sum of squared distances to the nearest centres."""
        return self.assigned(centres)[1]

    def split(self, centres: FloatArray, number: int) -> FloatArray:
        """Split the clusters that are longest, along their longest axes; as many more centres."""
        labels, (k, d) = self.labels(centres), centres.shape
        apart = self.points[:, :d] - centres[labels]
        scatter = np.empty((k, d, d))
        for one in range(d):
            for other in range(one + 1):
                products = self.weight * apart[:, one] * apart[:, other]
                scatter[:, one, other] = scatter[:, other, one] = np.bincount(labels, products, k)
        lengths, axes = np.linalg.eigh(scatter)
        longest = np.argsort(-lengths[:, -1], kind="stable")[:number]
        weight = np.maximum(np.bincount(labels, self.weight, k)[longest], 1e-300)
        # As far apart as the halves of a normal distribution.
        offset = np.sqrt(2 / np.pi * np.maximum(lengths[longest, -1], 0.0) / weight)[:, None] * axes[longest, :, -1]
        found = np.concatenate([centres, centres[longest] + offset])
        found[longest] -= offset
        return found


def in_three(points: FloatArray) -> FloatArray:
    """A copy of points of shape (m, d), d up to 3, with three coordinates, of which the last may be zero."""
    found = np.zeros((len(points), 3))
    found[:, : points.shape[1]] = points
    return found


def _changes(keys: IntArray) -> IntArray:
    """Where ascending keys begin to differ from those before."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))


@dataclass(frozen=True)
class MergeTree:
    """Ward's hierarchy of weighted points.

    Attributes
    ----------
    points : float64 array, shape (m, d)
    weight : float64 array, shape (m,)
    merges : float64 array, shape (m − 1, 3)
        By ascending cost: two points, and by how much the sum of squares grows where their clusters become one.
    """

    points: FloatArray
    weight: FloatArray
    merges: FloatArray

    @classmethod
    def of(cls, points: FloatArray, weight: FloatArray) -> MergeTree:
        """Build the hierarchy of points of shape (m, d), d up to 3."""
        from fmnist_dask.kernels.compiled_ward import ward_chain

        merges = np.empty((max(len(points) - 1, 0), 3))
        if len(points) > 1:
            ward_chain(in_three(points), weight.astype(np.float64).copy(), merges)
        return cls(points, weight, merges[np.argsort(merges[:, 2], kind="stable")])

    def labels(self, n_clusters: int) -> AnyArray:
        """Cluster of each point where there are so many, int32; numbered by their first points."""
        from fmnist_dask.kernels.compiled_ward import cut_merges

        found = np.empty(len(self.points), dtype=np.int32)
        cut_merges(self.merges, max(len(self.points) - n_clusters, 0), found)
        return found

    def means(self, n_clusters: int) -> FloatArray:
        """Means of the clusters where there are so many, shape (n_clusters, d)."""
        return means_of(self.points, self.weight, self.labels(n_clusters))


def means_of(points: FloatArray, weight: FloatArray, labels: AnyArray, k: int | None = None) -> FloatArray:
    """Weighted mean of the points of each cluster, shape (k, d); NaN of those without any."""
    k = int(labels.max()) + 1 if k is None else k
    total = np.bincount(labels, weight, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([np.bincount(labels, weight * column, k) / total for column in points.T], axis=1)


def searched(cells: Cells, centres: FloatArray, rounds: Sequence[int] = ROUNDS) -> FloatArray:
    """Better centres than those of Lloyd's iterations alone: clusters are split, and as many merged, again and again.

    Each round splits a share of the clusters along their longest axes, iterates, merges those whose merger costs least
    (Ward's tree of the centres), and iterates; what is better stays.

    Parameters
    ----------
    cells
        Points.
    centres : float64 array, shape (k, d)
        Where to begin.
    rounds
        One for each divisor of k: how many clusters are split.
    """
    k = len(centres)
    best, _ = cells.iterate(centres, MOST, SEARCH_GAIN * cells.inertia(centres))
    least = cells.inertia(best)
    tried = set[int]()
    for divisor in rounds if 1 < k < len(cells.points) else ():
        number = max(1, k // divisor)
        if number in tried:
            continue  # nothing has changed since
        tried.add(number)
        more = cells.split(best, number)
        more, weight = cells.iterate(more, BRIEF, SEARCH_GAIN * least)
        held = weight > 0
        found = MergeTree.of(more[held], weight[held]).means(k)
        if len(found) < k:
            found = cells.split(found, k - len(found))
        found, _ = cells.iterate(found, MOST, SEARCH_GAIN * least)
        reached = cells.inertia(found)
        if reached < least:
            best, least, tried = found, reached, set()
    return best


def polished(cells: Cells, centres: FloatArray, gain: float = FINAL_GAIN) -> FloatArray:
    """Centres after Lloyd's iterations on all points, until one of them gains next to nothing."""
    return cells.iterate(centres, 3 * MOST, gain * cells.inertia(centres))[0]


def optimal_grey(weight: FloatArray, k: int) -> list[AnyArray]:
    """Best clusters of grey levels, of 1 to ``k`` clusters: no others have a lower sum of squares.

    Parameters
    ----------
    weight : float64 array, shape (m,)
        Pixels of the levels 0, 1, …

    Returns
    -------
    list of int32 arrays, shape (m,)
        Cluster of each level, ascending, for 1, 2, … clusters.
    """
    from fmnist_dask.kernels.compiled_colours import optimal_levels

    m = len(weight)
    cost, split = np.zeros((k, m)), np.zeros((k, m), dtype=np.int64)
    optimal_levels(weight.astype(np.float64), k, cost, split)
    found = []
    for runs in range(k):
        labels = np.zeros(m, dtype=np.int32)
        stop = m
        for number in range(runs, -1, -1):
            start = int(split[number, stop - 1]) if stop > 0 else 0
            labels[start:stop] = number
            stop = start
        found.append(labels)
    return found
