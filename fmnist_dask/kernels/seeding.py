"""Good starts of k-means on a subset that fits in memory: greedy k-means++, Lloyd's iterations, swaps of centres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Directions of largest variation in which starts are looked for: clusters differ along few directions, and distances
#: there cost a small part of those in all features.
DIRECTIONS = 48
#: Rows or features up to which directions come from a matrix of all products; beyond, from a subspace iteration with
#: some directions to spare.
MOST_SOLVED = 1024
SPARE_DIRECTIONS = 10
SUBSPACE_ROUNDS = 4
#: Rows that become floats at a time, and values.
PANEL_ROWS = 1024
PANEL_VALUES = 2**18
#: Scores of points and centres worked out at a time: 4 MB of float32.
TILE = 2**20
#: Share of the rows that may still change their cluster when Lloyd's iterations end.
SETTLED_SHARE = 5e-4
MOST_ITERATIONS = 100
FEW_ITERATIONS = 20
#: Clusters up to which centres are swapped: with more of them, starts differ less, and a swap costs more.
MOST_SWAPPED = 256
#: Swaps in a row without gain after which a start is as good as it gets, and the centres they take away in turn.
FUTILE_SWAPS = 8
SWAP_TARGETS = 5
#: Relative gain below which a swap found nothing new.
LEAST_GAIN = 1e-5
#: Points tried for the place of a centre that moves.
SWAP_CANDIDATES = 8


def principal_plane(features: AnyArray, directions: int = DIRECTIONS) -> tuple[AnyArray, float]:
    """Coordinates along the directions of largest variation, about the mean.

    Returns
    -------
    points : float32 array, shape (m, at most ``directions``)
        Divided by ``unit``, so that squares neither overflow nor vanish.
    unit
        A power of two; 1 for pixels.
    """
    values, unit = _centred(features)
    m, d = values.shape
    if d <= directions:
        return values, unit
    if min(m, d) > MOST_SOLVED:
        return _leading(values, directions), unit
    if d <= m:
        _, vectors = np.linalg.eigh((values.T @ values).astype(np.float64))
        plane: AnyArray = values @ vectors[:, : -directions - 1 : -1].astype(np.float32)
        return plane, unit
    lengths, vectors = np.linalg.eigh((values @ values.T).astype(np.float64))
    plane = vectors[:, : -directions - 1 : -1] * np.sqrt(np.maximum(lengths[: -directions - 1 : -1], 0))
    return plane.astype(np.float32), unit


def plane_bytes(m: int, d: int) -> int:
    """Memory of :func:`principal_plane` beyond the features: centred values, and what its solver needs."""
    least = min(m, d)
    solved = 40 * least**2 if least <= MOST_SOLVED else 24 * (DIRECTIONS + SPARE_DIRECTIONS) * (m + d)
    return 4 * m * d + 24 * _panel_rows(d) * d + solved + 8 * m * DIRECTIONS


def _panel_rows(d: int) -> int:
    return max(1, min(PANEL_ROWS, PANEL_VALUES // d))


def _centred(features: AnyArray) -> tuple[AnyArray, float]:
    """Features about their means, float32, and the unit that they are divided by.

    Large features that vary little would lose all of that if they were float32 before the mean is taken away.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    unit = 1.0
    if features.dtype != np.uint8:
        reach = float(max(np.max(features.max(axis=0) - mean), np.max(mean - features.min(axis=0)), 0.0))
        unit = float(np.ldexp(1.0, int(np.frexp(reach)[1]))) if reach > 0 else 1.0
    values = np.empty(features.shape, dtype=np.float32)
    for start in range(0, len(features), _panel_rows(features.shape[1])):
        part = slice(start, start + _panel_rows(features.shape[1]))
        values[part] = (features[part].astype(np.float64) - mean) / unit
    return values, unit


def _leading(values: AnyArray, directions: int) -> AnyArray:
    """Coordinates along about the leading directions, by subspace iteration (Halko, Martinsson and Tropp 2011)."""
    width = directions + SPARE_DIRECTIONS
    basis = np.random.default_rng(0x91A).standard_normal((values.shape[1], width)).astype(np.float32)
    for _ in range(SUBSPACE_ROUNDS):
        basis = np.linalg.qr((values.T @ (values @ basis)).astype(np.float64))[0].astype(np.float32)
    coordinates = values @ basis
    _, turn = np.linalg.eigh((coordinates.T @ coordinates).astype(np.float64))
    plane: AnyArray = coordinates @ turn[:, : -directions - 1 : -1].astype(np.float32)
    return plane


@dataclass
class Start:
    """Centres found on the subset.

    Attributes
    ----------
    labels : int64 array, shape (m,)
        Cluster of each sample of the subset.
    inertia
        Sum of squared distances in the plane.
    """

    labels: IntArray
    inertia: float


@dataclass
class Fit:
    """Lloyd's iterations have ended here.

    Attributes
    ----------
    own, second : float32 arrays, shape (m,)
        Squared distance to the nearest and to the second centre, less the point's own squared length.
    """

    centres: AnyArray
    labels: IntArray
    own: AnyArray
    second: AnyArray
    inertia: float


class StartSearch:
    """Looks for starts among weighted points.

    Parameters
    ----------
    points : float32 array, shape (m, p)
    weights : float64 array, shape (m,), or ``None`` for ones
        Only their ratios count.
    """

    def __init__(self, points: AnyArray, weights: AnyArray | None = None) -> None:
        self.points = points
        self.squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
        given = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
        self.unit = float(given.max(initial=0.0)) or 1.0
        self.weights = given / self.unit

    def find(self, k: int, generator: np.random.Generator, method: str, swaps: bool = True) -> Start:
        """One start: seeds, Lloyd's iterations, then swaps until they gain nothing."""
        fit = self._lloyd(self.seeds(k, generator, method))
        if swaps and 1 < k <= MOST_SWAPPED:
            fit = self._swap(fit, generator)
        return Start(fit.labels, fit.inertia * self.unit)

    def seeds(self, k: int, generator: np.random.Generator, method: str) -> AnyArray:
        """``k`` points: greedy k-means++ (Arthur and Vassilvitskii 2007, with scikit-learn's trials), or at random.

        The first is drawn by weight alone.
        """
        if method == "random":
            return self.points[self._draw(self.weights.copy(), k, generator, replace=False)]
        trials = _trials(k)
        chosen = [int(self._draw(self.weights.copy(), 1, generator)[0])]
        nearest = self._to(chosen)[0]
        for _ in range(1, k):
            candidates = self._draw(self.weights * nearest, trials, generator)
            distances = np.minimum(self._to(candidates), nearest)
            best = int((distances @ self.weights).argmin())
            chosen.append(int(candidates[best]))
            nearest = distances[best]
        return self.points[chosen]

    def assigned(self, centres: AnyArray) -> IntArray:
        """Nearest centre of each point."""
        return self._nearest(centres)[0]

    def _draw(self, mass: FloatArray, count: int, generator: np.random.Generator, replace: bool = True) -> IntArray:
        """Rows by mass; by weight alone where all mass is spent (fewer distinct points than centres)."""
        if not replace:
            # A race of exponential clocks draws without replacement.
            clocks = generator.exponential(size=len(mass)) / np.maximum(mass, 1e-300)
            order: IntArray = np.argsort(clocks, kind="stable")
            return np.resize(order, count)
        total = np.cumsum(mass)
        if not total[-1] > 0:
            total = np.cumsum(self.weights)
        found: IntArray = np.searchsorted(total, generator.random(count) * total[-1], side="right")
        return np.minimum(found, len(mass) - 1)

    def _to(self, rows: Any) -> FloatArray:
        """Squared distance from some points to all, shape (rows, m)."""
        products = (self.points @ self.points[rows].T).T.astype(np.float64)
        distances: FloatArray = np.maximum(self.squares + self.squares[rows][:, None] - 2 * products, 0)
        return distances

    def _tiles(self, k: int) -> Iterator[slice]:
        """Rows whose scores for ``k`` centres are worked out together."""
        rows = max(TILE // k, 1)
        return (slice(start, start + rows) for start in range(0, len(self.points), rows))

    def _nearest(self, centres: AnyArray, second: bool = False) -> tuple[IntArray, AnyArray, AnyArray]:
        """Nearest centre of each point, its score and, if asked for, that of the second.

        A score is the squared distance less the point's own squared length, float32.
        """
        m = len(self.points)
        labels, scores = np.empty(m, dtype=np.int64), np.empty((2, m), dtype=np.float32)
        columns, lengths = -2 * centres.T, np.einsum("ij,ij->i", centres, centres)
        for part in self._tiles(len(centres)):
            tile = self.points[part] @ columns
            tile += lengths
            rows = np.arange(len(tile))
            labels[part] = tile.argmin(axis=1)
            scores[0, part] = tile[rows, labels[part]]
            if second:
                tile[rows, labels[part]] = np.inf
                scores[1, part] = tile.min(axis=1)
        return labels, scores[0], scores[1]

    def _lloyd(self, centres: AnyArray) -> Fit:
        previous: AnyArray | None = None
        for _ in range(MOST_ITERATIONS if len(centres) <= MOST_SWAPPED else FEW_ITERATIONS):
            labels, own, _ = self._nearest(centres)
            if previous is not None and (labels != previous).sum() <= SETTLED_SHARE * len(labels):
                break
            previous = labels
            centres = self._means(labels, own, len(centres))
        labels, own, second = self._nearest(centres, second=True)
        distances = np.maximum(own + self.squares, 0)
        return Fit(centres, labels, own, second, float(distances @ self.weights))

    def _means(self, labels: IntArray, own: AnyArray, k: int) -> AnyArray:
        sums, mass = np.zeros((k, self.points.shape[1]), dtype=np.float32), np.zeros(k, dtype=np.float32)
        for part in self._tiles(k):
            inside = labels[part]
            member = np.zeros((k, len(inside)), dtype=np.float32)
            member[inside, np.arange(len(inside))] = self.weights[part]
            mass += member.sum(axis=1)
            sums += member @ self.points[part]
        means: AnyArray = sums / np.maximum(mass, 1e-30)[:, None]
        empty = np.flatnonzero(mass == 0)
        if len(empty):
            distances = own + self.squares
            means[empty] = self.points[np.argsort(-distances, kind="stable")[np.arange(len(empty)) % len(labels)]]
        return means

    def _swap(self, fit: Fit, generator: np.random.Generator) -> Fit:
        """Move the centre that is missed least to where it gains most, iterate, keep what is better.

        Lloyd's iterations cannot carry a centre past others; a few such jumps bring almost every start into the same,
        best basin (the swaps of Kanungo et al. 2004, candidates drawn as in k-means++).
        """
        k, futile = len(fit.centres), 0
        while futile < FUTILE_SWAPS:
            loss = np.bincount(fit.labels, (fit.second - fit.own) * self.weights, minlength=k)
            taken = int(np.argsort(loss, kind="stable")[futile % min(k, SWAP_TARGETS)])
            distances = np.maximum(fit.own + self.squares, 0)
            candidates = self._draw(self.weights * distances, SWAP_CANDIDATES, generator)
            others = np.where(fit.labels == taken, fit.second, fit.own) + self.squares
            gains = np.minimum(self._to(candidates), others) @ self.weights
            centres = fit.centres.copy()
            centres[taken] = self.points[candidates[int(gains.argmin())]]
            tried = self._lloyd(centres)
            if tried.inertia < fit.inertia * (1 - LEAST_GAIN):
                fit, futile = tried, 0
            else:
                futile += 1
        return fit


def find_starts(
    points: AnyArray, weights: AnyArray | None, k: int, seed: int, numbers: list[int], method: str, swaps: bool
) -> list[dict[str, Any]]:
    """Starts of the given numbers: each depends on the seed and its number alone.

    Returns
    -------
    list
        ``{"labels": int64 array, "inertia": float}`` each.
    """
    search = StartSearch(points, weights)
    found = []
    for number in numbers:
        start = search.find(k, np.random.default_rng([seed, number]), method, swaps)
        found.append({"labels": start.labels.astype(np.int64), "inertia": start.inertia})
    return found


def _trials(k: int) -> int:
    """Candidates for each seed, as many as scikit-learn tries."""
    return 2 + int(np.log(k))


def search_bytes(m: int, p: int, k: int) -> int:
    """Memory of :func:`find_starts` beyond the points: tiles, and what is kept of each point."""
    trials = _trials(k)
    return 3 * 4 * max(TILE, k) + 8 * k * p * 4 + m * (96 + 24 * (trials + SWAP_CANDIDATES))


def group_means(features: AnyArray, weights: AnyArray | None, labels: IntArray, k: int) -> FloatArray:
    """Mean features of each group of the subset, float64, shape (k, d); of empty groups the farthest from the mean."""
    mass = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    mass = mass / (float(mass.max(initial=0.0)) or 1.0)
    sums = np.zeros((k, features.shape[1]))
    for group in range(k):
        members = labels == group
        sums[group] = mass[members] @ features[members].astype(np.float64)
    total = np.bincount(labels, mass, minlength=k)
    means: FloatArray = sums / np.maximum(total, 1e-300)[:, None]
    empty = np.flatnonzero(total == 0)
    if len(empty):
        centre = features.mean(axis=0, dtype=np.float64)
        distance = ((features - centre) ** 2).sum(axis=1)
        means[empty] = features[np.argsort(-distance, kind="stable")[np.arange(len(empty)) % len(features)]]
    return means
