"""The step ``quantize`` on real processes: photographs, collections, files, reports, memory, refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from skimage.metrics import structural_similarity
from sklearn.datasets import load_sample_image

import fmnist_dask
from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.raster_writing import store_raster
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.errors import RunError, WorkflowError
from fmnist_dask.models.colour_map import place_colours
from fmnist_dask.passes.local import drive
from fmnist_dask.shipped import shipped_directory
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.plan import plan_workflow
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps.quantize import quantize_step

METHODS = ["kmeans", "gaussian_mixture", "agglomerative", "median_cut"]


def workflow(root, source, split="all", **parameters):
    path = root / "quantize.yaml"
    step = {"uses": "quantize", "split": split, "with": {"map": "none", **parameters}}
    path.write_text(yaml.safe_dump({"name": "quantize", "source": source, "steps": {"colors": step}}))
    return path


def address(cluster):
    return str(cluster.client.scheduler.address)


def ssim(image, other):
    axis = -1 if image.ndim == 3 else None
    return structural_similarity(image, other, channel_axis=axis, data_range=255)


CHINA = {"name": "china", "size": "200x300", "fit": "stretch"}


@pytest.fixture(scope="module")
def china(cluster, tmp_path_factory):
    root = tmp_path_factory.mktemp("china")
    run = fmnist_dask.run(
        workflow(root, CHINA, sweep=[2, 16]),
        out=root / "run",
        store=root / "x.zarr",
        cluster=address(cluster),
    )
    return run, Raster.open(root / "x.zarr").read()


def test_a_photograph_has_scores_files_and_a_report(china):
    run, image = china
    step = run.manifest["steps"]["colors"]
    assert step["n_used"] == step["n_total"] == 200 * 300
    assert step["passes"] == 2
    assert step["exact"] == {"ssim": True, "mse": True, "n_distinct": True}
    dataset = run["colors"]
    assert dataset["method"].values.tolist() == METHODS
    for at, name in enumerate([*METHODS, "2", "16"]):
        index = dataset[f"index_{name}"]
        assert index.dims == ("y", "x")
        palette = dataset["palette"].values[at] if at < 4 else dataset["sweep_palette"].values[at - 4]
        picture = palette[index.values]
        assert step["metrics"]["ssim"][name] == pytest.approx(ssim(image, picture), abs=1e-12)
        error = np.square(image.astype(float) - picture).mean()
        assert step["metrics"]["mse"][name] == pytest.approx(error / 255**2)
        file = run.path / "pictures" / (f"colors-{name}.png" if at < 4 else f"colors-{name}-colors.png")
        with Image.open(file) as opened:
            assert opened.mode == "P"
            np.testing.assert_array_equal(np.asarray(opened.convert("RGB")), picture)
        sizes = dataset["png_bytes"].values if at < 4 else dataset["sweep_png_bytes"].values
        assert sizes[at % 4] == file.stat().st_size
    assert "The image in 8 colours" in (run.path / "report.html").read_text()


def test_methods_are_as_far_apart_as_in_the_study(china):
    found = china[0].manifest["steps"]["colors"]["metrics"]["ssim"]
    assert min(found["kmeans"], found["agglomerative"]) > found["gaussian_mixture"] > 0.716
    assert found["2"] < found["kmeans"] < found["16"]


@pytest.mark.slow
def test_the_photograph_is_read_again_from_its_store(china, cluster, tmp_path):
    run, _ = china
    place = run.manifest["source"]["collection"]
    again = fmnist_dask.run(workflow(tmp_path, place, sweep=[2, 16]), out=tmp_path / "run", cluster=address(cluster))
    mine, other = (one.manifest["steps"]["colors"]["metrics"] for one in (run, again))
    assert {**mine, "seconds": None} == {**other, "seconds": None}


def colour_images(root, channels=3):
    image = load_sample_image("flower.jpg")
    for at in range(24):
        place = root / "photos" / ("train" if at % 3 else "test") / "flower" / f"{at:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        part = image[at * 8 : at * 8 + 32, at * 20 : at * 20 + 32]
        Image.fromarray(part if channels == 3 else part[..., 1]).save(place)
    return str(root / "photos")


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_a_collection_has_one_palette_or_one_each(cluster, tmp_path, channels):
    source = colour_images(tmp_path, channels)
    store = tmp_path / "x.zarr"
    shared, each = (
        fmnist_dask.run(
            workflow(tmp_path, source, split="train", n_colors=5, palette=palette),
            out=tmp_path / palette,
            store=store,
            cluster=address(cluster),
        )
        for palette in ("shared", "each")
    )
    collection = fmnist_dask.open_collection(store)
    images, split = collection.read("image", 0, 24), collection.read("split", 0, 24)
    train = np.flatnonzero(split == list(collection.splits).index("train"))
    for run in (shared, each):
        step, dataset = run.manifest["steps"]["colors"], run["colors"]
        assert step["n_used"] == 16
        for at, name in enumerate(METHODS):
            index = dataset[f"index_{name}"].values[train]
            own = run is each
            palettes = dataset[f"palette_{name}"].values[train] if own else dataset["palette"].values[at][None]
            pictures = np.stack([palettes[row % len(palettes)][one] for row, one in enumerate(index)])
            pictures = pictures.reshape(images[train].shape)
            expected = np.mean([ssim(a, b) for a, b in zip(images[train], pictures, strict=True)])
            assert step["metrics"]["ssim"][name] == pytest.approx(expected, abs=1e-8)
        assert (run.path / "report.html").stat().st_size > 10_000
        assert "cannot be shown" not in (run.path / "report.html").read_text()
    metrics = [run.manifest["steps"]["colors"]["metrics"]["mse"]["kmeans"] for run in (shared, each)]
    assert metrics[1] < metrics[0]
    table = pq.read_table(each.path / "tables" / "palettes.parquet").to_pandas()
    assert table["colors_ssim_kmeans"].notna().sum() == 16


def test_what_cannot_be_asked_for_is_refused(tmp_path, cluster):
    with pytest.raises(WorkflowError, match="n_colors"):
        load_workflow(workflow(tmp_path, "china", n_colors=257))
    with pytest.raises(WorkflowError, match="method"):
        load_workflow(workflow(tmp_path, "china", methods=["k-means"]))
    source = colour_images(tmp_path)
    for wrong in ({"map": "umap"}, {"sweep": [2]}):
        path = workflow(tmp_path, source, **{"palette": "each", **wrong})
        with pytest.raises(RunError, match=f"leave {next(iter(wrong))} out"):
            fmnist_dask.run(path, out=tmp_path / "run", store=tmp_path / "x.zarr", cluster=address(cluster))
    path = workflow(tmp_path, CHINA, palette="each")
    with pytest.raises(RunError, match="use palette: shared"):
        fmnist_dask.run(path, out=tmp_path / "run", store=tmp_path / "china.zarr", cluster=address(cluster))


@pytest.mark.slow
def test_a_map_of_colours_is_seeded(tmp_path):
    pytest.importorskip("umap")
    # In this process: workers that have loaded umap-learn keep its memory.
    store_raster(photograph_of({"name": "flower", "size": "40x60", "fit": "stretch"}), tmp_path / "x.zarr")
    lines = Lines.open(tmp_path / "x.zarr")
    step = quantize_step(
        StepInput(lines, "all", None, 0), map="umap", map_colors=300, n_neighbors=10, methods=("kmeans", "median_cut")
    )
    dataset = drive(step, lines).dataset
    assert dataset.attrs["map"] == "umap"
    assert dataset.sizes["point"] == 300
    colours, place = dataset["map_color"].values.astype(float), dataset["map_place"].values
    # Made again: the same.
    np.testing.assert_array_equal(place_colours(colours, 10, 0), place)
    # What is near is alike, and labels of one number are of alike colours by both methods.
    labels = dataset["map_label"].values
    assert (labels[0] == labels[1]).mean() > 0.4
    near = np.linalg.norm(place[:, None] - place, axis=-1)
    np.fill_diagonal(near, np.inf)
    nearest = np.linalg.norm(colours - colours[near.argmin(axis=1)], axis=1).mean()
    assert nearest < 0.3 * np.linalg.norm(colours - colours[::-1], axis=1).mean()


@pytest.mark.slow
def test_the_shipped_workflow_is_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_workflow(load_workflow(shipped_directory("workflows") / "quantize.yaml"))
    names = [row["name"] for row in plan["work"]]
    assert names == ["ingest", "pass 1", "merge tree", "palettes", "look-up and comparison", "UMAP"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(1, 20_000), *(pytest.param(s, marks=pytest.mark.long) for s in ((20_000, 2), (1, 1)))]
)
def test_photographs_of_odd_shapes_have_reports(tmp_path, cluster, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels, allow_pickle=False)
    path = workflow(tmp_path, {"photo": str(tmp_path / "x.npy")}, sweep=[2])
    run = fmnist_dask.run(path, out=tmp_path / "run", store=tmp_path / "x.zarr", cluster=address(cluster))
    report = (run.path / "report.html").read_text()
    assert "cannot be shown" not in report
    assert "The palettes" in report


@pytest.mark.slow
@pytest.mark.long
def test_a_photograph_larger_than_workers_stays_within_memory(tmp_path):
    """A tenth of the width and height of memory: 4,000 × 6,000 pixels, on two workers of 450 MB."""
    config = tmp_path / "two.yaml"
    config.write_text(
        json.dumps(
            {
                "version": 1,
                "module": "dask.distributed",
                "class": "LocalCluster",
                "kwargs": {"threads_per_worker": 1, "memory_limit": "450MB"},
                "scale": 2,
            }
        )
    )
    source = {"name": "landscape", "size": "4000x6000"}
    path = workflow(tmp_path, source, sweep=[16], exact_colors=65_536, methods=["kmeans", "agglomerative"])
    run = fmnist_dask.run(path, out=tmp_path / "run", store=tmp_path / "x.zarr", cluster=config)
    manifest = run.manifest
    assert manifest["status"] == "SUCCEEDED"
    assert manifest["worker_restarts"] == manifest["spilled_bytes"] == 0
    assert manifest["peak_worker_bytes"] < min(450e6, 1.25 * manifest["planned_worker_bytes"])
    assert manifest["bytes_read"] == 2 * 4000 * 6000 * 3
    metrics = manifest["steps"]["colors"]["metrics"]
    assert metrics["bits"] < 8
    assert metrics["ssim"]["16"] > metrics["ssim"]["kmeans"]
    shutil.rmtree(tmp_path / "run")
