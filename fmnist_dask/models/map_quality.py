"""How well a map keeps neighbours: trustworthiness, and classes told apart by neighbours on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.label_issues import compare
from fmnist_dask.models.neighbours import Neighbours, nearest_neighbours
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Tasks
from fmnist_dask.passes.through import Mapped, through
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Neighbours of trustworthiness, and of the accuracy.
TRUSTED, VOTING = 15, 10
#: Images whose neighbours on the map are looked for among the features; all others count as rivals.
SAMPLE = 2000
#: Images up to which all have their neighbours on the map looked for; of larger maps a part, and these vote.
EXACT_IMAGES, VOTERS = 100_000, 20_000
#: Of the sample, so many at a time.
PANEL = 256
#: Stream of random numbers that the sample is drawn by.
QUALITY_STREAM = 9301
#: A neighbour is no rival of itself, however its distance was rounded.
OWN = 1 - 1e-9


@dataclass(frozen=True)
class Placed:
    """A map of features: the place of each image, float64, shape (n, axes)."""

    table: ArrayParameter

    @property
    def n_features(self) -> int:
        """Axes."""
        return int(self.table.values.shape[1])

    def __call__(self, features: AnyArray, rows: IntArray) -> AnyArray:
        """Places of rows, whatever their features."""
        return self.table.values[rows]

    def work_bytes(self, rows: int) -> int:
        """Places."""
        return 8 * rows * self.n_features


@dataclass(frozen=True)
class MapQuality:
    """How well a map keeps neighbours.

    Attributes
    ----------
    trustworthiness
        From 0 to 1: whether the 15 nearest on the map are near among the features (Venna and Kaski 2001); ``None`` for
        fewer than 32 images.
    sampled
        Images that it was measured on; all were rivals.
    knn_accuracy
        Share of labelled images whose ten nearest labelled ones on the map are mostly of their class; ``None`` where
        nothing is labelled.
    voted
        Labelled images whose neighbours were asked, where these are a random part; ``None`` for all.
    """

    trustworthiness: float | None
    sampled: int
    knn_accuracy: float | None
    voted: int | None = None


@dataclass(frozen=True)
class _Shared:
    source: Readable
    rows: IntArray
    chosen_rows: IntArray
    chosen: FloatArray
    limits: FloatArray
    shift: FloatArray


def map_quality(
    source: Readable, rows: IntArray, labels: AnyArray, embedding: AnyArray, seed: int, split: str = "all"
) -> Algorithm[MapQuality]:
    """Measure a map of some images.

    Parameters
    ----------
    rows : int64 array, shape (m,)
        The images on the map, ascending.
    labels : int array, shape (m,)
    embedding : float array, shape (m, axes)
    seed
        Of the sample.
    """
    if len(rows) > EXACT_IMAGES:
        return (yield from _of_many(source, rows, labels, np.asarray(embedding, dtype=np.float64), seed))
    table = np.zeros((source.n, embedding.shape[1]))
    table[rows] = embedding
    placed = Placed(ArrayParameter(table))
    inside = np.zeros(source.n, dtype=bool)
    inside[rows] = True
    near = yield from through(nearest_neighbours(Mapped(source, placed), inside, TRUSTED, split), placed)
    drawn = _draw(rows, SAMPLE, seed)
    trusted, sampled = yield from _trustworthiness(source, rows, drawn, near.neighbours[drawn])
    accuracy = None
    if (labels >= 0).any():
        known = inside.copy()
        known[rows[labels < 0]] = False
        voting = near
        if not (labels >= 0).all():
            voting = yield from through(nearest_neighbours(Mapped(source, placed), known, VOTING, split), placed)
        few = Neighbours(voting.rows, voting.neighbours[:, :VOTING], voting.distances[:, :VOTING])
        accuracy = compare(few, labels[labels >= 0]).knn_accuracy
    return MapQuality(trusted, sampled, accuracy)


def _draw(rows: IntArray, count: int, seed: int) -> IntArray:
    """Places of a random part of the rows, ascending."""
    return np.sort(np.argsort(random_bits(seed, rows, QUALITY_STREAM), kind="stable")[:count])


def _of_many(
    source: Readable, rows: IntArray, labels: AnyArray, embedding: FloatArray, seed: int
) -> Algorithm[MapQuality]:
    """The same of a map of many images: neighbours of a random part of them, among all."""
    drawn = _draw(rows, SAMPLE, seed)
    known = np.flatnonzero(labels >= 0)
    voting = _draw(rows[known], VOTERS, seed)
    near = yield from _near(embedding, drawn, TRUSTED)
    trusted, sampled = yield from _trustworthiness(source, rows, drawn, rows[near])
    if len(known) < 2:
        return MapQuality(trusted, sampled, None)
    classes = labels[known]
    around = classes[(yield from _near(embedding[known], voting, VOTING))]
    votes = (around[:, :, None] == around[:, None, :]).sum(axis=2)
    suggested = around[np.arange(len(around)), votes.argmax(axis=1)]
    return MapQuality(trusted, sampled, float((suggested == classes[voting]).mean()), len(voting))


def _near(places: FloatArray, asked: IntArray, k: int) -> Algorithm[IntArray]:
    """What :func:`near_on_map` finds, on a worker."""
    cost = 2**26 + 64 * len(places) + 32 * len(asked) * (k + 1)

    def nothing() -> list[Any]:
        return [np.zeros((len(asked), k), np.int64)]

    call = Call(near_on_map, (asked, k), len(asked))
    found: IntArray = (yield Tasks("neighbours on the map", (call,), cost, "images", expected=nothing, shared=places))[
        0
    ]
    return found


def near_on_map(places: FloatArray, asked: IntArray, k: int) -> IntArray:
    """The k nearest of all places to some of them, themselves left out; int64, shape (len(asked), k)."""
    from scipy.spatial import cKDTree

    k = min(k, len(places) - 1)
    found = cKDTree(places).query(places[asked], k + 1)[1].reshape(len(asked), k + 1)
    # One that many others coincide with may be missing among its own: the farthest is left out instead.
    own = found == asked[:, None]
    own[~own.any(axis=1), -1] = True
    near: IntArray = found[~own].reshape(len(asked), k).astype(np.int64)
    return near


def _trustworthiness(
    source: Readable, rows: IntArray, drawn: IntArray, around: IntArray
) -> Algorithm[tuple[float | None, int]]:
    m, k = len(rows), TRUSTED
    if m < 2 * k + 2:
        return None, 0
    places = np.searchsorted(rows, around)
    wanted = np.unique(np.concatenate([drawn, places.ravel()]))
    features = _features(source, rows[wanted])
    chosen = features[np.searchsorted(wanted, drawn)]
    differences = features[np.searchsorted(wanted, places)] - chosen[:, None]
    limits = np.einsum("ikd,ikd->ik", differences, differences) * OWN
    shared = _Shared(source, rows, rows[drawn], chosen, limits, chosen.mean(axis=0))
    chunks = -(-source.n // source.chunk_rows)
    weights = np.diff(np.searchsorted(rows, np.arange(chunks + 1) * source.chunk_rows))
    cost = 8 * PANEL * source.chunk_rows * 2 + 24 * source.chunk_rows * source.n_features + 16 * chosen.size
    answers = yield Tasks(
        "ranks",
        tuple(Call(nearer_ones, (chunk,), int(weights[chunk])) for chunk in range(chunks) if weights[chunk]),
        cost,
        unit="images",
        shared=shared,
        expected=lambda: [np.zeros(limits.shape, np.int64)],
    )
    ranks = 1 + sum(answers)
    penalty = float(np.maximum(ranks - k, 0).sum()) * m / len(drawn)
    return 1 - 2 * penalty / (m * k * (2 * m - 3 * k - 1)), len(drawn)


def _features(source: Readable, rows: IntArray) -> FloatArray:
    """Features of some rows, ascending, chunk by chunk."""
    size = source.chunk_rows
    parts = []
    for start in np.unique(rows // size) * size:
        low, high = np.searchsorted(rows, (start, start + size))
        block = source.block(int(start), min(int(start) + size, source.n))
        parts.append(np.asarray(block.features[rows[low:high] - start], dtype=np.float64))
    return np.concatenate(parts)


def nearer_ones(shared: _Shared, chunk: int) -> IntArray:
    """For each image of the sample and each of its limits, images of a chunk that are nearer, but for itself."""
    start = chunk * shared.source.chunk_rows
    stop = min(start + shared.source.chunk_rows, shared.source.n)
    low, high = np.searchsorted(shared.rows, (start, stop))
    features = shared.source.block(start, stop).features[shared.rows[low:high] - start]
    others = np.asarray(features, dtype=np.float64) - shared.shift
    lengths = np.einsum("ij,ij->i", others, others)
    # None is a rival of its own.
    places = np.searchsorted(shared.rows[low:high], shared.chosen_rows)
    there = (shared.chosen_rows >= start) & (shared.chosen_rows < stop)
    found = np.empty(shared.limits.shape, dtype=np.int64)
    for first in range(0, len(shared.chosen), PANEL):
        part = slice(first, first + PANEL)
        own = shared.chosen[part] - shared.shift
        squares = np.maximum(lengths - 2 * (own @ others.T) + np.einsum("ij,ij->i", own, own)[:, None], 0)
        here = np.flatnonzero(there[part])
        squares[here, places[part][here]] = np.inf
        for at, limits in enumerate(shared.limits[part].T):
            found[part, at] = (squares < limits[:, None]).sum(axis=1)
    return found
