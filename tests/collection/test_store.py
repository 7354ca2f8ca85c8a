"""A committed collection: opened by us, by xarray, and in a notebook."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray
from support import CLASSES, ArraySource, array_source, random_images, stored

from fmnist_dask.collection.layout import MANIFEST
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, UsageError

N = 700


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return stored(array_source(N), tmp_path_factory.mktemp("store") / "x.zarr")


def test_xarray_opens_the_store_as_it_is(collection):
    dataset = xarray.open_zarr(collection.path)
    assert dataset["image"].dims == ("sample", "y", "x")
    assert dataset["image"].dtype == np.uint8
    assert dataset["image"].chunks == ((256, 256, 188), (6,), (5,))
    assert dataset["label"].dims == ("sample",)
    assert dataset["label"].dtype == np.int16
    assert dataset["content_hash"].dims == ("sample", "half")
    assert dataset["split"].attrs["flag_meanings"] == "train test"
    assert list(dataset["split"].attrs["flag_values"]) == [0, 1]
    assert dataset["height"].attrs["units"] == "pixels"
    assert dataset.attrs["class_names"] == list(CLASSES)
    assert dataset.attrs["source"]["name"] == "arrays"
    assert (dataset["image"].values == array_source(N).image).all()
    assert (dataset["label"].values == array_source(N).label).all()


def test_colour_has_a_channel(tmp_path):
    source = ArraySource(random_images(9, (4, 5, 3)), None, {"all": 9})
    dataset = stored(source, tmp_path / "x.zarr").to_xarray()
    assert dataset["image"].dims == ("sample", "y", "x", "channel")
    assert (dataset["image"].values == source.image).all()
    assert (dataset["label"].values == -1).all()


def test_it_is_picklable_and_small(collection):
    data = pickle.dumps(collection)
    assert len(data) < 2000
    again = pickle.loads(data)
    assert again == collection
    assert (again.read("image", 3, 5) == collection.read("image", 3, 5)).all()


def test_reading_ends_at_the_committed_rows(collection):
    assert len(collection.read("image", N - 2, N + 100)) == 2
    shorter = Collection(**{**vars(collection), "n": 500})
    assert len(shorter.read("label", 256, 512)) == 244
    assert shorter.to_xarray().sizes["sample"] == 500


def test_a_block_has_absolute_rows(collection):
    block = collection.block(256, 300)
    assert block.rows.tolist() == list(range(256, 300))
    assert (block.image == array_source(N).image[256:300]).all()


@pytest.mark.parametrize(("split", "code", "rows"), [("all", None, N), ("train", 0, 467), ("test", 1, 233)])
def test_splits(collection, split, code, rows):
    assert (collection.split_code(split), collection.rows_in(split)) == (code, rows)


def test_an_unknown_split_names_the_nearest(collection):
    with pytest.raises(UsageError, match=r'no split "tests"(.|\n)*did you mean "test"\? Valid: all, test'):
        collection.split_code("tests")


def test_train_is_everything_where_there_is_one_split(tmp_path):
    found = stored(ArraySource(random_images(9), None, {"all": 9}), tmp_path / "x.zarr")
    assert (found.split_code("train"), found.rows_in("train")) == (None, 9)
    with pytest.raises(UsageError, match='no split "test"'):
        found.split_code("test")


def test_an_unknown_array_is_a_key_error(collection):
    with pytest.raises(KeyError):
        collection.read("nothing", 0, 1)


@pytest.mark.parametrize("chunk_rows", [256, 512])
def test_a_store_made_anew_at_the_same_place_is_opened_anew(tmp_path, chunk_rows):
    place = tmp_path / "x.zarr"
    image = random_images(600)
    first = stored(ArraySource(image, None, {"all": 600}), place)
    assert (first.read("image", 0, 600) == image).all()
    shutil.rmtree(place)
    image = image if chunk_rows != 256 else 255 - image
    second = stored(ArraySource(image, None, {"all": 600}), place, chunk_rows)
    assert (second.read("image", 0, 600) == image).all()


def test_notebooks_see_shape_classes_and_thumbnails(collection):
    text = collection._repr_html_()
    for part in (
        "700 of shape 6 × 5, uint8",
        "3 of 256 images",
        "train: 467, test: 233",
        "shoe, shirt, bag",
        "data:image/png",
    ):
        assert part in text
    assert collection.stored_bytes() > N * 30 / 2


def nothing(path):
    pass


def a_file(path):
    path.write_text("")


def a_folder(path):
    path.mkdir()
    (path / "notes.txt").write_text("")


def another_manifest(path):
    path.mkdir()
    (path / MANIFEST).write_text('{"name": "web app"}')


def a_newer_format(path):
    stored(array_source(300), path)
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**manifest, "format_version": 99}))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (nothing, ["no collection at", "nothing is there", "fmnist-dask ingest SOURCE STORE"]),
        (a_file, ["is no collection of fmnist-dask", MANIFEST]),
        (a_folder, ["is no collection of fmnist-dask", MANIFEST, "fmnist-dask ingest"]),
        (another_manifest, ["is no collection of fmnist-dask"]),
        (a_newer_format, ["format version 99", "reads up to 1", "upgrade"]),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path, make, parts):
    path = tmp_path / "x.zarr"
    make(path)
    with pytest.raises(CollectionError) as caught:
        Collection.open(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_chunk_is_named_not_read_as_black_images(tmp_path: Path, damage: str) -> None:
    collection = stored(array_source(600), tmp_path / "store.zarr")
    chunk = tmp_path / "store.zarr" / "image" / "c" / "1" / "0" / "0"
    chunk.unlink() if damage == "missing" else chunk.write_bytes(chunk.read_bytes()[:100])
    assert len(collection.read("image", 0, 256)) == 256
    with pytest.raises(CollectionError, match=r"rows 256 to 512 of image cannot be read"):
        collection.read("image", 256, 512)
