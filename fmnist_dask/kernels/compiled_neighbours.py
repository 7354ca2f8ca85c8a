"""Nearest neighbours, compiled by numba. Imported where it runs only: numba takes 0.7 s and 60 MB."""

from __future__ import annotations

import numba
import numpy as np

#: Marks that are looked at together, as one integer: mostly there are none among them.
GROUP = 8
#: Features after which a sum of squares that is too large already is given up.
STRIDE = 16


@numba.njit(nogil=True, cache=True)
def _square_of(left, i, right, j, scale, most):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Squared distance of two rows in float64, in the order of features; above ``most``, some number above it."""
    total = 0.0
    for start in range(0, left.shape[1], STRIDE):
        for at in range(start, min(start + STRIDE, left.shape[1])):
            difference = (np.float64(left[i, at]) - np.float64(right[j, at])) * scale
            total += difference * difference
        if total > most:
            break
    return total


@numba.njit(nogil=True, cache=True)
def keep(square, row, squares, rows, limits, limit_rows, at):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put a neighbour in its place among those of a sample, by distance, then row; the last one drops out.

    Parameters
    ----------
    squares : float64 array, shape (m, k)
        Ascending; infinite where there is no neighbour yet.
    rows : int64 array, shape (m, k)
    limits : float64 array, shape (m,)
    limit_rows : int64 array, shape (m,)
        Distance and row that a neighbour has to come before; lowered once there are k.
    at
        The sample.
    """
    if square > limits[at] or (square == limits[at] and row >= limit_rows[at]):
        return
    last = squares.shape[1] - 1
    place = last
    while place > 0 and (
        squares[at, place - 1] > square or (squares[at, place - 1] == square and rows[at, place - 1] > row)
    ):
        squares[at, place] = squares[at, place - 1]
        rows[at, place] = rows[at, place - 1]
        place -= 1
    squares[at, place] = square
    rows[at, place] = row
    if squares[at, last] < limits[at] or (squares[at, last] == limits[at] and rows[at, last] < limit_rows[at]):
        limits[at] = squares[at, last]
        limit_rows[at] = rows[at, last]


@numba.njit(nogil=True, cache=True)
def keep_found(counts, found_squares, found_rows, squares, rows, limits, limit_rows):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put neighbours that were found elsewhere in their places.

    Parameters
    ----------
    counts : int64 array, shape (m,)
        Neighbours of each sample among those found.
    found_squares : float64 array, shape (sum of counts,)
    found_rows : int64 array, shape (sum of counts,)
    """
    position = 0
    for at in range(counts.shape[0]):
        for _ in range(counts[at]):
            keep(found_squares[position], found_rows[position], squares, rows, limits, limit_rows, at)
            position += 1


@numba.njit(nogil=True, cache=True)
def _bound(limit, half, margin):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """What a product plus the other's half length has to reach, so that two samples may be near enough."""
    return 0.5 * limit * margin - np.float64(half)


@numba.njit(nogil=True, cache=True)
def _mark_products(products, i, halves, bounds, own_half, own_bound, marks):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Mark the pairs of a row that may be near enough: a plain loop, of which compilers make vector instructions."""
    for j in range(products.shape[1]):
        product = products[i, j]
        marks[j] = (product >= halves[j] - own_bound) | (product >= own_half - bounds[j])


@numba.njit(nogil=True, cache=True)
def take_products(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    products, left, right, left_rows, right_rows, left_halves, right_halves, right_bounds, scale, margin, same,
    left_squares, left_found, left_limits, left_limit_rows,
    right_squares, right_found, right_limits, right_limit_rows,
):  # fmt: skip
    """Keep the neighbours in two panels; rounded products rule most pairs out, differences decide about the others.

    Parameters
    ----------
    products : float array, shape (m, n)
        Rounded.
    left, right : arrays, shapes (m, d) and (n, d)
        Features as they are.
    left_rows, right_rows : int64 arrays, shapes (m,) and (n,)
    left_halves, right_halves : arrays like products, shapes (m,) and (n,)
        Half the squared lengths, less what rounding may amount to.
    right_bounds : array like products, shape (n,)
        For what is computed on the way.
    scale
        Factor of differences.
    margin
        Factor of distances to be beaten, a little above 1.
    same
        Whether both panels are the same samples.
    left_squares, left_found, left_limits, left_limit_rows, right_squares, …
        See :func:`keep`.
    """
    n = products.shape[1]
    marks = np.zeros(-(-n // GROUP) * GROUP, np.uint8)
    words = marks.view(np.uint64)
    for j in range(n):
        right_bounds[j] = _bound(right_limits[j], right_halves[j], margin)
    for i in range(products.shape[0]):
        own_half, own_row = left_halves[i], left_rows[i]
        own_bound = products.dtype.type(_bound(left_limits[i], own_half, margin))
        _mark_products(products, i, right_halves, right_bounds, own_half, own_bound, marks)
        first = i + 1 if same else 0
        for group in range(first // GROUP, words.shape[0]):
            if words[group] == 0:
                continue
            for j in range(max(first, group * GROUP), min((group + 1) * GROUP, n)):
                if marks[j] == 0:
                    continue
                product, row = products[i, j], right_rows[j]
                # Of equal images there may be very many: nothing comes before distance zero and a lower row.
                mine = product >= right_halves[j] - own_bound
                mine = mine and (left_limits[i] > 0 or row < left_limit_rows[i])
                theirs = product >= own_half - right_bounds[j]
                theirs = theirs and (right_limits[j] > 0 or own_row < right_limit_rows[j])
                if not (mine or theirs):
                    continue
                most = max(left_limits[i] if mine else -1.0, right_limits[j] if theirs else -1.0)
                square = _square_of(left, i, right, j, scale, most)
                if square > most:
                    continue
                if mine:
                    keep(square, row, left_squares, left_found, left_limits, left_limit_rows, i)
                    own_bound = products.dtype.type(_bound(left_limits[i], own_half, margin))
                if theirs:
                    keep(square, own_row, right_squares, right_found, right_limits, right_limit_rows, j)
                    right_bounds[j] = _bound(right_limits[j], right_halves[j], margin)
