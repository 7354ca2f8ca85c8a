"""The steps pca and those that cluster through whole runs: on pixels, on codes, by dask-ml, on odd collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
    silhouette_samples,
)
from sklearn.mixture import GaussianMixture
from support import random_images, some_slow, stored

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.errors import RunError


def run_steps(steps: dict[str, Any], source: Any, cluster: Connection, place: Path) -> fmnist_dask.Run:
    place.mkdir(parents=True, exist_ok=True)
    workflow = place / "structure.yaml"
    workflow.write_text(yaml.safe_dump({"name": "structure", "source": "garments", "steps": steps}))
    return fmnist_dask.run(
        workflow,
        source=source,
        cluster=str(cluster.client.scheduler.address),
        out=place / "run",
        store=place / "s.zarr",
    )


def exact_inertia(values: np.ndarray, centres: np.ndarray, labels: np.ndarray) -> float:
    return float(((values.astype(np.float64) - centres[labels].astype(np.float64)) ** 2).sum())


def assert_scores(metrics: dict[str, Any], values: np.ndarray, labels: np.ndarray) -> None:
    values = values.astype(np.float64)
    assert metrics["davies_bouldin"] == pytest.approx(davies_bouldin_score(values, labels), rel=1e-9)
    assert metrics["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(values, labels), rel=1e-9)


@pytest.mark.slow
def test_clusters_of_pixels_and_of_codes(cluster: Connection, tmp_path: Path) -> None:
    steps = {
        "pca": {"uses": "pca", "split": "train", "with": {"n_components": 6}},
        "clusters": {"uses": "kmeans", "with": {"n_clusters": 10, "n_init": 3}},
        "coded": {"uses": "kmeans", "on": "pca", "split": "train", "with": {"n_clusters": 10, "n_init": 3}},
    }
    run = run_steps(steps, "digits", cluster, tmp_path)
    collection = run.collection
    image = collection.read("image", 0, collection.n).reshape(collection.n, -1)
    codes = run["pca"]["codes"].values
    for name, values, scale in (("clusters", image, 255), ("coded", codes, 1)):
        found = run[name].load()
        centres = found["cluster_centers"].values.reshape(10, -1)
        labels = found["labels"].values
        assert (labels >= 0).all()
        inertia = run.metrics[name]["inertia"]
        assert inertia == pytest.approx(exact_inertia(values / scale, centres, labels), rel=1e-9)
        assert found["inertia_of_cluster"].sum() == pytest.approx(inertia, rel=1e-9)
        assert_scores(run.metrics[name], values, labels)
        expected = np.stack([image[labels == k].mean(axis=0) / 255 for k in range(10)])
        np.testing.assert_allclose(found["mean_image"].values.reshape(10, -1), expected, rtol=1e-9)
    assert run.metrics["clusters"]["nmi"] > 0.6
    table = run.table("clusters")
    names = ["sample", "source_name", "split", "label", "clusters", "clusters_distance", "coded", "coded_distance"]
    assert list(table.columns) == names
    np.testing.assert_array_equal(table["coded"], run["coded"]["labels"].values)
    assert run.manifest["steps"]["coded"]["on"] == "pca"


@pytest.mark.slow
def test_clusters_of_codes_are_polished_among_pixels(cluster: Connection, tmp_path: Path) -> None:
    options = {"n_clusters": 10, "n_init": 3, "examples": 2}
    steps = {
        "pca": {"uses": "pca", "split": "train", "with": {"n_components": 6}},
        "rough": {"uses": "kmeans", "on": "pca", "split": "train", "with": options},
        "fine": {"uses": "kmeans", "on": "pca", "split": "train", "with": {**options, "polish": True}},
    }
    run = run_steps(steps, "digits", cluster, tmp_path)
    collection = run.collection
    train = collection.read("split", 0, collection.n) == 0
    pixels = collection.read("image", 0, collection.n).reshape(collection.n, -1)[train] / 255
    codes = run["pca"]["codes"].values[train].astype(np.float64)
    for name in ("rough", "fine"):
        labels = run[name]["labels"].values[train]
        means = {what: group_means(values, labels) for what, values in (("pixels", pixels), ("codes", codes))}
        metrics = run.metrics[name]
        # Centres of codes are those of the last pass but one, a hair beside the means.
        assert metrics["inertia"] == pytest.approx(exact_inertia(codes, means["codes"], labels), rel=1e-4)
        assert metrics["inertia_pixels"] == pytest.approx(exact_inertia(pixels, means["pixels"], labels), rel=1e-4)
    fine = run["fine"].load()
    centres = fine["cluster_centers"].values.reshape(10, -1)
    labels = fine["labels"].values[train]
    assert run.metrics["fine"]["inertia_pixels"] == pytest.approx(exact_inertia(pixels, centres, labels), rel=1e-9)
    assert fine["inertia_of_cluster"].sum() == pytest.approx(run.metrics["fine"]["inertia_pixels"], rel=1e-9)
    assert run.metrics["fine"]["inertia_pixels"] < run.metrics["rough"]["inertia_pixels"]
    assert run.metrics["fine"]["inertia"] > run.metrics["rough"]["inertia"]
    np.testing.assert_array_equal(labels, ((pixels[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1))
    distance = np.sqrt(((pixels - centres[labels]) ** 2).sum(axis=1))
    np.testing.assert_allclose(fine["distance"].values[train], distance, rtol=1e-5)


@pytest.mark.slow
def test_a_map_by_tsne_and_clusters_on_it(cluster: Connection, tmp_path: Path) -> None:
    quick = {"early_exaggeration_iter": 50, "n_iter": 20, "images": 900, "shown": 40}
    steps = {
        "pca": {"uses": "pca", "with": {"n_components": 6}},
        "map": {"uses": "tsne", "on": "pca", "split": "train", "with": quick},
        "whole": {"uses": "tsne", "on": "pca", "with": {**quick, "images": 2000, "n_iter": 1}},
        "groups": {"uses": "kmeans", "on": "whole", "with": {"n_clusters": 10, "n_init": 2, "examples": 0}},
    }
    run = run_steps(steps, "digits", cluster, tmp_path)
    collection = run.collection
    found = run["map"].load()
    placed = np.isfinite(found["embedding"].values).all(axis=1)
    train = collection.read("split", 0, collection.n) == 0
    assert placed.sum() == run.metrics["map"]["n_placed"] == found.attrs["n"] == 900
    assert (train | ~placed).all()
    np.testing.assert_array_equal((found["plane"] != found["plane"].attrs["nowhere"]).all("axis"), placed)
    assert found["plane"].values[placed].max() < found["plane"].attrs["cells"]
    classes = collection.read("label", 0, collection.n)
    np.testing.assert_array_equal(found["label"], np.where(placed, classes, -1))
    assert placed[found["shown_row"].values].all()
    np.testing.assert_array_equal(found["shown_code"], found["embedding"].values[found["shown_row"].values])
    assert (run["groups"]["labels"].values >= 0).all()
    assert run.metrics["groups"]["nmi"] > 0.4
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    assert f"a random sample of 900 of {train.sum():,} images so that" in page


def group_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([values[labels == k].mean(axis=0) for k in range(labels.max() + 1)])


@pytest.mark.slow
def test_pixels_are_not_polished_once_more(cluster: Connection, tmp_path: Path) -> None:
    steps = {"clusters": {"uses": "kmeans", "with": {"n_clusters": 3, "polish": True}}}
    with pytest.raises(RunError, match="works on pixels already"):
        run_steps(steps, "digits", cluster, tmp_path)


#: Ways to cluster, and what the number of clusters is called.
WAYS = {"gaussian_mixture": "n_components", "agglomerative": "n_clusters", "spectral": "n_clusters"}


@pytest.mark.slow
def test_other_ways_to_cluster(cluster: Connection, tmp_path: Path) -> None:
    steps: dict[str, Any] = {"pca": {"uses": "pca", "with": {"n_components": 6}}}
    for name, number in WAYS.items():
        options = {number: 10, "silhouette": "exact", "examples": 3}
        steps[name] = {"uses": name, "on": "pca", "split": "train", "with": options}
    run = run_steps(steps, "digits", cluster, tmp_path)
    collection = run.collection
    train = collection.read("split", 0, collection.n) == 0
    codes = run["pca"]["codes"].values.astype(np.float64)
    image = collection.read("image", 0, collection.n).reshape(collection.n, -1)
    classes = collection.read("label", 0, collection.n)
    for name in WAYS:
        found, metrics = run[name].load(), run.metrics[name]
        labels = found["labels"].values
        np.testing.assert_array_equal(labels >= 0, train)
        np.testing.assert_array_equal(found["size"], np.bincount(labels[train], minlength=10))
        expected = np.stack([image[labels == k].mean(axis=0) / 255 for k in range(10)])
        np.testing.assert_allclose(found["mean_image"].values.reshape(10, -1), expected, rtol=1e-9)
        centres = found["means" if name == "gaussian_mixture" else "cluster_centers"].values
        squares = ((codes[train] - centres[labels[train]]) ** 2).sum()
        assert found["inertia_of_cluster"].sum() == pytest.approx(squares, rel=1e-6)
        silhouettes = silhouette_samples(codes[train], labels[train])
        assert metrics["silhouette"] == pytest.approx(silhouettes.mean(), abs=1e-6)
        np.testing.assert_allclose(found["silhouette"], silhouettes, atol=1e-5)
        assert_scores(metrics, codes[train], labels[train])
        assert metrics["nmi"] == pytest.approx(normalized_mutual_info_score(classes[train], labels[train]), abs=1e-9)
        assert metrics["nmi"] > 0.5
    mixture = run["gaussian_mixture"].load()
    precisions = np.linalg.inv(mixture["covariances"].values)
    model = GaussianMixture(
        10, weights_init=mixture["weights"], means_init=mixture["means"], precisions_init=precisions
    )
    model.weights_, model.means_ = mixture["weights"].values, mixture["means"].values
    model.precisions_cholesky_ = np.linalg.cholesky(precisions)
    likelihood = run.metrics["gaussian_mixture"]["log_likelihood"]
    assert likelihood == pytest.approx(model.score(codes[train]), abs=1e-6)
    assert run.metrics["gaussian_mixture"]["bic"] == pytest.approx(model.bic(codes[train]), rel=1e-6)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    for words in ("by a Gaussian mixture", "by Ward", "by spectral clustering", "Silhouettes", "Eigenvalues"):
        assert words in page


@pytest.mark.parametrize("way", some_slow(["gaussian_mixture"], ["agglomerative", "spectral"]))
@pytest.mark.parametrize("kind", some_slow(["one image"], ["colour without labels", "all the same"]))
def test_other_ways_to_cluster_odd_collections(kind: str, way: str, cluster: Connection, tmp_path: Path) -> None:
    from support import ArraySource

    image, clusters = {
        "colour without labels": (random_images(300, (6, 5, 3)), 4),
        "all the same": (np.full((40, 5, 5), 9, np.uint8), 2),
        "one image": (random_images(1, (5, 5)), 1),
    }[kind]
    collection = stored(ArraySource(image, None, {"all": len(image)}), tmp_path / "odd.zarr")
    steps = {"clusters": {"uses": way, "with": {WAYS[way]: clusters, "silhouette": "exact"}}}
    run = run_steps(steps, collection.path, cluster, tmp_path)
    assert run.manifest["status"] == "SUCCEEDED"
    assert run["clusters"]["size"].sum() == len(image)
    assert run.metrics["clusters"]["nmi"] is None
    assert "cannot be shown" not in (run.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", some_slow(["all the same"], ["colour without labels", "one image", "a few images"]))
def test_odd_collections(kind: str, cluster: Connection, tmp_path: Path) -> None:
    from support import ArraySource

    image, clusters = {
        "colour without labels": (random_images(300, (6, 5, 3)), 4),
        "all the same": (np.full((40, 5, 5), 9, np.uint8), 1),
        "one image": (random_images(1, (5, 5)), 1),
        "a few images": (random_images(7, (5, 5), distinct=3, seed=1), 5),
    }[kind]
    collection = stored(ArraySource(image, None, {"all": len(image)}), tmp_path / "odd.zarr")
    steps = {"pca": {"uses": "pca"}, "clusters": {"uses": "kmeans", "with": {"n_clusters": clusters, "n_init": 2}}}
    run = run_steps(steps, collection.path, cluster, tmp_path)
    distinct = len(np.unique(image.reshape(len(image), -1), axis=0))
    metrics = run.metrics["clusters"]
    assert metrics["nmi"] is None
    assert metrics["n_empty"] == max(clusters - distinct, 0)
    assert (metrics["inertia"] == 0) == (distinct <= clusters)
    components = run["pca"].sizes["component"]
    assert components == min(50, image[0].size, len(image))
    assert 0 <= run.metrics["pca"]["explained_variance_ratio_sum"] <= 1 + 1e-12
    assert "cannot be shown" not in (run.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_more_clusters_than_images(cluster: Connection, tmp_path: Path) -> None:
    from support import ArraySource

    collection = stored(ArraySource(random_images(5), None, {"all": 5}), tmp_path / "five.zarr")
    steps = {"clusters": {"uses": "kmeans", "with": {"n_clusters": 6}}, "pca": {"uses": "pca"}}
    run = run_steps(steps, collection.path, cluster, tmp_path)
    assert run.manifest["status"] == "SUCCEEDED"
    assert run["clusters"].attrs["n_clusters"] == 5
    assert sorted(run["clusters"]["labels"].values.tolist()) == [0, 1, 2, 3, 4]
    assert run.metrics["clusters"]["inertia"] == 0
    assert run.manifest["steps"]["pca"]["status"] == "SUCCEEDED"


@pytest.mark.slow
def test_dask_ml_as_engine(start_cluster: Any, tmp_path: Path) -> None:
    """On workers of its own: dask-ml and what it imports stay in them."""
    steps = {
        "pca": {"uses": "pca", "with": {"n_components": 8, "engine": "dask-ml"}},
        "exact": {"uses": "pca", "with": {"n_components": 8}},
        "clusters": {"uses": "kmeans", "with": {"n_clusters": 10, "engine": "dask-ml"}},
    }
    with start_cluster(1) as one:
        run = run_steps(steps, "digits", one, tmp_path)
    ratio = run.metrics["pca"]["explained_variance_ratio_sum"]
    assert ratio == pytest.approx(run.metrics["exact"]["explained_variance_ratio_sum"], rel=0.02)
    assert run.manifest["steps"]["pca"]["exact"] is False
    found = run["clusters"].load()
    image = run.collection.read("image", 0, run.collection.n).reshape(run.collection.n, -1) / 255
    centres, labels = found["cluster_centers"].values.reshape(10, -1), found["labels"].values
    assert run.metrics["clusters"]["inertia"] == pytest.approx(exact_inertia(image, centres, labels), rel=1e-9)
    assert found.attrs["engine"] == "dask-ml"


@pytest.mark.slow
def test_a_map_by_tsne_of_landmarks(cluster: Connection, tmp_path: Path) -> None:
    quick = {"early_exaggeration_iter": 20, "n_iter": 20, "landmarks": 300, "landmark_choice": "stratified"}
    steps = {
        "pca": {"uses": "pca", "with": {"n_components": 6}},
        "map": {"uses": "tsne", "on": "pca", "with": {**quick, "placing_iter": 30, "shown": 10}},
        "clusters": {"uses": "kmeans", "on": "map", "with": {"n_clusters": 4}},
    }
    run = run_steps(steps, "digits", cluster, tmp_path)
    n = run.collection.n
    assert run.metrics["map"]["n_landmarks"] == 300
    assert run.metrics["map"]["n_placed"] == n
    found = run["map"].load()
    assert (found["fitted"].values == 1).sum() == 300
    assert np.isfinite(found["embedding"].values).all()
    table = pq.read_table(run.path / "tables" / "embedding.parquet")
    first = ["sample", "source_name", "split", "label"]
    assert table.column_names == [*first, "x", "y", "map_fitted", "neighbours", "cluster"]
    np.testing.assert_array_equal(np.stack([table["x"], table["y"]], axis=1), found["embedding"].values)
    # The step that came later stands in the table too.
    np.testing.assert_array_equal(table["cluster"], run["clusters"]["labels"].values)
    neighbours = table["neighbours"].to_pylist()
    np.testing.assert_array_equal([one["ids"] for one in neighbours], found["neighbour"].values)
    np.testing.assert_array_equal(
        np.array([one["distances"] for one in neighbours], np.float32), found["neighbour_distance"].values
    )
    landmarks = np.flatnonzero(found["fitted"].values == 1)
    codes = run["pca"]["codes"].values.astype(np.float64)
    squares = ((codes[:, None] - codes[landmarks]) ** 2).sum(axis=2)
    squares[landmarks, np.arange(len(landmarks))] = np.inf
    np.testing.assert_array_equal(landmarks[np.argsort(squares, axis=1, kind="stable")[:, :15]], found["neighbour"])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "It was fitted on 300 images" in page
