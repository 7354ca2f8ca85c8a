"""The same images and labels make the same collection, whatever format they come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from source_files import FORMATS, REORDERED, arrays_of, first_release, written
from support import random_images, some_slow, stored, write_store

from fmnist_dask.collection.layout import MANIFEST
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.idx import Idx
from fmnist_dask.models.duplicates import find_duplicates
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.workflow.ingesting import make_collection


def few(shape=(6, 6), train=700, test=300):
    rng = np.random.default_rng(4)
    image = random_images(train + test, shape, seed=8)
    label = rng.integers(0, 10, train + test)
    label[:10] = np.arange(10)
    return {"train": (image[:train], label[:train]), "test": (image[train:], label[train:])}


def content(path: Path) -> str:
    return json.loads((path / MANIFEST).read_text())["content"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    root = tmp_path_factory.mktemp("expected")
    return stored(open_source(written("npy", root / "npy", few())), root / "x.zarr", 256)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("chunk_rows", some_slow([256], [512]))
def test_every_format_gives_the_same_collection(tmp_path, expected, kind, chunk_rows):
    splits = few()
    source = open_source(written(kind, tmp_path / kind, splits))
    found = stored(source, tmp_path / "x.zarr", chunk_rows)
    assert (found.n, found.splits) == (1000, {"train": 700, "test": 300})
    assert found.class_names == tuple("0123456789")
    assert content(tmp_path / "x.zarr") == content(Path(expected.path))
    if kind not in REORDERED:
        assert found.fingerprint == expected.fingerprint
        image = np.concatenate([image for image, _ in splits.values()])
        np.testing.assert_array_equal(found.read("image", 0, 1000), image)
    assert found.n_quarantined == 0
    # A source that reads its files once more gives the same rows from any place.
    source = open_source(tmp_path / kind)
    for number, part in enumerate(source.partitions):
        low, high = part.rows // 3, part.rows - part.rows // 4
        rows = np.concatenate([batch.image for batch in source.read(number, low, high, 37)])
        whole = np.concatenate([batch.image for batch in source.read(number, 0, part.rows, 64)])
        np.testing.assert_array_equal(rows, whole[low:high])


@pytest.mark.parametrize("kind", ["parquet", "tar", "folder", "flat-csv", "npy", "npz"])
def test_colour_images_in_every_format(tmp_path, kind):
    splits = few((7, 9, 3), 60, 20)
    found = stored(open_source(written(kind, tmp_path / kind, splits)), tmp_path / "x.zarr", 256)
    assert found.image_shape == (7, 9, 3)
    if kind not in REORDERED:
        np.testing.assert_array_equal(found.read("image", 0, 60), splits["train"][0])


def test_the_order_of_rows_and_the_pixels_decide_different_digests(tmp_path):
    """One digest tells that the rows are the same in another order, the other one that the order is another."""
    splits = few()
    turned = {name: (image[::-1], label[::-1]) for name, (image, label) in splits.items()}
    changed = {name: (image.copy(), label) for name, (image, label) in splits.items()}
    changed["test"][0][17, 3, 3] ^= 1
    relabelled = {name: (image, label.copy()) for name, (image, label) in splits.items()}
    relabelled["test"][1][17] = (relabelled["test"][1][17] + 1) % 10
    found = {}
    for name, data in {"as is": splits, "turned": turned, "changed": changed, "relabelled": relabelled}.items():
        place = tmp_path / f"{name}.zarr"
        store = stored(open_source(written("npy", tmp_path / name, data)), place)
        found[name] = (content(place), store.fingerprint)
    assert found["turned"][0] == found["as is"][0]
    assert found["turned"][1] != found["as is"][1]
    assert len({digest for digest, _ in found.values()}) == 3


@pytest.fixture(scope="module")
def fashion(real_data, tmp_path_factory):
    """Fashion-MNIST: as arrays, and as the collection that its own files make."""
    source = Idx(real_data("fashion-mnist"), name="fashion-mnist")
    return arrays_of(source), write_store(plan_ingest(source, tmp_path_factory.mktemp("fashion") / "x.zarr"))


@pytest.mark.data
@pytest.mark.parametrize(
    "kind",
    ["csv", "parquet", "npz", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("csv-gz", "folder", "tar"))],
)
def test_fashion_mnist_through_every_format(tmp_path, fashion, cluster, kind):
    splits, expected = fashion
    place = tmp_path / "x.zarr"
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path)
    found = make_collection(engine, open_source(written(kind, tmp_path / kind, splits)), place)
    assert (found.n, found.splits, found.n_quarantined) == (70_000, {"train": 60_000, "test": 10_000}, 0)
    assert content(place) == content(Path(expected.path))
    assert (found.fingerprint == expected.fingerprint) == (kind not in REORDERED)


@pytest.mark.data
def test_the_duplicates_of_the_first_release_are_found_and_dropped(tmp_path, fashion, cluster):
    """Its 43 + 1 copies within splits and 10 images in both splits, put into the official release, as CSV."""
    splits = first_release(fashion[0])
    root = written("csv", tmp_path / "csv", splits)
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path)
    whole = make_collection(engine, open_source(root), tmp_path / "whole.zarr")
    found = drive(find_duplicates(whole), whole, engine)
    assert found.surplus() == {"train": 43, "test": 1}
    assert found.leaked() == {"train": 10, "test": 10}
    left = make_collection(engine, open_source(root, {"drop_duplicates": True}), tmp_path / "left.zarr")
    assert left.splits == {"train": 59_957, "test": 9_999}
    assert left.dropped_duplicates == {"train": 43, "test": 1}
    found = drive(find_duplicates(left), left, engine)
    assert found.surplus() == {"train": 0, "test": 0}
    assert found.leaked() == {"train": 10, "test": 10}
