"""Points of a plane to the cells of a grid, so that squared distances add up to little.

Points lie in the unit square. Cell (r, c) of a grid of R rows and C columns is number r C + c, and its centre is
((c + ½) / C, (r + ½) / R). Each point gets a cell of its own; there may be more cells than points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from fmnist_dask.typing import FloatArray, IntArray

#: A window's points are only moved for more than this: what rounding makes of equal sums is no gain.
LEAST_GAIN = 1e-12
#: Bytes of an assignment for each point and cell: costs, squares on the way, SciPy's copy.
COST_BYTES = 24


def cell_centres(rows: int, columns: int) -> FloatArray:
    """Centres of all cells, shape (rows × columns, 2)."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([(column + 0.5) / columns, (row + 0.5) / rows], axis=1)


def squared_distances(points: FloatArray, centres: FloatArray) -> FloatArray:
    """Squared distance of each point to each centre, shape (points, centres)."""
    result: FloatArray = (points[:, :1] - centres[:, 0]) ** 2
    result += (points[:, 1:] - centres[:, 1]) ** 2
    return result


def assign(points: FloatArray, centres: FloatArray) -> IntArray:
    """Position of each point's centre where the sum of squared distances is the least there is (SciPy's solver)."""
    found: IntArray = linear_sum_assignment(squared_distances(points, centres))[1].astype(np.int64)
    return found


def bisected(points: FloatArray, rows: int, columns: int) -> IntArray:
    """Cells by halves of the grid and of the points, again and again, as in a k-d tree; ties by position."""
    cells = np.empty(len(points), dtype=np.int64)
    stack = [(np.arange(len(points)), 0, rows, 0, columns)]
    while stack:
        which, top, bottom, left, right = stack.pop()
        high, wide = bottom - top, right - left
        if len(which) == 0:
            continue
        if high * wide == 1:
            cells[which] = top * columns + left
            continue
        upright = (high * columns >= wide * rows and high > 1) or wide == 1
        half = (high // 2) * wide if upright else (wide // 2) * high
        rest = high * wide - half
        # As many as their share of cells, rounded so that neither side gets more than it has cells.
        first = min(half, max(len(which) - rest, (2 * len(which) * half + high * wide) // (2 * high * wide)))
        ordered = which[np.argsort(points[which, 1 if upright else 0], kind="stable")]
        if upright:
            middle = top + high // 2
            stack += [(ordered[:first], top, middle, left, right), (ordered[first:], middle, bottom, left, right)]
        else:
            middle = left + wide // 2
            stack += [(ordered[:first], top, bottom, left, middle), (ordered[first:], top, bottom, middle, right)]
    return cells


def windows(rows: int, columns: int, side: int, stride: int, shifted: bool) -> list[IntArray]:
    """Cells in groups that share none: ``side`` × ``side`` of them, each ``stride`` cells from the next.

    Those of stride 1 are blocks; wide strides let points move far. ``shifted`` ones begin half a window earlier.
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    shift = side // 2 if shifted else 0
    down, across = (row // stride + shift) // side, (column // stride + shift) // side
    most = columns + 2  # more than there are groups across
    key = ((row % stride * stride + column % stride) * (rows + 2) + down) * most + across
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


def improve(groups: Sequence[tuple[FloatArray, FloatArray, IntArray]]) -> list[IntArray]:
    """Assign the points of windows anew among each window's cells.

    Parameters
    ----------
    groups
        Of each window its points, the centres of its cells, and for each point the position of its centre.

    Returns
    -------
    positions
        Of the points' new centres; the old ones where new ones are not nearer on the whole.
    """
    found = []
    for points, centres, held in groups:
        new = assign(points, centres)
        before, after = (((points - centres[at]) ** 2).sum() for at in (held, new))
        found.append(new if after < before - LEAST_GAIN else held)
    return found
