"""Lloyd's iterations of weighted points of three dimensions, compiled by numba. Imported where they run."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _candidates(low, high, x, y, z, among, n_among, out):  # pragma: no cover - compiled
    """Centres that may be the nearest of some point of a box, in ascending order (Kanungo et al. 2002)."""
    mid_x, mid_y, mid_z = 0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]), 0.5 * (low[2] + high[2])
    best, least = among[0], np.inf
    for at in range(n_among):
        c = among[at]
        a, b, e = x[c] - mid_x, y[c] - mid_y, z[c] - mid_z
        square = a * a + b * b + e * e
        if square < least:
            least, best = square, c
    best_x, best_y, best_z = x[best], y[best], z[best]
    kept = 0
    for at in range(n_among):
        c = among[at]
        if c != best:
            # The corner that lies farthest in the direction of this centre: where even that is nearer to the best
            # one, all of the box is.
            a, b, e = x[c] - best_x, y[c] - best_y, z[c] - best_z
            gain = a * (x[c] + best_x - 2.0 * (high[0] if a > 0 else low[0]))
            gain += b * (y[c] + best_y - 2.0 * (high[1] if b > 0 else low[1]))
            gain += e * (z[c] + best_z - 2.0 * (high[2] if e > 0 else low[2]))
            if gain > 1e-9:
                continue
        out[kept] = c
        kept += 1
    return kept


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _nearest(p, q, r, few, n_few, x, y, z):  # pragma: no cover - compiled
    least, best = np.inf, few[0]
    for number in range(n_few):
        c = few[number]
        a, b, e = p - x[c], q - y[c], r - z[c]
        square = a * a + b * b + e * e
        if square < least:
            least, best = square, c
    return best


@numba.njit(nogil=True, cache=True, error_model="numpy")
def assign(
    points, weight, centres, starts, lows, highs, outer_starts, outer_lows, outer_highs, labels
):  # pragma: no cover - compiled
    """The nearest centre of each point, of equals the first; the weighted sum of squared distances to them.

    Points stand in cells, and cells in outer ones.

    Parameters
    ----------
    points : float64 array, shape (m, 3)
        Those of a cell are consecutive.
    weight : float64 array, shape (m,)
    centres : float64 array, shape (k, 3)
    starts : int64 array, shape (cells + 1,)
    lows, highs : float64 arrays, shape (cells, 3)
    outer_starts : int64 array, shape (outer cells + 1,)
        First cell of each outer one.
    labels : int32 array, shape (m,)
        Filled.
    """
    k = centres.shape[0]
    x, y, z = centres[:, 0].copy(), centres[:, 1].copy(), centres[:, 2].copy()
    everything = np.arange(k)
    some, few = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
    inertia = 0.0
    for outer in range(outer_starts.shape[0] - 1):
        n_some = _candidates(outer_lows[outer], outer_highs[outer], x, y, z, everything, k, some)
        for cell in range(outer_starts[outer], outer_starts[outer + 1]):
            n_few = _candidates(lows[cell], highs[cell], x, y, z, some, n_some, few)
            for at in range(starts[cell], starts[cell + 1]):
                p, q, r = points[at, 0], points[at, 1], points[at, 2]
                best = few[0]
                if n_few > 1:
                    best = _nearest(p, q, r, few, n_few, x, y, z)
                labels[at] = best
                a, b, e = p - x[best], q - y[best], r - z[best]
                inertia += weight[at] * (a * a + b * b + e * e)
    return inertia


@numba.njit(nogil=True, cache=True, error_model="numpy")
def lloyd(
    points,
    weight,
    starts,
    lows,
    highs,
    cell_weight,
    cell_sum,
    outer_starts,
    outer_lows,
    outer_highs,
    centres,
    count,
    total,
    most,
    least_gain,
):  # pragma: no cover - compiled
    """Lloyd's iterations, until one of them gains no more than ``least_gain``; how many there were.

    Cells all of whose points have one nearest centre count as a whole. ``centres`` are changed in place; ``count`` and
    ``total`` are filled with weights and sums of the clusters, whose means the centres are.
    """
    k = centres.shape[0]
    everything = np.arange(k)
    some, few = np.empty(k, dtype=np.int64), np.empty(k, dtype=np.int64)
    before = -np.inf
    for iteration in range(most):
        x, y, z = centres[:, 0].copy(), centres[:, 1].copy(), centres[:, 2].copy()
        total[:] = 0.0
        count[:] = 0.0
        for outer in range(outer_starts.shape[0] - 1):
            n_some = _candidates(outer_lows[outer], outer_highs[outer], x, y, z, everything, k, some)
            for cell in range(outer_starts[outer], outer_starts[outer + 1]):
                n_few = _candidates(lows[cell], highs[cell], x, y, z, some, n_some, few)
                if n_few == 1:
                    best = few[0]
                    count[best] += cell_weight[cell]
                    for axis in range(3):
                        total[best, axis] += cell_sum[cell, axis]
                    continue
                for at in range(starts[cell], starts[cell + 1]):
                    p, q, r, w = points[at, 0], points[at, 1], points[at, 2], weight[at]
                    best = _nearest(p, q, r, few, n_few, x, y, z)
                    count[best] += w
                    total[best, 0] += w * p
                    total[best, 1] += w * q
                    total[best, 2] += w * r
        # The sum of squares is that of all points about the origin, less this.
        between = 0.0
        for c in range(k):
            if count[c] > 0:
                for axis in range(3):
                    centres[c, axis] = total[c, axis] / count[c]
                    between += total[c, axis] * centres[c, axis]
        if between - before <= least_gain:
            return iteration + 1
        before = between
    return most
