"""Labels that are probably wrong: of images whose nearest neighbours carry another label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.models.neighbours import Neighbours, nearest_neighbours
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Neighbours of neighbours that are counted at a time, all images of a batch together.
BATCH_VALUES = 2**21


@dataclass(frozen=True)
class LabelIssues:
    """What the neighbours of labelled images say of their labels.

    Attributes
    ----------
    near : Neighbours
        The labelled images, and their nearest neighbours among them.
    labels : int16 array, shape (m,)
        Of these images.
    share : float64 array, shape (m,)
        Share of the neighbours that carry another label; NaN without neighbours.
    suggested : int16 array, shape (m,)
        Label that most neighbours carry, of several that of the nearest; −1 without neighbours.
    score : float64 array, shape (m,)
        See :func:`scores`; NaN without neighbours.
    """

    near: Neighbours
    labels: AnyArray
    share: FloatArray
    suggested: AnyArray
    score: FloatArray

    @property
    def knn_accuracy(self) -> float | None:
        """Share of the images whose neighbours suggest the label that they carry."""
        known = self.suggested >= 0
        return float((self.suggested == self.labels)[known].mean()) if known.any() else None

    def ranking(self) -> IntArray:
        """Positions of all images, the most doubtful first: by score, then nearer neighbours, then row."""
        distances = self.near.distances
        reach = np.where(np.isfinite(distances), distances, 0.0).sum(axis=1)
        return np.lexsort((self.near.rows, reach, -np.nan_to_num(self.score, nan=-np.inf)))

    def candidates(self, threshold: float, min_score: float) -> BoolArray:
        """Images whose label is doubtful: whose neighbours suggest another, by share and score."""
        other = (self.suggested >= 0) & (self.suggested != self.labels)
        with np.errstate(invalid="ignore"):
            # Shares are ratios of small integers: 0.8 is to hold for 8 of 10.
            found: BoolArray = other & (self.share >= threshold - 1e-9) & (self.score >= min_score)
        return found


def label_issues(source: Readable, k: int, split: str = "all", split_code: int | None = None) -> Algorithm[LabelIssues]:
    """Compare the label of each image with those of its k nearest neighbours.

    Images that are not labelled take no part, neither as images nor as neighbours.

    Raises
    ------
    UsageError
        Nothing is labelled; features that are not finite.
    MemoryLimitError
        The neighbours of all images do not fit into the driver.
    """
    if not source.class_names:
        raise UsageError("the images have no labels that could be wrong", "take a source with labels")
    census = (yield Scan({"census": Census()}, split=split))["census"]
    labels = _read(source, "label")
    inside = labels >= 0
    if split_code is not None:
        inside &= _read(source, "split") == split_code
    if not inside.any():
        where = "" if split == "all" else f" of the split {split}"
        raise UsageError(
            f"none of the {int(census.sum()):,} images{where} is labelled", "choose a split or a source with labels"
        )
    near = yield from nearest_neighbours(source, inside, k, split)
    return compare(near, labels[near.rows])


def compare(near: Neighbours, labels: AnyArray) -> LabelIssues:
    """What the neighbours say of labels; of shape (m,)."""
    m, k = near.neighbours.shape
    share, suggested, score = np.full(m, np.nan), np.full(m, -1, dtype=np.int16), np.full(m, np.nan)
    # Places of neighbours among the images; one more, without a label, for those that there are not.
    places = np.where(near.neighbours >= 0, np.searchsorted(near.rows, near.neighbours), m)
    around = np.append(labels, np.int16(-1))[places]
    step = max(1, BATCH_VALUES // k**2)
    for start in range(0, m, step):
        stop = min(start + step, m)
        part = slice(start, stop)
        own, mine, rows = labels[part, None], around[part], np.arange(stop - start)
        there = mine >= 0
        count = there.sum(axis=1)
        votes = (mine[:, :, None] == mine[:, None, :]).sum(axis=2) * there
        suggested[part] = mine[rows, votes.argmax(axis=1)]
        against = votes * (mine != own)
        rival = mine[rows, against.argmax(axis=1), None]
        near_votes = np.stack([(mine == own).sum(axis=1), against.max(axis=1)])
        # Labels of the neighbours of neighbours, the image itself left out.
        whose = np.minimum(places[part], m - 1)
        far = np.where(there[:, :, None] & (places[whose] != np.arange(start, stop)[:, None, None]), around[whose], -1)
        far = far.reshape(len(rows), -1)
        far_votes = np.stack([(far == own).sum(axis=1), ((far == rival) & (rival != own)).sum(axis=1)])
        with np.errstate(invalid="ignore"):
            share[part] = 1 - near_votes[0] / count
        score[part] = scores(near_votes, count, far_votes, (far >= 0).sum(axis=1))
    return LabelIssues(near, labels, share, suggested, score)


def scores(near_votes: IntArray, near: IntArray, far_votes: IntArray, far: IntArray) -> FloatArray:
    """How much more a rival label stands around images than their own, from −1 to 1; NaN without neighbours.

    The logarithm of the ratio of the two labels' shares among the neighbours, plus that among the neighbours of the
    neighbours, as a part of the largest that it can be; half a vote is added to all, so that none is zero. Neighbours
    of neighbours tell images between two classes, around which both labels stand, from those whose label is nowhere
    near. Of labels that were made wrong at random (1 % of Fashion-MNIST's 60,000, those planted in 70,000 garments;
    ten neighbours among 50 principal components) they raise the average precision from 0.29 and 0.63 by the share of
    other labels alone to 0.62 and 0.91; of equal scores nearer neighbours first, to 0.64 and 0.92.

    Parameters
    ----------
    near_votes, far_votes : int64 arrays, shape (2, m)
        Neighbours with the own label, and with the rival: that of the others which most carry.
    near, far : int64 arrays, shape (m,)
        All neighbours, and all neighbours of neighbours.
    """
    k = np.maximum(near, 1)
    least_near, least_far = 0.5 / k, 0.5 / k**2
    own, rival = near_votes / k + least_near
    own_far, rival_far = far_votes / np.maximum(far, 1) + least_far
    most = np.log((1 + least_near) / least_near) + np.log((1 + least_far) / least_far)
    found: FloatArray = (np.log(rival / own) + np.log(rival_far / own_far)) / most
    found[near == 0] = np.nan
    return found


@dataclass(frozen=True)
class Retrieval:
    """How well a ranking finds labels that are known to be wrong.

    Attributes
    ----------
    precision
        Share of the candidates that are wrong; ``None`` without candidates.
    recall
        Share of the wrong ones that are candidates; ``None`` where none is wrong.
    average_precision
        Mean, over the wrong ones, of the share of wrong ones down to their place in the ranking.
    precisions, recalls : float64 arrays, shape (points,)
        Down to some places of the ranking; the last at which all wrong ones are found.
    """

    precision: float | None
    recall: float | None
    average_precision: float | None
    precisions: FloatArray
    recalls: FloatArray


def retrieval(ranking: IntArray, candidates: BoolArray, wrong: BoolArray, points: int = 300) -> Retrieval:
    """Score a ranking and a choice of candidates.

    Parameters
    ----------
    ranking : int64 array, shape (m,)
        Positions, the most doubtful first.
    candidates, wrong : bool arrays, shape (m,)
    points
        Of the curve, at most.
    """
    right, chosen, known = int((candidates & wrong).sum()), int(candidates.sum()), int(wrong.sum())
    places = np.flatnonzero(wrong[ranking])
    precisions = np.arange(1, known + 1) / (places + 1)
    kept = np.unique(np.linspace(0, known - 1, min(points, known)).astype(np.int64)) if known else np.zeros(0, np.int64)
    return Retrieval(
        right / chosen if chosen else None,
        right / known if known else None,
        math.fsum(precisions) / known if known else None,
        precisions[kept],
        (kept + 1) / max(known, 1),
    )


def _read(source: Readable, name: str) -> AnyArray:
    """A small per-row array."""
    size = source.chunk_rows
    return np.concatenate([source.read(name, start, min(start + size, source.n)) for start in range(0, source.n, size)])
