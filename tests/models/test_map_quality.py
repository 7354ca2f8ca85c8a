"""How well maps keep neighbours, against scikit-learn's figures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from support import with_features

from fmnist_dask.models import map_quality as module
from fmnist_dask.models.map_quality import map_quality
from fmnist_dask.passes.local import drive


def example(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 4, n).astype(np.int16)
    values = (rng.normal(0, 4, (4, 7))[label] + rng.normal(0, 1, (n, 7))).astype(np.float32)
    values[n // 2] = values[n // 2 - 1]
    return values, label, values[:, :2] + rng.normal(0, 0.5, (n, 2)).astype(np.float32)


@pytest.mark.parametrize("chunk_rows", [64, 400])
def test_measures_are_those_of_scikit_learn(chunk_rows: int) -> None:
    values, label, places = example()
    source = with_features(values, chunk_rows)
    found = drive(map_quality(source, np.arange(400), label, places, 0), source)
    # Copies share a rank here, and have two there.
    assert found.trustworthiness == pytest.approx(trustworthiness(values, places, n_neighbors=15), abs=1e-4)
    assert found.sampled == 400
    near = NearestNeighbors(n_neighbors=11).fit(places).kneighbors(places, return_distance=False)[:, 1:]
    votes = np.stack([(label[near] == which).sum(axis=1) for which in range(4)])
    clear = np.sort(votes, axis=0)[-1] > np.sort(votes, axis=0)[-2]
    right = votes.argmax(axis=0) == label
    assert right[clear].sum() <= found.knn_accuracy * 400 <= right[clear].sum() + (~clear).sum()


def test_a_part_of_the_images_and_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    values, label, places = example()
    rows = np.flatnonzero(np.random.default_rng(0).random(400) < 0.6)
    source = with_features(values, 64)
    whole = drive(map_quality(source, rows, label[rows], places[rows], 0), source)
    expected = trustworthiness(values[rows], places[rows], n_neighbors=15)
    assert whole.trustworthiness == pytest.approx(expected, abs=1e-4)
    monkeypatch.setattr(module, "SAMPLE", 100)
    part = drive(map_quality(source, rows, label[rows], places[rows], 0), source)
    assert part.sampled == 100
    assert part.trustworthiness == pytest.approx(expected, abs=0.02)
    assert part.trustworthiness != expected
    other = with_features(values, 37)
    assert drive(map_quality(other, rows, label[rows], places[rows], 0), other) == part


def test_few_and_unlabelled_images() -> None:
    values, label, places = example(20)
    source = with_features(values, 8)
    unknown = np.full(20, -1, np.int16)
    found = drive(map_quality(source, np.arange(20), unknown, places, 0), source)
    assert (found.trustworthiness, found.sampled, found.knn_accuracy) == (None, 0, None)
    some = np.where(np.arange(20) < 12, label, -1)
    found = drive(map_quality(source, np.arange(20), some, places, 0), source)
    assert 0 <= found.knn_accuracy <= 1


def test_of_large_maps_a_part_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    values, label, places = example()
    label[::7] = -1
    source = with_features(values, 64)
    whole = drive(map_quality(source, np.arange(400), label, places, 0), source)
    monkeypatch.setattr(module, "EXACT_IMAGES", 100)
    found = drive(map_quality(source, np.arange(400), label, places, 0), source)
    assert (found.trustworthiness, found.sampled) == (pytest.approx(whole.trustworthiness, abs=1e-12), whole.sampled)
    assert found.knn_accuracy == pytest.approx(whole.knn_accuracy, abs=1e-12)
    assert found.voted == (label >= 0).sum()
    monkeypatch.setattr(module, "VOTERS", 60)
    part = drive(map_quality(source, np.arange(400), label, places, 0), source)
    assert part.voted == 60
    assert part.knn_accuracy == pytest.approx(whole.knn_accuracy, abs=0.2)
