"""Nearest centres by bounds in a plane, compiled by numba. Imported where it runs only."""

from __future__ import annotations

import numba
import numpy as np

# Where scores are no numbers, all of them are looked at: what these make of them does not matter.
NUMBERS = {"nnan", "nsz", "reassoc", "contract"}
#: Centres whose bounds are compared at once.
RUN = 32


@numba.njit(nogil=True, cache=True, fastmath=NUMBERS)
def _least_upper(products, halves, remainders, rounding, left, norm, scratch):  # pragma: no cover - compiled
    """The least of the upper bounds of scores, which lie within ``left * remainders + norm * rounding``.

    The smaller of two halves, of what is left again, and so on: compilers make one long minimum a chain of single
    comparisons, three times as slow.
    """
    size = products.shape[0]
    for at in range(size):
        scratch[at] = halves[at] - products[at] + left * remainders[at] + norm * rounding[at]
    while size > 1:
        half = (size + 1) // 2
        for at in range(size - half):
            scratch[at] = scratch[at] if scratch[at] < scratch[half + at] else scratch[half + at]
        size = half
    return scratch[0]


@numba.njit(nogil=True, cache=True, fastmath=NUMBERS)
def _below(products, halves, remainders, rounding, left, norm, limit):  # pragma: no cover - compiled
    """How many of their lower bounds are not above the limit."""
    count = np.int32(0)
    for at in range(products.shape[0]):
        lower = halves[at] - products[at] - left * remainders[at] - norm * rounding[at]
        count += np.int32(lower <= limit)
    return count


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _product(row, centre):  # pragma: no cover - compiled
    """Of two float32 vectors; the bound of its error holds for any order of summation."""
    total = np.float32(0)
    for at in range(row.shape[0]):
        total += row[at] * centre[at]
    return total


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _length(row):  # pragma: no cover - compiled
    total = np.float32(0)
    for at in range(row.shape[0]):
        total += row[at] * row[at]
    return np.sqrt(np.float64(total))


@numba.njit(nogil=True, cache=True)
def _candidates(products, halves, remainders, rounding, left, norm, limit, found):  # pragma: no cover - compiled
    """Fill ``found`` with the positions of lower bounds that are not above the limit; returns how many there are."""
    count = 0
    for begin in range(0, products.shape[0], RUN):
        end = min(begin + RUN, products.shape[0])
        run = slice(begin, end)
        if _below(products[run], halves[run], remainders[run], rounding[run], left, norm, limit) == 0:
            continue
        for at in range(begin, end):
            lower = halves[at] - products[at] - left * remainders[at] - norm * rounding[at]
            if lower <= limit:
                found[count] = at
                count += 1
    return count


@numba.njit(nogil=True, cache=True)
def sieve_nearest(  # pragma: no cover - compiled
    panel, projected, centres, halves, norms, lengths, starts, gamma, tiny,
    remainders, rounding, leakage, skew, products, labels, doubts, limits
):  # fmt: skip
    """Nearest centre by rounded scores of those centres only that may be it, as :func:`choose_nearest` gives it.

    Parameters
    ----------
    panel : float32 array, shape (m, d)
    projected : float32 array, shape (m, p)
        Rows in the plane.
    centres : float32 array, shape (k, d)
    halves, norms, lengths, starts, gamma, tiny, labels, doubts, limits
        As :func:`choose_nearest` takes them.
    remainders, rounding, leakage, skew
        As a plane has them; the first two of float32, rounded up.
    products : float32 array, shape (m, k)
        Products in the plane. In rows with doubts they are replaced by those with the centres, and by minus infinity
        where a centre is too far.

    Returns
    -------
    tuple of int
        Number of doubts, and of products that were computed.
    """
    sets = starts.shape[0] - 1
    longest, widest = np.zeros(sets), np.zeros(sets)
    for group in range(sets):
        for at in range(starts[group], starts[group + 1]):
            longest[group] = max(longest[group], lengths[at])
            widest[group] = max(widest[group], abs(halves[at]))
    short = halves.astype(np.float32)
    found = np.empty(halves.shape[0], dtype=np.int64)
    values, scratch = np.empty(halves.shape[0], dtype=np.float32), np.empty(halves.shape[0], dtype=np.float32)
    count, computed = 0, 0
    for row in range(panel.shape[0]):
        # Lengths are rounded in float32.
        norm = np.float64(norms[row]) * (1.0 + panel.shape[1] * 2.0**-24) + tiny
        inside = max(_length(projected[row]) * (1.0 - projected.shape[1] * 2.0**-24) - leakage * norm, 0.0)
        left = np.float32(np.sqrt(max(norm * norm - inside * inside * (1.0 - skew), 0.0)) * (1 + 2.0**-20))
        reach = np.float32(norm * (1 + 2.0**-20))
        for group in range(sets):
            first, last = starts[group], starts[group + 1]
            large = longest[group]
            bound = 2.0 * gamma * (norms[row] + tiny) * (large + tiny) + tiny * tiny
            own, half = products[row, first:last], halves[first:last]
            near = short[first:last], remainders[first:last], rounding[first:last]
            if last - first == 1:
                labels[row, group] = 0
                continue
            limit = np.inf
            number = 0
            # What may be beyond float32's range is doubtful, whatever has become of it.
            if (norms[row] + 1.0) * large < 2.0**126:
                # Bounds are worked out in float32: four sums, whose terms are |h|, |x| |c| twice, and little else.
                coarse = 2.0**-20 * (widest[group] + 3.0 * norm * large) + tiny
                upper = _least_upper(own, *near, left, reach, scratch) + coarse
                number = _candidates(own, *near, left, reach, np.float32(upper + coarse), found)
                best_score, best = np.inf, 0
                for index in range(number):
                    at = found[index]
                    values[index] = _product(panel[row], centres[first + at])
                    score = half[at] - np.float64(values[index])
                    if score < best_score:
                        best_score, best = score, at
                computed += number
                limit = best_score + bound
                within = 0
                for index in range(number):
                    within += 1 if half[found[index]] - np.float64(values[index]) <= limit else 0
                if within == 1:
                    labels[row, group] = best
                    continue
            own[:] = -np.inf
            for index in range(number):
                own[found[index]] = values[index]
            doubts[count, 0], doubts[count, 1] = row, group
            limits[count] = limit
            count += 1
    return count, computed
