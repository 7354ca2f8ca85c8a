"""Good starts of k-means on a subset that fits in memory: greedy k-means++, Lloyd's iterations, swaps of centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Directions of largest variation in which starts are looked for: clusters differ along few directions, and distances
#: there cost a small part of those in all features.
DIRECTIONS = 48
#: Share of the rows that may still change their cluster when Lloyd's iterations end.
SETTLED_SHARE = 5e-4
MOST_ITERATIONS = 100
#: Swaps in a row without gain after which a start is as good as it gets, and the centres they take away in turn.
FUTILE_SWAPS = 8
SWAP_TARGETS = 5
#: Relative gain below which a swap found nothing new.
LEAST_GAIN = 1e-5
#: Points tried for the place of a centre that moves.
SWAP_CANDIDATES = 8


def principal_plane(features: AnyArray, directions: int = DIRECTIONS) -> AnyArray:
    """Coordinates along the directions of largest variation, float32, shape (m, at most ``directions``)."""
    values = features.astype(np.float32)
    values -= values.mean(axis=0, dtype=np.float64).astype(np.float32)
    m, d = values.shape
    if d <= directions:
        return values
    if d <= m:
        _, vectors = np.linalg.eigh((values.T @ values).astype(np.float64))
        plane: AnyArray = values @ vectors[:, : -directions - 1 : -1].astype(np.float32)
        return plane
    lengths, vectors = np.linalg.eigh((values @ values.T).astype(np.float64))
    plane = vectors[:, : -directions - 1 : -1] * np.sqrt(np.maximum(lengths[: -directions - 1 : -1], 0))
    return plane.astype(np.float32)


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
class _Fit:
    """Lloyd's iterations have ended here."""

    centres: AnyArray
    labels: IntArray
    scores: AnyArray
    inertia: float


class StartSearch:
    """Looks for starts among weighted points.

    Parameters
    ----------
    points : float32 array, shape (m, p)
    weights : float64 array, shape (m,), or ``None`` for ones
    """

    def __init__(self, points: AnyArray, weights: AnyArray | None = None) -> None:
        self.points = points
        self.squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
        self.weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)

    def find(self, k: int, generator: np.random.Generator, method: str, swaps: bool = True) -> Start:
        """One start: seeds, Lloyd's iterations, then swaps until they gain nothing."""
        fit = self._lloyd(self.seeds(k, generator, method))
        if swaps and k > 1:
            fit = self._swap(fit, generator)
        return Start(fit.labels, fit.inertia)

    def seeds(self, k: int, generator: np.random.Generator, method: str) -> AnyArray:
        """``k`` points: greedy k-means++ (Arthur and Vassilvitskii 2007, with scikit-learn's trials), or at random.

        The first is drawn by weight alone.
        """
        if method == "random":
            return self.points[self._draw(self.weights.copy(), k, generator, replace=False)]
        trials = 2 + int(np.log(k))
        chosen = [int(self._draw(self.weights.copy(), 1, generator)[0])]
        nearest = self._to(chosen)[0]
        for _ in range(1, k):
            candidates = self._draw(self.weights * nearest, trials, generator)
            distances = np.minimum(self._to(candidates), nearest)
            best = int((distances @ self.weights).argmin())
            chosen.append(int(candidates[best]))
            nearest = distances[best]
        return self.points[chosen]

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

    def _scores(self, centres: AnyArray) -> AnyArray:
        """Squared distance less the point's own squared length, float32, shape (m, k)."""
        scores: AnyArray = self.points @ (-2 * centres.T)
        scores += np.einsum("ij,ij->i", centres, centres)
        return scores

    def _lloyd(self, centres: AnyArray) -> _Fit:
        rows = np.arange(len(self.points))
        previous: AnyArray | None = None
        for _ in range(MOST_ITERATIONS):
            scores = self._scores(centres)
            labels = scores.argmin(axis=1)
            if previous is not None and (labels != previous).sum() <= SETTLED_SHARE * len(labels):
                break
            previous = labels
            centres = self._means(labels, scores, len(centres))
        scores = self._scores(centres)
        labels = scores.argmin(axis=1)
        distances = np.maximum(scores[rows, labels] + self.squares, 0)
        return _Fit(centres, labels, scores, float(distances @ self.weights))

    def _means(self, labels: IntArray, scores: AnyArray, k: int) -> AnyArray:
        member = np.zeros((k, len(labels)), dtype=np.float32)
        member[labels, np.arange(len(labels))] = self.weights
        mass = member.sum(axis=1)
        means: AnyArray = (member @ self.points) / np.maximum(mass, 1e-30)[:, None]
        empty = np.flatnonzero(mass == 0)
        if len(empty):
            distances = scores[np.arange(len(labels)), labels] + self.squares
            means[empty] = self.points[np.argsort(-distances, kind="stable")[np.arange(len(empty)) % len(labels)]]
        return means

    def _swap(self, fit: _Fit, generator: np.random.Generator) -> _Fit:
        """Move the centre that is missed least to where it gains most, iterate, keep what is better.

        Lloyd's iterations cannot carry a centre past others; a few such jumps bring almost every start into the same,
        best basin (the swaps of Kanungo et al. 2004, candidates drawn as in k-means++).
        """
        k, futile = len(fit.centres), 0
        while futile < FUTILE_SWAPS:
            pair = np.partition(fit.scores, 1, axis=1)
            loss = np.bincount(fit.labels, (pair[:, 1] - pair[:, 0]) * self.weights, minlength=k)
            taken = int(np.argsort(loss, kind="stable")[futile % min(k, SWAP_TARGETS)])
            own = np.maximum(pair[:, 0] + self.squares, 0)
            candidates = self._draw(self.weights * own, SWAP_CANDIDATES, generator)
            others = np.where(fit.labels == taken, pair[:, 1], pair[:, 0]) + self.squares
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


def group_means(features: AnyArray, weights: AnyArray | None, labels: IntArray, k: int) -> FloatArray:
    """Mean features of each group of the subset, float64, shape (k, d); of empty groups the farthest from the mean."""
    mass = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
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
