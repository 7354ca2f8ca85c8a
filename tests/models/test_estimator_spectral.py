"""Spectral clustering as an estimator: scikit-learn's clusters of few samples, the same for any chunks, edge cases."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from sklearn.datasets import make_blobs, make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from fmnist_dask import SpectralClustering
from fmnist_dask.errors import UsageError


def test_new_samples_are_assigned_and_chunks_do_not_matter() -> None:
    points, truth = make_moons(1200, noise=0.04, random_state=0)
    model = SpectralClustering(2, n_landmarks=120, random_state=0).fit(points)
    assert adjusted_rand_score(truth, model.labels_) == 1
    new, of_new = make_moons(300, noise=0.04, random_state=1)
    assert adjusted_rand_score(of_new, model.predict(new)) > 0.98
    np.testing.assert_array_equal(model.predict(points), model.labels_)
    assert model.embedding(new).shape == (300, 2)
    assert model.n_landmarks_ == len(model.landmarks_) == 120
    assert (np.diff(model.eigenvalues_) <= 0).all()
    with dask.config.set(scheduler="threads"):
        lazy = da.from_array(points, chunks=(256, -1))
        other = SpectralClustering(2, n_landmarks=120, random_state=0).fit(lazy)
        assert isinstance(other.labels_, da.Array)
        np.testing.assert_array_equal(other.labels_, model.labels_)
        np.testing.assert_array_equal(other.embedding(lazy), model.embedding(points))


def test_gamma_is_that_of_the_kernel() -> None:
    points, truth = make_blobs(400, centers=3, random_state=0, cluster_std=0.5)
    chosen = SpectralClustering(3, random_state=0).fit(points)
    again = SpectralClustering(3, gamma=chosen.gamma_, random_state=0).fit(points)
    np.testing.assert_allclose(again.eigenvalues_, chosen.eigenvalues_, rtol=1e-9)
    assert adjusted_rand_score(truth, again.labels_) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn.cluster.SpectralClustering(3, affinity="nearest_neighbors", random_state=0)
        assert adjusted_rand_score(theirs.fit_predict(points), chosen.labels_) == 1


@pytest.mark.parametrize("values", [np.full((40, 3), 7, np.uint8), np.zeros((40, 3)), np.repeat(np.eye(3), 20, axis=0)])
def test_few_distinct_samples_have_few_clusters(values: np.ndarray) -> None:
    found = SpectralClustering(4, random_state=0).fit(values)
    assert np.isfinite(found.embedding(values)).all()
    assert len(np.unique(found.labels_)) <= min(4, len(np.unique(values, axis=0)))


def test_one_cluster_and_an_outlier() -> None:
    points = np.random.default_rng(0).normal(size=(300, 3))
    assert set(SpectralClustering(1, random_state=0).fit(points).labels_) == {0}
    points[0] = 1e3
    found = SpectralClustering(2, random_state=0).fit(points)
    assert np.isfinite(found.eigenvalues_).all()
    assert (found.labels_[1:] != found.labels_[0]).sum() > 200


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_clusters": 0}, "'n_clusters' parameter"),
        ({"n_clusters": 51}, "n_clusters=51 of 50 samples"),
        ({"n_landmarks": 1}, "'n_landmarks' parameter"),
        ({"gamma": 0}, "'gamma' parameter"),
        ({"gamma": -1.0}, "'gamma' parameter"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(given: dict[str, float], words: str) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(UsageError, match=words):
        SpectralClustering(**given).fit(values)
    values[1, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        SpectralClustering(2).fit(values)


@pytest.mark.data
@pytest.mark.slow
def test_fashion_mnist_beside_scikit_learn(real_data: Callable[[str], Path]) -> None:
    raw, known = (
        gzip.decompress((real_data("fashion-mnist") / f"train-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    )
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784) / 255
    classes = np.frombuffer(known, np.uint8, 5000, offset=8)
    codes = PCA(10, svd_solver="full").fit_transform(pixels)
    ours = SpectralClustering(10, random_state=0).fit_predict(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn.cluster.SpectralClustering(10, affinity="nearest_neighbors", random_state=0).fit_predict(codes)
    assert silhouette_score(codes, ours) >= silhouette_score(codes, theirs)
    assert normalized_mutual_info_score(classes, ours) >= normalized_mutual_info_score(classes, theirs) - 0.02
