"""Calinski-Harabasz and Davies-Bouldin against scikit-learn's, for any chunking and any rule of whose a sample is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from support import collection_of, with_features

from fmnist_dask.models.cluster_scores import Means, Scores, cluster_scores, labelled_means
from fmnist_dask.models.clusters import means_of
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import NearestCentre


@dataclass(frozen=True)
class Given:
    """A labelling that is known."""

    known: ArrayParameter

    def labels(self, block):
        return self.known.values[block.rows]

    def work_bytes(self, rows):
        return 4 * rows


def scores(source, labels, k, tasks=3, split="all"):
    """Means, then scores, as steps ask for them."""
    labelling = Given(ArrayParameter(np.asarray(labels, dtype=np.int32)))
    if source.feature_dtype == "uint8":
        middle, diameter = np.zeros(source.n_features), 255.0 * np.sqrt(source.n_features)
    else:
        features = source.read("features", 0, source.n).astype(np.float64)
        low, high = features.min(axis=0), features.max(axis=0)
        middle, diameter = (low + high) / 2, float(np.linalg.norm(high - low))

    def algorithm():
        n = int((source.read("split", 0, source.n) == 0).sum()) if split == "train" else source.n
        found = yield Scan({"means": labelled_means(labelling, k, middle, diameter, n)}, split=split)
        shift = None if source.feature_dtype == "uint8" else middle
        return (
            yield from cluster_scores(labelling, Means(**found["means"], shift=shift, squares=n * diameter**2), split)
        )

    return drive(algorithm(), source, LocalEngine(tasks))


def agree(found, features, labels):
    features = features.astype(np.float64)
    assert found.calinski_harabasz == pytest.approx(calinski_harabasz_score(features, labels), rel=1e-9)
    assert found.davies_bouldin == pytest.approx(davies_bouldin_score(features, labels), rel=1e-9)


def test_pixels_for_any_chunking_with_gaps_and_lonely_samples():
    results = []
    labels = np.random.default_rng(1).integers(0, 5, 700)
    labels[3] = 6  # alone; nobody is in cluster 5
    for chunk_rows, tasks in ((128, 1), (700, 2), (77, 5)):
        source = collection_of(700, (9, 8), chunk_rows, seed=3)
        results.append(scores(source, labels, 8, tasks))
    assert results[0] == results[1] == results[2]
    agree(results[0], source.read("image", 0, 700).reshape(700, -1), labels)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("place", [0.0, 1000.0])
def test_floats_for_any_chunking(dtype, place):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 600)
    features = (rng.normal(size=(600, 7)) + labels[:, None] + place).astype(dtype)
    results = [scores(with_features(features, rows), labels, 4, tasks) for rows, tasks in ((100, 1), (256, 3), (64, 2))]
    assert results[0] == results[1] == results[2]
    agree(results[0], features, labels)


def test_of_a_split_only_its_samples_count():
    source = collection_of(500, (4, 4), 64, seed=5)
    inside = source.read("split", 0, 500) == 0
    labels = np.random.default_rng(3).integers(0, 3, 500)
    found = scores(source, labels, 3, split="train")
    agree(found, source.read("image", 0, 500).reshape(500, -1)[inside], labels[inside])


def test_about_means_where_the_centres_of_a_k_means_are_elsewhere():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(900, 3))
    source = with_features(features, 128)
    model = drive(kmeans(source, 900, KMeansOptions(4, features[:4], 1, max_iter=1)), source)
    scan = Scan({"sums": ClusterSums(model.parameter, model.grid)})
    sums = LocalEngine().scan(source, {"": scan})[""]["sums"]
    means = means_of(model, sums)
    assert np.abs(means.mean - model.centres).max() > 1e-4
    found = drive(cluster_scores(NearestCentre(model.parameter), means), source)
    labels = ((features[:, None] - model.centres) ** 2).sum(axis=2).argmin(axis=1)
    agree(found, features, labels)


@pytest.mark.parametrize("labels", [np.zeros(6), np.arange(6)])
def test_undefined_where_scikit_learn_refuses(labels):
    features = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(ValueError, match="Number of labels"):
        davies_bouldin_score(features, labels.astype(int))
    assert scores(with_features(features), labels, 6) == Scores(None, None)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.1, 0.1, 0.1, 0.1], [0, 0, 1, 1]),  # all samples, and all means, are one
        ([0.25, 0.25, 0.25, 0.75, 0.75, 0.75], [0, 0, 0, 1, 1, 1]),  # samples stand on their means
        ([-1.0, 1.0, -2.0, 2.0], [0, 0, 1, 1]),  # means coincide
        ([-1.0, 1.0, -2.0, 2.0, 5.0, 6.0], [0, 0, 1, 1, 2, 2]),  # two of three do
    ],
)
def test_where_nothing_spreads_or_means_coincide(values, labels):
    features = np.array(values)[:, None]
    found = scores(with_features(features, 2), labels, max(labels) + 1)
    agree(found, features, np.array(labels))


def test_what_rounding_leaves_of_equal_samples_counts_for_nothing():
    values = np.array([0.1] * 3 + [0.7] * 3)[:, None]
    assert calinski_harabasz_score(values, [0, 0, 0, 1, 1, 1]) > 1e20  # of noise
    assert scores(with_features(values, 2), [0, 0, 0, 1, 1, 1], 2) == Scores(0.0, 1.0)
