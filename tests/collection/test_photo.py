"""A single photograph as a raster collection."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from source_files import encoded

import fmnist_dask
from fmnist_dask.collection.files import read_json, write_json
from fmnist_dask.collection.layout import INGEST, MANIFEST
from fmnist_dask.collection.raster import Raster, existing_raster, is_raster, raster_bytes, write_raster
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.photo import photo_of
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, SourceError, UsageError


@pytest.fixture
def china(tmp_path):
    pixels = np.ascontiguousarray(load_sample_image("china.jpg"))
    (tmp_path / "china.png").write_bytes(encoded(pixels))
    return tmp_path / "china.png", pixels


def stored(photo, place):
    write_raster(photo, str(place))
    return Raster.open(place)


def test_a_photograph_is_stored_in_tiles(tmp_path, china):
    file, pixels = china
    raster = stored(photo_of(file), tmp_path / "x.zarr")
    assert raster.image_shape == pixels.shape
    assert raster.n_pixels == 427 * 640
    np.testing.assert_array_equal(raster.read(), pixels)
    np.testing.assert_array_equal(raster.read(3, 90, 500, 530), pixels[3:90, 500:530])
    rebuilt = np.zeros_like(pixels)
    for y, x in raster.tiles():
        rebuilt[y, x] = raster.read(y.start, y.stop, x.start, x.stop)
    np.testing.assert_array_equal(rebuilt, pixels)
    dataset = raster.to_xarray()
    assert dataset["image"].dims == ("y", "x", "channel")
    assert dataset["image"].chunks == ((427,), (512, 128), (3,))
    np.testing.assert_array_equal(dataset["image"].compute(scheduler="synchronous"), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_any_image_format_will_do(tmp_path, china, kind):
    place = tmp_path / f"x.{kind.lower()}"
    place.write_bytes(encoded(china[1], kind))
    raster = stored(photo_of(place, {"mode": "rgb"}), tmp_path / "x.zarr")
    expected = np.asarray(Image.open(place).convert("RGB"))
    np.testing.assert_array_equal(raster.read(), expected)


def test_options_say_what_becomes_of_it(tmp_path, china):
    grey = stored(photo_of({"photo": str(china[0]), "mode": "gray"}), tmp_path / "grey.zarr")
    assert grey.image_shape == (427, 640)
    small = stored(photo_of(china[0], {"size": "200x300", "fit": "stretch"}), tmp_path / "small.zarr")
    assert small.image_shape == (200, 300, 3)
    assert len({photo_of(china[0]).fingerprint, photo_of(china[0], {"mode": "gray"}).fingerprint}) == 2
    with pytest.raises(UsageError, match='has no option "shape"'):
        photo_of(china[0], {"shape": 3})
    with pytest.raises(SourceError, match=r"the limit is 1,000 in all(.|\n)*max_pixels"):
        photo_of(china[0], {"max_pixels": 1000})


@pytest.mark.slow
def test_the_commands_store_and_describe_it(tmp_path, china):
    command = [sys.executable, "-c", "from fmnist_dask.cli import main; main()"]

    def run(*arguments):
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)

    made = run("ingest", str(china[0]), "china.zarr")
    assert made.returncode == 0, made.stderr
    assert "427 × 640 × 3 in 2 tiles" in made.stdout + made.stderr
    again = run("ingest", str(china[0]), "china.zarr")
    assert again.returncode == 0
    assert "dashboard" not in again.stdout + again.stderr
    said = run("info", "china.zarr").stdout
    assert "273,280: 427 × 640 × 3" in said
    refused = run("run", "explore", "--source", str(china[0]))
    assert refused.returncode != 0
    assert "is one photograph" in refused.stderr
    assert "Traceback" not in refused.stderr
    appended = run("ingest", str(china[0]), "china.zarr", "--append")
    assert "appended to nothing" in appended.stderr
    np.testing.assert_array_equal(Raster.open(tmp_path / "china.zarr").read(), china[1])


@pytest.mark.slow
def test_it_is_no_collection_of_images(tmp_path, china):
    raster = stored(photo_of(china[0]), tmp_path / "x.zarr")
    assert is_raster(raster.path)
    with pytest.raises(CollectionError, match="holds one photograph"):
        Collection.open(raster.path)
    with pytest.raises(SourceError, match="is one photograph"):
        open_source(china[0])
    with pytest.raises(SourceError, match="is one photograph"):
        open_source({"photo": str(china[0])})
    fmnist_dask.ingest("digits", tmp_path / "digits.zarr")
    with pytest.raises(CollectionError, match="is no photograph"):
        Raster.open(tmp_path / "digits.zarr")
    with pytest.raises(CollectionError, match="exists and is no photograph"):
        existing_raster(photo_of(china[0]), tmp_path / "digits.zarr")


def test_what_is_half_written_is_written_again(tmp_path, china):
    photo = photo_of(china[0])
    raster = stored(photo, tmp_path / "x.zarr")
    assert existing_raster(photo, raster.path) == raster
    manifest = read_json(tmp_path / "x.zarr" / MANIFEST)
    (tmp_path / "x.zarr" / MANIFEST).unlink()
    write_json(tmp_path / "x.zarr" / INGEST, {"kind": "raster"})
    assert existing_raster(photo, raster.path) is None
    assert stored(photo, tmp_path / "x.zarr").fingerprint == manifest["fingerprint"]
    china[0].write_bytes(encoded(china[1][::-1]))
    with pytest.raises(CollectionError, match="another one, or has changed"):
        existing_raster(photo_of(china[0]), raster.path)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_cannot_be_read_is_refused(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"x.png cannot be read"):
        photo_of(tmp_path / "x.png")


def test_memory_is_declared(china):
    photo = photo_of(china[0])
    assert raster_bytes(photo) > 12 * 427 * 640
