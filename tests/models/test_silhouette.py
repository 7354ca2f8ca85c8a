"""Silhouettes against scikit-learn's, for any chunking."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples
from support import collection_of, with_features

from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.kernels.silhouette import silhouettes
from fmnist_dask.models import silhouette as module
from fmnist_dask.models.silhouette import silhouette
from fmnist_dask.passes.local import LocalEngine, drive


def measured(source, labels, k, tasks=3, **options):
    return drive(silhouette(source, np.asarray(labels), k, **options), source, LocalEngine(tasks))


def pixels_and_labels(n=900, chunk_rows=128, k=5, shape=(9, 8)):
    source = collection_of(n, shape, chunk_rows, seed=3)
    labels = np.random.default_rng(1).integers(0, k, n).astype(np.int32)
    labels[0] = k  # alone in its cluster
    return source, labels


def test_pixels_are_exact_and_the_same_for_any_chunking():
    _, labels = pixels_and_labels()
    results = []
    for chunk_rows, tasks in ((128, 1), (900, 2), (77, 5)):
        source, _ = pixels_and_labels(chunk_rows=chunk_rows)
        results.append(measured(source, labels, 7, tasks))
    features = source.read("image", 0, source.n).reshape(source.n, -1).astype(np.float64)
    expected = silhouette_samples(features, labels)
    for found in results:
        np.testing.assert_array_equal(found.values, results[0].values)
        np.testing.assert_allclose(found.values, expected, atol=1e-9)
        assert found.mean == pytest.approx(expected.mean(), abs=1e-9)
        assert found.interval == 0
        assert found.values[0] == 0
    assert results[0].of_cluster[2] == pytest.approx(expected[labels == 2].mean(), abs=1e-9)
    assert np.isnan(results[0].of_cluster[6])  # nobody is in it


@pytest.mark.parametrize("d", [3, 24, 25, 60])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_agree_with_scikit_learn(d, dtype):
    rng = np.random.default_rng(d)
    features = (rng.normal(size=(700, d)) + 1000).astype(dtype)
    labels = rng.integers(0, 4, 700)
    features[labels == 1] += 2
    source = with_features(features, 100)
    found = measured(source, labels, 4)
    np.testing.assert_allclose(found.values, silhouette_samples(features.astype(np.float64), labels), atol=1e-6)


def test_only_the_samples_of_a_split_count():
    source, labels = pixels_and_labels()
    inside = source.read("split", 0, source.n) == 0
    found = measured(source, np.where(inside, labels, -1), 7, split="train")
    features = source.read("image", 0, source.n).reshape(source.n, -1).astype(np.float64)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(inside))
    np.testing.assert_allclose(found.values, silhouette_samples(features[inside], labels[inside]), atol=1e-9)


def test_a_sample_is_measured_against_all_and_its_interval_holds():
    source, labels = pixels_and_labels()
    whole = measured(source, labels, 7)
    held = 0
    for seed in range(40):
        part = measured(source, labels, 7, sample=150, seed=seed)
        assert len(part.rows) == 150
        np.testing.assert_array_equal(part.values, whole.values[part.rows])
        held += abs(part.mean - whole.mean) <= part.interval
    assert 33 <= held <= 40
    np.testing.assert_array_equal(measured(source, labels, 7, sample=5000).values, whole.values)


def test_clusters_that_leave_nothing_to_compare():
    source, _ = pixels_and_labels(n=60)
    assert measured(source, np.zeros(60, dtype=np.int32), 1).values.tolist() == [0.0] * 60
    alone = measured(source, np.arange(60), 60)
    assert alone.values.tolist() == [0.0] * 60
    equal = with_features(np.zeros((20, 3), dtype=np.float32), 7)
    assert measured(equal, np.arange(20) % 2, 2).mean == 0.0
    assert silhouettes(np.zeros((1, 2)), np.array([0]), np.array([1, 0])).tolist() == [0.0]


def test_too_many_sums_are_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_SUMS", 1000)
    source, labels = pixels_and_labels()
    with pytest.raises(MemoryLimitError, match="random part"):
        measured(source, labels, 7)
    assert len(measured(source, labels, 7, sample=50).rows) == 50
