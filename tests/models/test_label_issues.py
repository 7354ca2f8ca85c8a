"""Doubtful labels: votes of neighbours counted by hand, rankings scored as scikit-learn does, wrong labels found."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from support import CLASSES, FloatCollection, collection_of

from fmnist_dask.errors import UsageError
from fmnist_dask.models import label_issues as module
from fmnist_dask.models.label_issues import LabelIssues, compare, label_issues, retrieval
from fmnist_dask.models.neighbours import Neighbours
from fmnist_dask.passes.local import LocalEngine, drive

CENTRES = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])


def blobs(n=900, chunk_rows=200, wrong=0.03, splits=("train", "test"), seed=1):
    """Three groups that overlap a little, some members with a label of another group; which ones."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    features = (CENTRES[group] + 0.7 * rng.normal(size=(n, 2))).astype(np.float32)
    bad = rng.random(n) < wrong
    label = np.where(bad, (group + rng.integers(1, 3, n)) % 3, group)
    image = np.zeros((n, 1, 1), np.uint8)
    split = np.arange(n) * len(splits) // n
    source = FloatCollection(image, label, split, CLASSES, splits, chunk_rows, {"features": features})
    return source, bad


def found_in(source, k=10, split="all", code=None):
    return drive(label_issues(source, k, split, code), source, LocalEngine(2))


def by_hand(near: Neighbours, labels: np.ndarray) -> list[tuple[float, int, float]]:
    """Share, suggestion and score of each image, one by one."""
    of, found = dict(zip(near.rows.tolist(), labels.tolist(), strict=True)), []
    around = {
        row: [n for n in some if n >= 0] for row, some in zip(near.rows.tolist(), near.neighbours.tolist(), strict=True)
    }
    for row, some in around.items():
        own, k = of[row], len(some)
        if not k:
            found.append((math.nan, -1, math.nan))
            continue
        mine = [of[n] for n in some]
        votes = Counter(mine)
        suggested = max(votes, key=lambda label: (votes[label], -mine.index(label)))
        others = [label for label in votes if label != own]
        rival = max(others, key=lambda label: (votes[label], -mine.index(label))) if others else None
        far = [of[n] for other in some for n in around[other] if n != row]
        near_part = math.log((votes[rival] / k + 0.5 / k) / (votes[own] / k + 0.5 / k))
        size = max(1, len(far))
        far_part = math.log((far.count(rival) / size + 0.5 / k**2) / (far.count(own) / size + 0.5 / k**2))
        most = math.log((1 + 0.5 / k) / (0.5 / k)) + math.log((1 + 0.5 / k**2) / (0.5 / k**2))
        found.append((1 - votes[own] / k, suggested, (near_part + far_part) / most))
    return found


@pytest.mark.parametrize(("n", "k"), [(300, 7), (300, 1), (40, 30), (6, 10), (2, 3), (1, 3)])
def test_votes_are_those_counted_by_hand(n, k, monkeypatch):
    source, _ = blobs(n, wrong=0.2)
    found = found_in(source, k)
    share, suggested, score = zip(*by_hand(found.near, found.labels), strict=True)
    np.testing.assert_allclose(found.share, share)
    np.testing.assert_array_equal(found.suggested, suggested)
    np.testing.assert_allclose(found.score, score, atol=1e-12)
    assert np.nanmax(np.abs(found.score), initial=0) <= 1
    monkeypatch.setattr(module, "BATCH_VALUES", 1)
    np.testing.assert_array_equal(compare(found.near, found.labels).score, found.score)


def test_ties_go_to_the_nearest():
    near = Neighbours(np.arange(3), np.array([[1, 2], [2, 0], [1, 0]]), np.array([[1.0, 2.0], [1.0, 1.5], [1.0, 2.0]]))
    found = compare(near, np.array([0, 1, 2], np.int16))
    assert found.suggested.tolist() == [1, 2, 1]
    assert found.share.tolist() == [1, 1, 1]
    assert found.knn_accuracy == 0


@pytest.mark.parametrize("chunk_rows", [37, 900])
def test_wrong_labels_are_found_for_any_chunking(chunk_rows):
    source, bad = blobs(chunk_rows=chunk_rows)
    found = found_in(source)
    candidates, ranking = found.candidates(0.8, 0.65), found.ranking()
    scored = retrieval(ranking, candidates, bad)
    assert scored.precision > 0.9
    assert scored.recall > 0.8
    assert scored.average_precision > 0.9
    assert found.knn_accuracy > 0.93
    whole, _ = blobs(chunk_rows=123)
    other = found_in(whole)
    for name in ("share", "suggested", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(other, name))
    np.testing.assert_array_equal(ranking, other.ranking())


def test_candidates_need_a_share_a_score_and_another_suggestion():
    near = Neighbours(np.arange(4), np.zeros((4, 1), np.int64), np.ones((4, 1)))
    found = LabelIssues(
        near,
        np.array([0, 0, 0, 0]),
        np.array([0.8, 0.7, 0.9, np.nan]),
        np.array([1, 1, 0, -1]),
        np.array([0.5, 1, 1, np.nan]),
    )
    assert found.candidates(0.8, 0.5).tolist() == [True, False, False, False]
    assert found.candidates(0.5, 0.6).tolist() == [False, True, False, False]
    assert found.ranking().tolist() == [1, 2, 0, 3]


def test_images_without_labels_take_no_part_and_splits_are_looked_at_alone():
    source, _ = blobs()
    source.label[::5] = -1
    found = found_in(source, 5, "test", 1)
    rows = np.flatnonzero((source.label >= 0) & (source.split == 1))
    np.testing.assert_array_equal(found.near.rows, rows)
    assert np.isin(found.near.neighbours, rows).all()


def test_nothing_labelled_is_refused():
    with pytest.raises(UsageError, match="no labels that could be wrong"):
        found_in(collection_of(20, labelled=False))
    source, _ = blobs(60)
    source.label[source.split == 1] = -1
    with pytest.raises(UsageError, match="none of the 30 images of the split test is labelled"):
        found_in(source, 5, "test", 1)


def test_rankings_are_scored_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.1
    order = rng.permutation(400)
    candidates = np.zeros(400, bool)
    candidates[order[:50]] = True
    scored = retrieval(order, candidates, wrong, points=10)
    value = np.empty(400)
    value[order] = -np.arange(400)
    assert scored.average_precision == pytest.approx(average_precision_score(wrong, value), abs=1e-12)
    assert scored.precision == wrong[order[:50]].mean()
    assert scored.recall == wrong[order[:50]].sum() / wrong.sum()
    assert len(scored.recalls) == 10
    assert scored.recalls[-1] == 1
    place = np.flatnonzero(wrong[order])[-1]
    assert scored.precisions[-1] == wrong.sum() / (place + 1)
    nothing = retrieval(order, np.zeros(400, bool), np.zeros(400, bool))
    assert (nothing.precision, nothing.recall, nothing.average_precision) == (None, None, None)
    assert len(nothing.recalls) == 0
