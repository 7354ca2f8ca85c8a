"""Ward's hierarchy of weighted points of up to three dimensions, compiled by numba. Imported where it runs.

Points lie in a grid of cells, so that a nearest neighbour is looked for in the cells around a point, ring by ring, and
not among all: no matrix of distances, and time that hardly grows faster than the points.
"""

from __future__ import annotations

import numba
import numpy as np

#: Cells of the grid along each axis.
SIDE = 64


@numba.njit(nogil=True, cache=True)
def _cell(points, at, low, step):  # pragma: no cover - compiled
    code = 0
    for axis in range(3):
        place = int((points[at, axis] - low[axis]) / step)
        code = code * SIDE + min(max(place, 0), SIDE - 1)
    return code


@numba.njit(nogil=True, cache=True)
def _cost(points, weight, one, other):  # pragma: no cover - compiled
    """By how much the sum of squares grows where two clusters become one."""
    a = points[one, 0] - points[other, 0]
    b = points[one, 1] - points[other, 1]
    c = points[one, 2] - points[other, 2]
    return weight[one] * weight[other] / (weight[one] + weight[other]) * (a * a + b * b + c * c)


@numba.njit(nogil=True, cache=True)
def _nearest(points, weight, head, following, low, step, alive, n_alive, least_weight, at, best, least):
    # pragma: no cover - compiled
    """The cluster that is cheapest to merge with, where it is cheaper than one that is known."""
    mine = weight[at]
    factor = mine * least_weight / (mine + least_weight)
    cell = _cell(points, at, low, step)
    x, y, z = cell // (SIDE * SIDE), cell // SIDE % SIDE, cell % SIDE
    for ring in range(SIDE):
        # All that lies in this ring is at least so far away.
        gap = (ring - 1) * step
        if ring > 1 and factor * gap * gap > least:
            return best, least
        if (2 * ring + 1) ** 3 > n_alive:
            for number in range(n_alive):
                other = alive[number]
                if other != at:
                    cost = _cost(points, weight, at, other)
                    if cost < least:
                        best, least = other, cost
            return best, least
        for i in range(max(x - ring, 0), min(x + ring, SIDE - 1) + 1):
            for j in range(max(y - ring, 0), min(y + ring, SIDE - 1) + 1):
                inside = abs(i - x) < ring and abs(j - y) < ring
                # Of lines through the inside of the ring only both ends belong to it.
                stride = 2 * ring if inside else 1
                k = z - ring
                while k <= z + ring:
                    if 0 <= k < SIDE:
                        other = head[(i * SIDE + j) * SIDE + k]
                        while other >= 0:
                            if other != at:
                                cost = _cost(points, weight, at, other)
                                if cost < least:
                                    best, least = other, cost
                            other = following[other]
                    k += stride
    return best, least


@numba.njit(nogil=True, cache=True)
def _take_out(head, following, preceding, cell, at):  # pragma: no cover - compiled
    if preceding[at] >= 0:
        following[preceding[at]] = following[at]
    else:
        head[cell] = following[at]
    if following[at] >= 0:
        preceding[following[at]] = preceding[at]


@numba.njit(nogil=True, cache=True)
def _put_in(head, following, preceding, cell, at):  # pragma: no cover - compiled
    following[at] = head[cell]
    preceding[at] = -1
    if head[cell] >= 0:
        preceding[head[cell]] = at
    head[cell] = at


@numba.njit(nogil=True, cache=True)
def _push(keys, names, size, key, name):  # pragma: no cover - compiled
    """Put an entry into a heap whose first is the least."""
    at = size
    while at > 0 and keys[(at - 1) // 2] > key:
        keys[at], names[at] = keys[(at - 1) // 2], names[(at - 1) // 2]
        at = (at - 1) // 2
    keys[at], names[at] = key, name


@numba.njit(nogil=True, cache=True)
def _pop(keys, names, size):  # pragma: no cover - compiled
    """Take the first entry out of a heap."""
    key, name = keys[size - 1], names[size - 1]
    at = 0
    while 2 * at + 1 < size - 1:
        child = 2 * at + 1
        if child + 1 < size - 1 and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[at], names[at] = keys[child], names[child]
        at = child
    keys[at], names[at] = key, name


@numba.njit(nogil=True, cache=True)
def ward_chain(points, weight, merges):  # pragma: no cover - compiled
    """Ward's hierarchy by chains of nearest neighbours (Murtagh 1983), with costs from centroids.

    Chains begin at the lightest cluster there is: what is left then weighs the more, and searches end the sooner.

    Parameters
    ----------
    points : float64 array, shape (m, 3)
        Changed in place.
    weight : float64 array, shape (m,)
        Changed in place; positive.
    merges : float64 array, shape (m − 1, 3)
        Filled, in the order in which they are found: two points that stand for clusters, of which the second stands for
        both afterwards, and by how much the sum of squares grows.
    """
    m = points.shape[0]
    low = np.empty(3)
    step = 1e-9
    for axis in range(3):
        least = most = points[0, axis]
        for at in range(m):
            least, most = min(least, points[at, axis]), max(most, points[at, axis])
        low[axis] = least
        step = max(step, (most - least) / SIDE)
    head = np.full(SIDE**3, -1, dtype=np.int64)
    following, preceding = np.full(m, -1, dtype=np.int64), np.full(m, -1, dtype=np.int64)
    for at in range(m):
        _put_in(head, following, preceding, _cell(points, at, low, step), at)
    alive, place = np.arange(m), np.arange(m)
    n_alive = m
    keys, names = np.empty(2 * m), np.empty(2 * m, dtype=np.int64)
    order = np.argsort(weight)  # sorted entries are a heap
    keys[:m], names[:m] = weight[order], order
    size = m
    chain = np.empty(m + 1, dtype=np.int64)
    length = 0
    for number in range(m - 1):
        # Entries of clusters that are merged, or weigh more by now, are of the past.
        while place[names[0]] < 0 or weight[names[0]] != keys[0]:
            _pop(keys, names, size)
            size -= 1
        least_weight = keys[0]
        if length == 0:
            chain[0] = names[0]
            length = 1
        while True:
            last = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            # Of equals the one before in the chain, or it would never end.
            least = _cost(points, weight, last, before) if before >= 0 else np.inf
            best, least = _nearest(
                points, weight, head, following, low, step, alive, n_alive, least_weight, last, before, least
            )
            if best == before:
                break
            chain[length] = best
            length += 1
        one, other = chain[length - 1], chain[length - 2]
        length -= 2
        merges[number, 0], merges[number, 1], merges[number, 2] = one, other, least
        _take_out(head, following, preceding, _cell(points, one, low, step), one)
        _take_out(head, following, preceding, _cell(points, other, low, step), other)
        both = weight[one] + weight[other]
        for axis in range(3):
            points[other, axis] = (weight[one] * points[one, axis] + weight[other] * points[other, axis]) / both
        weight[other] = both
        _put_in(head, following, preceding, _cell(points, other, low, step), other)
        _push(keys, names, size, both, other)
        size += 1
        n_alive -= 1
        moved = alive[n_alive]
        alive[place[one]] = moved
        place[moved] = place[one]
        place[one] = -1


@numba.njit(nogil=True, cache=True)
def cut_merges(merges, n_merges, labels):  # pragma: no cover - compiled
    """Clusters after the first mergers; how many there are. They are numbered by their first points.

    Parameters
    ----------
    merges : float64 array, shape (m − 1, 3)
        As above, by ascending cost.
    labels : int32 array, shape (m,)
        Filled.
    """
    m = labels.shape[0]
    parent = np.arange(m)
    for number in range(n_merges):
        one, other = int(merges[number, 0]), int(merges[number, 1])
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        while parent[other] != other:
            parent[other] = parent[parent[other]]
            other = parent[other]
        parent[one] = other
    named = np.full(m, -1, dtype=np.int64)
    count = 0
    for at in range(m):
        root = at
        while parent[root] != root:
            parent[root] = parent[parent[root]]
            root = parent[root]
        if named[root] < 0:
            named[root] = count
            count += 1
        labels[at] = named[root]
    return count
