"""Lloyd's iterations and mixtures of weighted points of few dimensions, compiled by numba. Imported where they run."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _candidates(low, high, centres, among, n_among, out):  # pragma: no cover - compiled
    """Centres that may be the nearest of some point of a box, in ascending order (Kanungo et al. 2002)."""
    d = centres.shape[1]
    best, least = -1, np.inf
    for at in range(n_among):
        c = among[at]
        square = 0.0
        for axis in range(d):
            apart = centres[c, axis] - 0.5 * (low[axis] + high[axis])
            square += apart * apart
        if square < least:
            least, best = square, c
    kept = 0
    for at in range(n_among):
        c = among[at]
        if c != best:
            # The corner that lies farthest in the direction of this centre: where even that is nearer to the best
            # one, all of the box is.
            gain = 0.0
            for axis in range(d):
                corner = high[axis] if centres[c, axis] > centres[best, axis] else low[axis]
                gain += (centres[c, axis] - centres[best, axis]) * (
                    centres[c, axis] + centres[best, axis] - 2.0 * corner
                )
            if gain > 1e-9:
                continue
        out[kept] = c
        kept += 1
    return kept


@numba.njit(nogil=True, cache=True)
def assign(points, centres, starts, lows, highs, outer_starts, outer_lows, outer_highs, labels):  # pragma: no cover
    """The nearest centre of each point, of equals the first. Points stand in cells, and cells in outer ones.

    Parameters
    ----------
    points : float64 array, shape (m, d)
        Those of a cell are consecutive.
    centres : float64 array, shape (k, d)
    starts : int64 array, shape (cells + 1,)
    lows, highs : float64 arrays, shape (cells, d)
    outer_starts : int64 array, shape (outer cells + 1,)
        First cell of each outer one.
    labels : int32 array, shape (m,)
        Filled.
    """
    k, d = centres.shape
    everything = np.arange(k)
    some, few = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
    for outer in range(outer_starts.shape[0] - 1):
        n_some = _candidates(outer_lows[outer], outer_highs[outer], centres, everything, k, some)
        for cell in range(outer_starts[outer], outer_starts[outer + 1]):
            n_few = _candidates(lows[cell], highs[cell], centres, some, n_some, few)
            if n_few == 1:
                for at in range(starts[cell], starts[cell + 1]):
                    labels[at] = few[0]
                continue
            for at in range(starts[cell], starts[cell + 1]):
                least, best = np.inf, 0
                for number in range(n_few):
                    c = few[number]
                    square = 0.0
                    for axis in range(d):
                        apart = points[at, axis] - centres[c, axis]
                        square += apart * apart
                    if square < least:
                        least, best = square, c
                labels[at] = best


@numba.njit(nogil=True, cache=True)
def lloyd(
    points, weight, starts, lows, highs, cell_weight, cell_sum, outer_starts, outer_lows, outer_highs, centres,
    count, total, most, least_gain
):  # pragma: no cover - compiled  # fmt: skip
    """Lloyd's iterations, until one of them gains no more than ``least_gain``; how many there were.

    Cells all of whose points have one nearest centre count as a whole. ``centres`` are changed in place; ``count`` and
    ``total`` are filled with weights and sums of the clusters, whose means the centres are.
    """
    k, d = centres.shape
    everything = np.arange(k)
    some, few = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
    before = -np.inf
    for iteration in range(most):
        total[:] = 0.0
        count[:] = 0.0
        for outer in range(outer_starts.shape[0] - 1):
            n_some = _candidates(outer_lows[outer], outer_highs[outer], centres, everything, k, some)
            for cell in range(outer_starts[outer], outer_starts[outer + 1]):
                n_few = _candidates(lows[cell], highs[cell], centres, some, n_some, few)
                if n_few == 1:
                    best = few[0]
                    count[best] += cell_weight[cell]
                    for axis in range(d):
                        total[best, axis] += cell_sum[cell, axis]
                    continue
                for at in range(starts[cell], starts[cell + 1]):
                    least, best = np.inf, 0
                    for number in range(n_few):
                        c = few[number]
                        square = 0.0
                        for axis in range(d):
                            apart = points[at, axis] - centres[c, axis]
                            square += apart * apart
                        if square < least:
                            least, best = square, c
                    count[best] += weight[at]
                    for axis in range(d):
                        total[best, axis] += weight[at] * points[at, axis]
        # The sum of squares is that of all points about the origin, less this.
        between = 0.0
        for c in range(k):
            if count[c] > 0:
                for axis in range(d):
                    centres[c, axis] = total[c, axis] / count[c]
                    between += total[c, axis] * centres[c, axis]
        if between - before <= least_gain:
            return iteration + 1
        before = between
    return most
