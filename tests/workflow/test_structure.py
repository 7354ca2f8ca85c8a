"""The steps pca and kmeans through a whole run: on pixels, on codes, by dask-ml, and on collections that are odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support import random_images, stored

import fmnist_dask
from fmnist_dask.cluster.connect import Connection


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
        expected = np.stack([image[labels == k].mean(axis=0) / 255 for k in range(10)])
        np.testing.assert_allclose(found["mean_image"].values.reshape(10, -1), expected, rtol=1e-9)
    assert run.metrics["clusters"]["nmi"] > 0.6
    table = run.table("clusters")
    names = ["sample", "source_name", "split", "label", "clusters", "clusters_distance", "coded", "coded_distance"]
    assert list(table.columns) == names
    np.testing.assert_array_equal(table["coded"], run["coded"]["labels"].values)
    assert run.manifest["steps"]["coded"]["on"] == "pca"


@pytest.mark.parametrize("kind", ["colour without labels", "all the same", "one image", "a few images"])
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
