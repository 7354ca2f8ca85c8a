"""Spectral clustering by landmarks, against scikit-learn's of few samples."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.cluster
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from support import collection_of, with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.landmarks import UNIT_BITS, Landmarks
from fmnist_dask.models.spectral import SpectralOptions, leading_coordinates, spectral
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.labelled import LabelledSums
from fmnist_dask.passes.reductions.members import labels_by
from fmnist_dask.passes.through import Mapped


def labels_of(source, model):
    return labels_by(source.block(0, source.n), model.labelling)


def fitted(source, options, tasks=2):
    return drive(spectral(source, source.n, options), source, LocalEngine(tasks))


@pytest.mark.parametrize("make", [make_moons, make_circles])
def test_shapes_that_k_means_cannot_tell_apart(make):
    points, truth = make(3000, noise=0.04, random_state=0, **({"factor": 0.5} if make is make_circles else {}))
    source = with_features(points, 500)
    model = fitted(source, SpectralOptions(2, n_landmarks=200))
    assert adjusted_rand_score(labels_of(source, model), truth) == 1


def test_the_clusters_of_scikit_learn_where_samples_are_joined():
    points, _ = make_blobs(1500, centers=5, n_features=4, cluster_std=2, random_state=2)
    source = with_features(points, 500)
    model = fitted(source, SpectralOptions(5, n_landmarks=300))
    affinity = {"affinity": "nearest_neighbors", "n_neighbors": 30}
    expected = sklearn.cluster.SpectralClustering(5, **affinity, random_state=0).fit_predict(points)
    assert adjusted_rand_score(labels_of(source, model), expected) > 0.95


def test_coordinates_are_eigenvectors_of_the_graph():
    points = np.random.default_rng(0).normal(size=(400, 3)) + 2 * np.eye(3)[np.arange(400) % 3]
    source = with_features(points, 100)
    model = fitted(source, SpectralOptions(3, n_landmarks=50))
    index, weight = model.coordinates.landmarks.landmarks.affinities(points, np.arange(400))
    affinities = np.zeros((400, 50))
    np.put_along_axis(affinities, index, weight / 2**UNIT_BITS, axis=1)
    np.testing.assert_allclose(affinities.sum(axis=1), 1, atol=1e-5)
    graph = affinities / affinities.sum(axis=0) @ affinities.T
    coordinates = Mapped(source, model.coordinates).block(0, 400).features
    np.testing.assert_allclose(graph @ coordinates, coordinates * model.eigenvalues, atol=1e-5)
    np.testing.assert_allclose((coordinates**2).mean(axis=0), 1, rtol=1e-5)
    assert model.eigenvalues[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(coordinates[:, 0], coordinates[0, 0], rtol=1e-4)  # the first one tells nothing apart


def test_the_same_for_any_chunking_and_number_of_tasks():
    found = []
    for chunk_rows, tasks in ((256, 1), (900, 3), (512, 2)):
        source = collection_of(900, (5, 4), chunk_rows, seed=3)
        model = fitted(source, SpectralOptions(4, n_landmarks=64), tasks)
        sums = LabelledSums.of(model.labelling, 4, model.low, model.high, 900)
        means = LocalEngine(tasks).run_pass(source, {"a": Scan({"sums": sums})}).answers()["a"]["sums"]
        found.append((labels_of(source, model), model.eigenvalues, means))
    pixels = source.read("image", 0, 900).reshape(900, -1).astype(float)
    for labels, eigenvalues, means in found:
        np.testing.assert_array_equal(labels, found[0][0])
        np.testing.assert_array_equal(eigenvalues, found[0][1])
        np.testing.assert_array_equal(means["count"], np.bincount(labels, minlength=4))
        for cluster in range(4):
            np.testing.assert_allclose(means["mean"][cluster], pixels[labels == cluster].mean(axis=0), rtol=1e-12)


def test_means_of_float_features_and_empty_clusters():
    values = np.random.default_rng(0).normal(size=(300, 3)) + 100
    source = with_features(values, 77)
    model = fitted(source, SpectralOptions(2, n_landmarks=40))
    sums = LabelledSums.of(model.labelling, 3, model.low, model.high, 300)
    means = LocalEngine(2).run_pass(source, {"a": Scan({"sums": sums})}).answers()["a"]["sums"]
    labels = labels_of(source, model)
    for cluster in range(2):
        np.testing.assert_allclose(means["mean"][cluster], values[labels == cluster].mean(axis=0), rtol=1e-12)
    assert means["count"][2] == 0
    assert (means["mean"][2] == 0).all()


def test_few_and_equal_samples():
    constant = with_features(np.full((30, 2), 3.0), 10)
    model = fitted(constant, SpectralOptions(2, n_landmarks=100))
    assert set(labels_of(constant, model)) == {0}
    assert np.isfinite(model.eigenvalues).all()
    one = with_features(np.arange(40.0).reshape(20, 2), 10)
    assert set(labels_of(one, fitted(one, SpectralOptions(1)))) == {0}
    far = np.vstack([np.random.default_rng(0).normal(size=(500, 2)), [[1e9, 1e9]]])
    source = with_features(far, 100)
    model = fitted(source, SpectralOptions(2, n_landmarks=20))
    assert np.isfinite(Mapped(source, model.coordinates).block(0, 501).features).all()


def test_what_cannot_be_clustered_is_refused():
    source = with_features(np.random.default_rng(0).normal(size=(50, 2)), 20)
    with pytest.raises(UsageError, match="n_clusters=60 of 50 samples"):
        fitted(source, SpectralOptions(60))
    with pytest.raises(UsageError, match="n_clusters=9 of 5 landmarks"):
        fitted(source, SpectralOptions(9, n_landmarks=5))
    broken = with_features(np.array([[np.nan, 1.0], [0.0, 2.0]]), 2)
    with pytest.raises(UsageError, match="NaN or infinity, the first in row 0"):
        fitted(broken, SpectralOptions(2))


def test_landmarks_without_samples_have_no_part():
    products = np.diag([3.0, 2.0, 0.0])
    table, eigenvalues = leading_coordinates(products, 3, 5)
    assert np.isfinite(table).all()
    assert (table[2] == 0).all()
    np.testing.assert_allclose(eigenvalues, [1, 1, 0], atol=1e-12)


def test_affinities_are_largest_to_the_nearest():
    landmarks = Landmarks(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]]), 2, 1.0)
    index, weight = landmarks.affinities(np.array([[0.1, 0.0], [8.0, 9.0]]), np.arange(2))
    assert index.tolist() == [[0, 1], [1, 2]]
    assert weight[0, 0] > weight[0, 1] > 0
    assert weight.sum(axis=1).tolist() == [2**UNIT_BITS] * 2


def test_the_nearest_landmarks_are_those_of_a_full_search():
    rng = np.random.default_rng(0)
    centres = rng.permutation(216)[:40, None] // np.array([36, 6, 1]) % 6.0
    points = rng.integers(0, 6, (500, 3)).astype(float)
    distances = ((points[:, None] - centres) ** 2).sum(axis=2)
    for neighbours in (1, 4, 40, 60):
        index, squares = Landmarks(centres, neighbours, 1.0).nearest(points, np.arange(500))
        r = min(neighbours, 40)
        # On a grid there are many ties, of which any will do.
        assert (np.diff(index, axis=1) > 0).all()
        np.testing.assert_allclose(squares, np.take_along_axis(distances, index, axis=1), atol=1e-9)
        np.testing.assert_allclose(np.sort(squares, axis=1), np.sort(distances, axis=1)[:, :r], atol=1e-9)
