"""Ward's hierarchy of points that stand for many samples each."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray


def weighted_ward(points: FloatArray, weight: FloatArray) -> FloatArray:
    """Merge, again and again, the two clusters whose merger adds least to the sum of squares within clusters.

    By chains of nearest neighbours (Murtagh 1983) on all distances, updated by Lance and Williams' formula: time and
    memory grow with the square of the points.

    Parameters
    ----------
    points : float64 array, shape (m, d)
    weight : float64 array, shape (m,)
        Samples that each stands for; positive.

    Returns
    -------
    float64 array, shape (m − 1, 4)
        As ``scipy.cluster.hierarchy.linkage`` returns it: two clusters, their distance, the weight of both. A distance
        is the root of twice what the merger adds, which for single points is that between them.
    """
    m = len(points)
    squares = _merger_costs(points, weight)
    size = weight.astype(np.float64).copy()
    merges = np.empty((m - 1, 3))
    active = np.ones(m, dtype=bool)
    chain: list[int] = []
    for step in range(m - 1):
        if not chain:
            chain.append(int(active.argmax()))
        while True:
            last = chain[-1]
            row = squares[last]
            nearest = int(row.argmin())
            # Of equals the one before in the chain, or it would never end.
            if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
                break
            chain.append(nearest)
        one, other = chain.pop(), chain.pop()
        merges[step] = min(one, other), max(one, other), squares[one, other]
        _merge(squares, size, one, other)
        active[one] = False
    return _sorted_linkage(merges, weight)


def _merger_costs(points: FloatArray, weight: FloatArray) -> FloatArray:
    """Twice what merging two points adds to the sum of squares, shape (m, m); infinite on the diagonal."""
    from scipy.spatial.distance import cdist

    squares: FloatArray = cdist(points, points, "sqeuclidean")
    scale = weight[:, None] + weight
    np.divide(weight[:, None] * weight, scale, out=scale)
    squares *= scale
    squares *= 2
    np.fill_diagonal(squares, np.inf)
    return squares


def _merge(squares: FloatArray, size: FloatArray, one: int, other: int) -> None:
    """Let ``other`` stand for both."""
    cost = squares[one, other]
    both = size[one] + size[other]
    with np.errstate(invalid="ignore"):
        row = (size[one] + size) * squares[one] + (size[other] + size) * squares[other] - size * cost
    row /= both + size
    row[one] = row[other] = np.inf
    squares[other] = row
    squares[:, other] = row
    squares[one] = np.inf
    squares[:, one] = np.inf
    size[other] = both


def _sorted_linkage(merges: FloatArray, weight: FloatArray) -> FloatArray:
    """Mergers by distance, of clusters that are numbered as they come to be."""
    m = len(weight)
    order = np.argsort(merges[:, 2], kind="stable")
    parent = np.arange(m)
    number, size = np.arange(m), weight.astype(np.float64).copy()
    linkage = np.empty((m - 1, 4))
    for step, at in enumerate(order.tolist()):
        one, other = (_root(parent, int(point)) for point in merges[at, :2])
        names = sorted((int(number[one]), int(number[other])))
        parent[one] = other
        size[other] += size[one]
        number[other] = m + step
        linkage[step] = *names, np.sqrt(max(merges[at, 2], 0.0)), size[other]
    return linkage


def cut(linkage: FloatArray, n_clusters: int) -> IntArray:
    """Cluster of each point where the hierarchy has ``n_clusters``, numbered by their first points.

    Parameters
    ----------
    linkage : float64 array, shape (m − 1, 4)

    Returns
    -------
    int64 array, shape (m,)
    """
    m = len(linkage) + 1
    parent = np.arange(m + max(m - n_clusters, 0))
    for step, (one, other) in enumerate(linkage[: max(m - n_clusters, 0), :2].astype(np.int64)):
        parent[one] = parent[other] = m + step
    roots = np.array([_root(parent, point) for point in range(m)])
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    labels: IntArray = rank[inverse]
    return labels


def _root(parent: AnyArray, point: int) -> int:
    """The cluster that a point belongs to by now; the way there is shortened."""
    while parent[point] != point:
        parent[point] = parent[parent[point]]
        point = int(parent[point])
    return point


def ward_bytes(m: int) -> int:
    """Memory of :func:`weighted_ward` beyond the points."""
    return 16 * m * m + 2**20
