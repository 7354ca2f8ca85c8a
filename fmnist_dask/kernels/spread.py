"""An order of points in a plane of which every beginning is spread evenly over the plane."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Cells along each side at the first level; each level has twice as many.
FIRST_CELLS, LEVELS = 4, 9


def spread_order(points: FloatArray, priority: AnyArray) -> IntArray:
    """Order points so that the first ones cover the plane coarsely, and further ones ever more finely.

    Level by level, each cell that holds points but none that was taken before gives one. So however far one looks into
    the plane, a beginning of the order shows dense and sparse places alike.

    Parameters
    ----------
    points : float array, shape (m, 2)
    priority : array, shape (m,)
        Among the points of a cell the smallest is taken first; of equal ones, the earlier.

    Returns
    -------
    int64 array, shape (m,)
        Positions of the points.
    """
    m = len(points)
    if not m:
        return np.zeros(0, dtype=np.int64)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    shares = (points - low) / np.where(span > 0, span, 1.0)
    waiting = np.argsort(priority, kind="stable").astype(np.int64)
    taken: list[IntArray] = []
    occupied = np.zeros(0, dtype=np.int64)
    for level in range(LEVELS):
        side = FIRST_CELLS * 2**level
        cells = np.minimum((shares * side).astype(np.int64), side - 1) @ np.array([side, 1])
        held = np.unique(cells[occupied])
        first = np.unique(cells[waiting], return_index=True)[1]
        first = np.sort(first[~np.isin(cells[waiting[first]], held)])
        taken.append(waiting[first])
        occupied = np.concatenate([occupied, waiting[first]])
        waiting = np.delete(waiting, first)
    return np.concatenate([*taken, waiting])
