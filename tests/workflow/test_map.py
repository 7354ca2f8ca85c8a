"""Maps and grids as a run leaves them: pictures beside the report, taken away when they no longer hold; the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from scipy.optimize import linear_sum_assignment
from source_files import written

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.kernels.assignment import cell_centres, squared_distances


def carried_out(steps: dict[str, Any], cluster: Connection, place: Path, source: str = "digits") -> fmnist_dask.Run:
    workflow = place / "map.yaml"
    workflow.write_text(yaml.safe_dump({"name": "map", "source": "garments", "steps": steps}))
    address = str(cluster.client.scheduler.address)
    return fmnist_dask.run(workflow, source=source, cluster=address, out=place / "run", store=place / "s.zarr")


def pictures_of(run: fmnist_dask.Run) -> set[str]:
    return {path.name for path in (run.path / "pictures").glob("*")}


@pytest.mark.slow
def test_pictures_lie_beside_the_report_until_they_no_longer_hold(cluster: Connection, tmp_path: Path) -> None:
    pca = {"uses": "pca", "with": {"n_components": 2}}
    steps = {
        "plane": pca,
        "sheet": {"uses": "grid", "on": "plane", "with": {"images": 90, "per": ["all", "7"]}},
        "mosaic": {"uses": "mosaic", "with": {"rows": 4, "columns": 6}},
        "clusters": {"uses": "kmeans", "on": "plane", "with": {"n_clusters": 2, "n_init": 1}},
    }
    run = carried_out(steps, cluster, tmp_path)
    assert (run.path / "tables" / "clusters.parquet").exists()
    first = pictures_of(run)
    assert {"sheet-all.png", "sheet-all-places.png", "sheet-7.png", "sheet-7-places.png"} <= first
    recorded = json.loads((run.path / "manifest.json").read_text())["steps"]
    assert first == {*recorded["sheet"]["pictures"], *recorded["mosaic"]["pictures"]}
    rows, columns = run.metrics["sheet"]["shape"]["all"]
    with Image.open(run.path / "pictures" / "sheet-all.png") as picture:
        assert picture.size[0] * rows == picture.size[1] * columns
        assert picture.size[0] >= 8 * columns
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for name in first - {"sheet-all-places.png", "sheet-7-places.png"}:
        assert f'href="pictures/{name}"' in page
    steps["sheet"]["with"] = {"images": 90}
    del steps["mosaic"], steps["clusters"]
    again = carried_out(steps, cluster, tmp_path)
    assert again.manifest["steps"]["plane"]["status"] == "REUSED"
    assert pictures_of(again) == {"sheet-all.png", "sheet-all-places.png"}
    # Nothing is left of steps that the workflow no longer has.
    assert {path.name for path in (again.path / "results.zarr").iterdir() if path.is_dir()} == {"plane", "sheet"}
    assert not (again.path / "tables" / "clusters.parquet").exists()


def maps_stand_side_by_side(run: fmnist_dask.Run) -> None:
    """A map by t-SNE and one by UMAP: in the table, in the report, and each with a grid of its own."""
    table = pq.read_table(run.path / "tables" / "embedding.parquet")
    later = run["umap"].load()
    assert {"x", "y", "tsne_fitted", "neighbours", "umap_x", "umap_y", "umap_fitted"} <= set(table.column_names)
    np.testing.assert_array_equal(table["umap_x"], later["embedding"].values[:, 0])
    np.testing.assert_array_equal(table["x"], run["tsne"]["embedding"].values[:, 0])
    np.testing.assert_array_equal(table["umap_fitted"], later["fitted"].values)
    near = table["umap_neighbours"].combine_chunks().field("ids").to_pylist()
    np.testing.assert_array_equal(near, later["neighbour"].values)
    assert (later["fitted"].values == 1).sum() == run.metrics["umap"]["n_landmarks"] == 40
    assert 0.5 < run.metrics["umap"]["trustworthiness"] <= 1
    cells = run["sheet"]["grid_0"].values
    np.testing.assert_array_equal(np.sort(cells[cells >= 0]), np.arange(run.collection.n))
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    assert page.count('id="umap"') == page.count('id="tsne"') == 1
    assert "Map by UMAP" in page
    assert "15 neighbours of each, itself among them" in page
    assert page.count("It was fitted on 40 images; each of the other 80 was placed") == 2


@pytest.mark.slow
def test_colour_images_have_maps_and_grids_too(cluster: Connection, tmp_path: Path) -> None:
    # Workers on which another test has loaded umap-learn keep its memory, and have none left for it once more.
    cluster.client.restart(timeout=120)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 120)
    colours = rng.integers(40, 216, (3, 1, 1, 3))[label] + rng.integers(-40, 40, (120, 12, 10, 3))
    source = written("npz", tmp_path / "source", {"train": (colours.astype(np.uint8), label)})
    quick = {"early_exaggeration_iter": 20, "n_iter": 20, "landmarks": 40, "placing_iter": 10}
    steps = {
        "pca": {"uses": "pca", "with": {"n_components": 5}},
        "tsne": {"uses": "tsne", "on": "pca", "with": quick},
        "grid": {"uses": "grid", "on": "tsne"},
        "umap": {"uses": "umap", "on": "pca", "with": {"n_epochs": 20, "landmarks": 40, "placing_epochs": 10}},
        "sheet": {"uses": "grid", "on": "umap"},
    }
    run = carried_out(steps, cluster, tmp_path, str(source))
    maps_stand_side_by_side(run)
    cells = run["grid"]["grid_0"].values
    np.testing.assert_array_equal(np.sort(cells[cells >= 0]), np.arange(run.collection.n))
    with Image.open(run.path / "pictures" / "grid-all.png") as picture:
        assert picture.mode == "RGB"
        drawn = np.asarray(picture)
    image = run["grid"]["image"].values
    rows, columns = cells.shape
    step = drawn.shape[0] // rows // image.shape[1]
    drawn = drawn[::step, ::step].reshape(rows, image.shape[1], columns, image.shape[2], 3)
    np.testing.assert_array_equal(drawn[0, :, 0], image[cells[0, 0]])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.long
def test_the_study_of_digits(real_data: Callable[[str], Path], cluster: Connection, tmp_path: Path) -> None:
    address = str(cluster.client.scheduler.address)
    run = fmnist_dask.run(
        "map", source=str(real_data("mnist")), cluster=address, out=tmp_path / "run", store=tmp_path / "s.zarr"
    )
    found = run["grid"].load()
    assert found["grid_0"].shape == (50, 50)
    points = found["point_0"].values
    costs = squared_distances(points, cell_centres(50, 50))
    least = costs[linear_sum_assignment(costs)].mean()
    assert least - 1e-12 <= run.metrics["grid"]["cost"] <= 1.001 * least
    assert run.metrics["grid"]["cost"] < run.metrics["grid"]["cost_random"] / 10
    assert list(run.metrics["classes"]["shape"]) == [str(digit) for digit in range(10)]
    assert run.metrics["tsne"]["knn_accuracy"] > 0.9
    assert run.metrics["tsne"]["trustworthiness"] > 0.97
    wanted = {"grid-all.png", "grid-all-shuffled.png", *(f"classes-{digit}.png" for digit in range(10))}
    assert wanted <= pictures_of(run)
    assert (run.path / "report.html").stat().st_size < 15_000_000
    table = pq.read_table(run.path / "tables" / "embedding.parquet", columns=["x", "label", "neighbours"])
    placed = np.isfinite(table["x"].to_numpy())
    assert placed.sum() == 2500
    near = table["neighbours"].combine_chunks().field("ids").to_pylist()
    assert all(len(near[row]) == 15 for row in np.flatnonzero(placed))
    assert not any(near[row] for row in np.flatnonzero(~placed)[:1000])
