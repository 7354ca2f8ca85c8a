"""Ward's hierarchy of many samples, against scikit-learn's of few."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from sklearn.metrics import adjusted_rand_score
from support import collection_of, with_features

from fmnist_dask import AgglomerativeClustering
from fmnist_dask.models.agglomerative import AgglomerativeOptions, agglomerative
from fmnist_dask.models.clusters import clusters_of, labelled_scan
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.parameters import SetsParameter, grid_scale


def blobs(n: int, d: int = 3, k: int = 6, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 5, (k, d))[rng.integers(0, k, n)] + rng.normal(0, spread, (n, d))


@pytest.mark.data
def test_equal_to_scikit_learn_on_fashion_mnist(real_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784)
    expected = sklearn.cluster.AgglomerativeClustering(10, compute_distances=True).fit(pixels.astype(float))
    found = AgglomerativeClustering(10, micro_clusters=5000).fit(pixels)
    assert adjusted_rand_score(found.labels_, expected.labels_) == 1
    np.testing.assert_allclose(found.distances_, expected.distances_, rtol=1e-9)


def test_one_fit_has_any_number_of_clusters() -> None:
    values = blobs(700)
    found = AgglomerativeClustering(3).fit(values)
    for n_clusters in (1, 2, 3, 6, 20, 700):
        expected = sklearn.cluster.AgglomerativeClustering(n_clusters).fit_predict(values)
        assert adjusted_rand_score(found.labels(values, n_clusters), expected) == 1
    np.testing.assert_array_equal(found.labels_, found.labels(values, 3))
    np.testing.assert_array_equal(found.predict(values[:9]), found.labels_[:9])
    assert found.children_.shape == (699, 2)


def test_many_samples_are_gathered_first() -> None:
    values = blobs(8_000)
    found = AgglomerativeClustering(6, micro_clusters=100, random_state=0).fit(values)
    assert found.n_leaves_ == 100
    assert found.micro_sizes_.sum() == 8_000
    truth = np.random.default_rng(0)
    truth.normal(0, 5, (6, 3))
    assert adjusted_rand_score(found.labels_, truth.integers(0, 6, 8_000)) > 0.999
    for chunks in (3001,):
        lazy = da.from_array(values, chunks=(chunks, 3))
        again = AgglomerativeClustering(6, micro_clusters=100, random_state=0).fit(lazy)
        np.testing.assert_array_equal(again.linkage_matrix_, found.linkage_matrix_)
        np.testing.assert_array_equal(again.labels_.compute(), found.labels_)


def test_what_clusters_of_a_split_hold() -> None:
    results = []
    for chunk_rows, tasks in ((128, 1), (77, 3)):
        source = collection_of(900, (5, 4), chunk_rows, seed=3)
        inside = source.read("split", 0, source.n) == 0
        n = int(inside.sum())
        model = drive(agglomerative(source, n, AgglomerativeOptions(40), "train"), source, LocalEngine(tasks))
        means = model.means(5)
        scan = labelled_scan(
            source,
            SetsParameter.of([means], model.shift),
            model.labelling(5),
            grid_scale(n * model.diameter**2),
            "train",
            2,
            255.0,
        )
        found = LocalEngine(tasks).run_pass(source, {"members": scan}).answers()["members"]
        results.append((model, clusters_of(source, found)))
    (model, clusters), (other, others) = results
    np.testing.assert_array_equal(model.linkage, other.linkage)
    labels = np.asarray(clusters.columns["labels"][:])
    np.testing.assert_array_equal(labels, others.columns["labels"][:])
    assert (labels[~inside] == -1).all()
    pixels = source.read("image", 0, source.n).reshape(source.n, -1)[inside].astype(float)
    own = labels[inside]
    np.testing.assert_array_equal(clusters.size, np.bincount(own, minlength=5))
    for cluster in range(5):
        np.testing.assert_allclose(model.means(5)[cluster], pixels[own == cluster].mean(axis=0), rtol=1e-10)
    squares = ((pixels - model.means(5)[own]) ** 2).sum()
    assert clusters.inertia == pytest.approx(squares, rel=1e-9)
    nearest = clusters.examples["nearest"][0]["row"]
    assert set(labels[nearest]) == {0}


@pytest.mark.parametrize(
    ("given", "values", "words"),
    [
        ({}, np.ones((1, 2)), "a minimum of 2 is required"),
        ({"linkage": "single"}, np.ones((3, 2)), "'linkage' parameter"),
        ({"micro_clusters": 1}, np.ones((3, 2)), "'micro_clusters' parameter"),
        ({}, da.from_array(np.array([[1.0, np.inf], [0.0, 1.0]])), "NaN or infinity, the first in row 0"),
    ],
)
def test_what_has_no_hierarchy_is_refused(given: dict[str, Any], values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AgglomerativeClustering(**given).fit(values)


def test_equal_samples_and_more_clusters_than_samples() -> None:
    constant = AgglomerativeClustering(2).fit(np.full((30, 2), 4.0))
    assert np.isfinite(constant.distances_).all()
    assert AgglomerativeClustering(9).fit(np.arange(6.0).reshape(3, 2)).n_clusters_ == 3
    found = AgglomerativeClustering(2).fit(blobs(50))
    with pytest.raises(ValueError, match="ask for 1 to 50"):
        found.labels(blobs(50), 51)
    # Fewer distinct samples than small clusters.
    few = np.repeat(blobs(20), 30, axis=0)
    model = drive(
        agglomerative(with_features(few, 100), 600, AgglomerativeOptions(64)), with_features(few, 100), LocalEngine(1)
    )
    assert model.sizes.sum() == 600
    assert len(model.sizes) <= 64
