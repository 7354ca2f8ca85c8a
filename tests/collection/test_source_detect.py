"""From a name, a path or a mapping to the source."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from source_files import FORMATS, written
from support import array_source, random_images, stored, write_idx_set

from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.digits import Digits
from fmnist_dask.collection.sources.folder import Folder
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.sources.idx import Idx
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import begin
from fmnist_dask.errors import CollectionError, SourceError, UsageError


def pictures(path):
    path.mkdir()
    Image.fromarray(random_images(1)[0]).save(path / "a.png")
    return path


@pytest.mark.parametrize(("spec", "kind"), [("garments", Garments), ("digits", Digits), ({"name": "digits"}, Digits)])
def test_embedded_sources_by_name(spec, kind):
    assert type(open_source(spec)) is kind


@pytest.mark.parametrize(("make", "kind"), [(pictures, Folder), (write_idx_set, Idx)])
@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: {"path": str(path)}])
def test_directories_by_what_they_hold(tmp_path, make, kind, form):
    path = make(tmp_path / "some")
    source = open_source(form(path))
    assert type(source) is kind
    assert source.name == "some"


def test_a_directory_named_like_a_data_set_is_that_data_set(tmp_path):
    source = open_source(write_idx_set(tmp_path / "fashion-mnist"))
    assert (source.name, source.class_names[9]) == ("fashion-mnist", "Ankle boot")
    assert "Xiao" in source.description


def test_a_collection_is_opened(tmp_path):
    found = stored(array_source(300), tmp_path / "x.zarr")
    assert open_source(tmp_path / "x.zarr") == found
    assert isinstance(found, Collection)


def test_options_of_the_mapping_and_of_the_command_line():
    source = open_source({"name": "garments", "n": 50, "seed": 4}, {"n": 20})
    assert (source.n, source.seed) == (20, 4)


def test_a_home_directory_is_expanded(tmp_path, monkeypatch):
    pictures(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_source("~/photos").n == 1


@pytest.mark.parametrize(
    ("spec", "options", "kind", "parts"),
    [
        ("garment", {}, SourceError, ['no source "garment"', 'did you mean "garments"?', "fashion-mnist"]),
        ("Fashion-MNIST", {}, SourceError, ['"Fashion-MNIST"', "fashion-mnist"]),
        (
            "xyz",
            {},
            SourceError,
            ['no source "xyz"', "Valid: china, digits, fashion-mnist, flower, garments, landscape, mnist"],
        ),
        ("no/such/place", {}, SourceError, ["no source at no/such/place", "check the path"]),
        ({}, {}, UsageError, ["either a name or a path", "{path: photos}"]),
        ({"name": "digits", "path": "x"}, {}, UsageError, ["either a name or a path"]),
        ("garments", {"m": 3}, UsageError, ['the source garments has no option "m"', "n, seed"]),
        ("garments", {"n": "x"}, UsageError, ["n='x'", "whole number", "70000"]),
        ({"name": "digits", "size": 3}, {}, UsageError, ['no option "size"']),
    ],
)
def test_wrong_specifications_are_refused(spec, options, kind, parts):
    with pytest.raises(kind) as caught:
        open_source(spec, options)
    for part in parts:
        assert part in str(caught.value)


def test_a_single_file_is_refused(tmp_path):
    path = write_idx_set(tmp_path / "set") / "train-images-idx3-ubyte.gz"
    with pytest.raises(SourceError, match=rf"{path} is a single file(.|\n)*give the directory: {tmp_path}/set"):
        open_source(path)


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds nothing that can be read(.|\n)*or a name: garments, digits"):
        open_source(tmp_path)


def test_an_incomplete_collection_is_refused(tmp_path):
    begin(plan_ingest(array_source(300), tmp_path / "x.zarr"))
    with pytest.raises(CollectionError, match="incomplete"):
        open_source(tmp_path / "x.zarr")


def test_a_collection_takes_no_source_options(tmp_path):
    stored(array_source(300), tmp_path / "x.zarr")
    with pytest.raises(UsageError, match=r"is a collection already; source options \(n\) do not apply"):
        open_source(tmp_path / "x.zarr", {"n": 3})


@pytest.mark.parametrize("make", [pictures, write_idx_set])
def test_unknown_options_of_directories_are_refused(tmp_path, make):
    with pytest.raises(UsageError, match='has no option "sise"'):
        open_source({"path": make(tmp_path / "some"), "sise": "64x64"})


@pytest.mark.parametrize(
    ("option", "value", "parts"),
    [
        ("mode", "grey", ["mode='grey'", 'did you mean "gray"?']),
        ("fit", "cover", ["fit='cover'", "crop, pad, stretch"]),
        ("size", "64by64", ["size='64by64'", "size=64x48"]),
        ("size", "0x3", ["size='0x3'", "1x1 to 16384x16384"]),
        ("background", 256, ["background=256", "from 0 to 255"]),
        ("on_error", "ignore", ["on_error='ignore'", "fail, quarantine"]),
        ("max_pixels", "many", ["max_pixels='many'"]),
        ("drop_duplicates", "yes", ["drop_duplicates='yes'", "neither true nor false"]),
        ("class_names", "a,,b", ["class_names='a,,b'", "empty name"]),
    ],
)
def test_wrong_values_of_options_are_refused(tmp_path, option, value, parts):
    with pytest.raises(UsageError) as caught:
        open_source(pictures(tmp_path / "some"), {option: value})
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_formats_are_told_by_what_a_directory_holds_and_named(tmp_path, kind):
    data = random_images(40, (6, 6)), np.arange(40) % 10
    source = open_source(written(kind, tmp_path / "some", {"train": data, "test": data}))
    expected = {
        "idx": "IDX files", "csv": "CSV files", "npz": "NumPy files", "npy": "NumPy files", "parquet": "Parquet files",
        "folder": "folder of images", "flat": "folder of images", "tar": "WebDataset shards",
    }  # fmt: skip
    assert source.kind == expected[kind.split("-")[0]]
    assert source.name == "some"


@pytest.mark.parametrize("kind", ["csv", "npz", "npy", "parquet", "tar", "csv-gz", "tar-gz"])
def test_a_single_file_is_a_source(tmp_path, kind):
    root = written(kind, tmp_path / "some", {"train": (random_images(40, (6, 6)), np.arange(40) % 10)})
    source = open_source(min(root.iterdir()))
    assert source.n == {"npy": 40, "parquet": 20, "tar": 20, "tar-gz": 20}.get(kind, 40)
    found = stored(source, tmp_path / "x.zarr")
    np.testing.assert_array_equal(found.read("image", 0, 20), random_images(40, (6, 6))[:20])


def test_images_in_memory_of_fsspec_are_a_source(tmp_path):
    """Any address that fsspec knows; this one lives in this process."""
    import fsspec

    system = fsspec.filesystem("memory")
    root = written("folder", tmp_path / "some", {"train": (random_images(40, (6, 6)), np.arange(40) % 10)})
    system.put(str(root), "/remote-photos", recursive=True)
    try:
        source = open_source("memory://remote-photos")
        assert (source.n, source.name, source.class_names) == (40, "remote-photos", tuple("0123456789"))
        found = stored(source, tmp_path / "x.zarr")
        local = stored(open_source(root), tmp_path / "y.zarr")
        assert found.fingerprint == local.fingerprint
    finally:
        system.rm("/remote-photos", recursive=True)


def test_an_unknown_protocol_names_the_remedy():
    with pytest.raises(SourceError, match="cannot read nowhere://x"):
        open_source("nowhere://x")
