"""k-means, against scikit-learn from the same centres, and on inputs that break others."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from support import assert_same, collection_of, with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.models.clusters import agreement, describe_clusters
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive


def fitted(source, options, split="all", n=None, tasks=3):
    return drive(kmeans(source, source.n if n is None else n, options, split), source, LocalEngine(tasks))


def described(source, model, split="all", examples=3):
    return drive(describe_clusters(source, model, split, examples, 1.0), source)


def labels_of(clusters):
    return np.asarray(clusters.columns["labels"][:])


def blobs(n=1500, d=12, k=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.integers(40, 216, (k, d))
    values = centres[rng.integers(0, k, n)] + rng.normal(0, 12, (n, d))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def pixels(n=1500, chunk_rows=256, **options):
    return ArrayCollection(blobs(n, **options).reshape(n, 3, 4), chunk_rows=chunk_rows)


def sources(kind, chunk_rows):
    if kind == "pixels":
        return pixels(chunk_rows=chunk_rows)
    return with_features((blobs() / 7 - 3).astype(np.float32), chunk_rows)


def data_of(source):
    return source.block(0, source.n).features.astype(np.float64)


@pytest.mark.parametrize("kind", ["pixels", "floats"])
@pytest.mark.parametrize("tol", [1e-4, 0.0])
def test_equal_to_scikit_learn_from_the_same_centres(kind, tol):
    source = sources(kind, 256)
    data = data_of(source)
    init = data[[3, 77, 500, 900, 1001, 1400]]
    expected = KMeans(6, init=init, n_init=1, tol=tol).fit(data)
    model = fitted(source, KMeansOptions(6, init, tol=tol))
    clusters = described(source, model)
    np.testing.assert_array_equal(labels_of(clusters), expected.labels_)
    np.testing.assert_allclose(model.centres, expected.cluster_centers_, rtol=1e-9)
    assert clusters.inertia == pytest.approx(expected.inertia_, rel=1e-9)
    assert clusters.inertia_of_cluster.sum() == pytest.approx(expected.inertia_, rel=1e-9)
    assert model.n_iter == expected.n_iter_


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
@pytest.mark.parametrize("kind", ["pixels", "floats"])
def test_the_same_for_any_chunking(kind, init):
    found = []
    for chunk_rows, tasks in ((256, 1), (512, 4), (2048, 2)):
        source = sources(kind, chunk_rows)
        model = fitted(source, KMeansOptions(6, init, n_init=3, seed=4), tasks=tasks)
        clusters = described(source, model)
        found.append({**vars(model), **vars(clusters), "columns": labels_of(clusters), "means": vars(clusters.means)})
    for other in found[1:]:
        assert_same(found[0], other)


@pytest.mark.parametrize("init", ["k-means++", "k-means||", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_as_good_as_many_starts_of_scikit_learn(init, seed):
    source = pixels(k=9, seed=seed)
    expected = KMeans(9, n_init=30, random_state=0).fit(data_of(source))
    model = fitted(source, KMeansOptions(9, init, n_init=4, seed=seed))
    assert described(source, model).inertia <= expected.inertia_ * (1 + 1e-6)


def test_a_split_alone_decides_and_is_labelled():
    source = collection_of(900, (4, 4), chunk_rows=256)
    inside = source.split == 0
    model = fitted(source, KMeansOptions(4, n_init=2), "train", int(inside.sum()))
    clusters = described(source, model, "train")
    labels, distance = labels_of(clusters), np.asarray(clusters.columns["distance"][:])
    assert (labels[~inside] == -1).all()
    assert np.isnan(distance[~inside]).all()
    data = source.image[inside].reshape(inside.sum(), -1).astype(float)
    exact = np.sqrt(((data[:, None] - model.centres[None]) ** 2).sum(axis=2))
    np.testing.assert_array_equal(labels[inside], exact.argmin(axis=1))
    np.testing.assert_allclose(distance[inside], exact.min(axis=1), rtol=1e-6)
    assert clusters.size.sum() == inside.sum()
    names = np.stack([labels, source.label])[:, inside]
    for cluster, label in itertools.product(range(4), (-1, 0, 1, 2)):
        assert clusters.composition[cluster, 1 + label] == ((names[0] == cluster) & (names[1] == label)).sum()
    for cluster in range(4):
        mean = source.image[inside][labels[inside] == cluster].mean(axis=0)
        np.testing.assert_allclose(clusters.mean_image[cluster], mean, rtol=1e-12)
        members = np.flatnonzero(labels == cluster)
        order = members[np.argsort(exact.min(axis=1)[np.searchsorted(np.flatnonzero(inside), members)], kind="stable")]
        np.testing.assert_array_equal(clusters.examples["nearest"][cluster]["row"], order[:3])
        assert set(clusters.examples["farthest"][cluster]["row"]) == set(order[-3:])
        np.testing.assert_array_equal(clusters.examples["nearest"][cluster]["image"], source.image[order[:3]])


def test_empty_clusters_take_over_the_farthest_samples_like_scikit_learn():
    source = pixels()
    data = data_of(source)
    init = np.concatenate([data[:3], np.full((3, 12), 5000.0)])  # three centres that nothing is near
    expected = KMeans(6, init=init, n_init=1, tol=0).fit(data)
    model = fitted(source, KMeansOptions(6, init, tol=0))
    clusters = described(source, model)
    assert (clusters.size > 0).all()
    np.testing.assert_array_equal(labels_of(clusters), expected.labels_)
    assert clusters.inertia == pytest.approx(expected.inertia_, rel=1e-9)


def test_more_clusters_than_distinct_images():
    image = np.repeat(np.arange(3, dtype=np.uint8) * 100, 40)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    source = ArrayCollection(image)
    model = fitted(source, KMeansOptions(5, n_init=2))
    clusters = described(source, model)
    assert not model.distinct
    assert clusters.inertia == 0
    assert (clusters.size > 0).sum() == 3
    assert np.isfinite(model.centres).all()


@pytest.mark.parametrize("n", [1, 300])
def test_one_cluster_is_the_mean(n):
    source = pixels(n)
    model = fitted(source, KMeansOptions(1, n_init=3))
    data = data_of(source)
    np.testing.assert_allclose(model.centres[0], data.mean(axis=0), rtol=1e-12)
    clusters = described(source, model)
    assert clusters.inertia == pytest.approx(((data - data.mean(axis=0)) ** 2).sum(), rel=1e-9, abs=1e-6)
    assert agreement(clusters.composition[:, 1:]) == {"nmi": None, "ari": None, "matched_accuracy": None}


def test_constant_images():
    source = ArrayCollection(np.full((50, 3, 3), 200, np.uint8))
    model = fitted(source, KMeansOptions(2, n_init=2))
    assert not model.distinct
    assert described(source, model).inertia == 0
    np.testing.assert_array_equal(model.centres[0], np.full(9, 200.0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (KMeansOptions(51), "n_samples=50 should be >= n_clusters=51"),
        (KMeansOptions(0), "n_clusters is 0"),
        (KMeansOptions(3, np.zeros((3, 5))), r"init has shape \(3, 5\)"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        fitted(pixels(50), options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    features = np.ones((600, 3), np.float32)
    features[300, 1] = value
    with pytest.raises(UsageError, match="1 values are NaN or infinity, the first in row 300"):
        fitted(with_features(features), KMeansOptions(2))


def test_weights_count_like_repeated_samples():
    values = (blobs(400) / 9).astype(np.float64)
    weights = np.random.default_rng(0).integers(0, 4, 400).astype(np.float64)
    source = with_features(values)
    source.extra["sample_weight"] = weights
    init = values[:5]
    model = fitted(source, KMeansOptions(5, init, tol=0, weighted=True))
    repeated = np.repeat(values, weights.astype(int), axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        expected = KMeans(5, init=init, n_init=1, tol=0).fit(repeated)
    np.testing.assert_allclose(model.centres, expected.cluster_centers_, rtol=1e-9)
    found = fitted(source, KMeansOptions(5, n_init=3, weighted=True))
    assert found.history[0][-1] <= KMeans(5, n_init=20, random_state=0).fit(repeated).inertia_ * (1 + 1e-3)


def test_starts_share_passes_and_repeated_ones_are_dropped():
    source = pixels()
    engine = LocalEngine()
    model = drive(kmeans(source, source.n, KMeansOptions(6, n_init=10)), source, engine)
    assert len(model.start_inertia) == 10
    assert len([history for history in model.history if history]) < 10
    assert engine.statistics.passes <= 1 + max(len(history) for history in model.history)


def test_agreement_equals_scikit_learn():
    rng = np.random.default_rng(0)
    classes, clusters = rng.integers(0, 5, 2000), rng.integers(0, 7, 2000)
    clusters = np.where(rng.random(2000) < 0.6, classes, clusters)
    table = np.zeros((7, 5), np.int64)
    np.add.at(table, (clusters, classes), 1)
    found = agreement(table)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(classes, clusters), rel=1e-12)
    assert found["ari"] == pytest.approx(adjusted_rand_score(classes, clusters), rel=1e-12)
    assert agreement(np.diag([4, 5, 6])) == {"nmi": pytest.approx(1), "ari": 1.0, "matched_accuracy": 1.0}
    assert agreement(np.array([[9]]))["nmi"] == 1.0


def test_inertia_of_tight_clusters_far_from_the_origin_is_exact():
    image = np.repeat(np.array([[250] * 12, [251, *[240] * 11], [30] * 12], dtype=np.uint8), 400, axis=0)
    image[::100, 3] += 1
    source = ArrayCollection(image.reshape(-1, 3, 4), chunk_rows=256)
    model = fitted(source, KMeansOptions(3, n_init=2))
    found = described(source, model)
    labels = labels_of(found)
    expected = sum(((image[labels == k] - image[labels == k].mean(axis=0)) ** 2).sum() for k in range(3))
    assert found.inertia == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_a_start_that_rounding_makes_worse_is_not_given_up():
    """More clusters than distinct samples: inertia is zero but for rounding."""
    rng = np.random.default_rng(0)
    distinct = rng.normal(0, 5, (6, 3))[rng.integers(0, 6, 20)] + rng.normal(0, 0.3, (20, 3))
    source = with_features(np.repeat(distinct, 30, axis=0), 100)
    model = drive(kmeans(source, 600, KMeansOptions(64, n_init=1)), source, LocalEngine(1))
    assert model.history[0][-1] < 1e-20
    assert np.isfinite(model.centres).all()
