"""A photograph's lines as samples: what passes read, and what they are told of damaged files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photograph_steps import ChannelSums

from fmnist_dask.collection import tiles
from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.raster_writing import store_raster
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.errors import CollectionError, UsageError
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.protocol import Scan

HEIGHT, WIDTH = 300, 700
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def lines_of(place, pixels=PIXELS, tile_height=64):
    np.save(place / "x.npy", pixels)
    raster = store_raster(photograph_of({"photo": str(place / "x.npy")}), place / f"{tile_height}.zarr", tile_height)
    return Lines(raster)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return lines_of(tmp_path_factory.mktemp("lines"))


def test_lines_are_the_samples(lines):
    assert (lines.n, lines.image_shape, lines.chunk_rows, lines.n_chunks) == (HEIGHT, (WIDTH, 3), 64, 5)
    assert (lines.image_bytes, lines.n_features, lines.feature_dtype) == (WIDTH * 3, WIDTH * 3, "uint8")
    assert (lines.class_names, lines.splits, lines.row_dim) == ((), {"all": HEIGHT}, "y")
    assert (lines.n_images, lines.whole_shape) == (1, (HEIGHT, WIDTH, 3))
    assert [lines.split_code(split) for split in ("all", "train")] == [None, None]
    with pytest.raises(UsageError, match='no split "test"'):
        lines.split_code("test")
    block = lines.block(64, 128)
    np.testing.assert_array_equal(block.image, PIXELS[64:128])
    assert block.features.shape == (64, WIDTH * 3)
    np.testing.assert_array_equal(block.label, np.full(64, -1))
    assert block.label.dtype == np.int16
    np.testing.assert_array_equal(block.split, np.zeros(64))
    np.testing.assert_array_equal(block.array("source_name"), np.arange(64, 128))
    assert set(block.array("height")) == {1}
    assert set(block.array("width")) == {WIDTH}
    with pytest.raises(KeyError):
        lines.read("content_hash", 0, 1)
    assert lines.read("image", 250, 999).shape == (50, WIDTH, 3)
    assert lines.read("label", 400, 500).shape == (0,)


def test_they_are_small_and_travel(lines):
    pickled = pickle.dumps(lines)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again == lines
    np.testing.assert_array_equal(again.block(0, 64).image, PIXELS[:64])
    assert KeptStates.of(lines) is None
    assert Lines.open(lines.path) == lines
    assert lines.stored_bytes() > 0


@given(st.data())
def test_any_band_is_that_of_the_whole(lines, data):
    start = data.draw(st.integers(0, HEIGHT))
    stop = data.draw(st.integers(start, HEIGHT))
    np.testing.assert_array_equal(lines.read("image", start, stop), PIXELS[start:stop])
    left = data.draw(st.integers(0, WIDTH))
    right = data.draw(st.integers(left, WIDTH))
    part = lines.raster.read(start, stop, left, right)
    np.testing.assert_array_equal(part, PIXELS[start:stop, left:right])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(height=st.integers(1, 200), width=st.integers(1, 1200), grey=st.booleans())
def test_photographs_of_any_shape(tmp_path_factory, height, width, grey):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width) if grey else (height, width, 3), np.uint8)
    lines = lines_of(tmp_path_factory.mktemp("shape"), pixels)
    assert lines.image_shape == pixels.shape[1:]
    np.testing.assert_array_equal(lines.block(0, lines.n).image, pixels)


def test_each_tile_is_decoded_once(lines, monkeypatch):
    decoded = []
    original = tiles._read_tile
    monkeypatch.setattr(tiles, "_read_tile", lambda path, at, shape: decoded.append(at) or original(path, at, shape))
    lines.block(64, 128).image  # noqa: B018
    assert decoded == [(1, 0)]
    lines.raster.read()
    assert sorted(decoded[1:]) == [(row, 0) for row in range(5)]


@pytest.mark.parametrize("tile_height", [64, 128, 256, None])
def test_passes_do_not_depend_on_tiles_or_tasks(tmp_path, tile_height):
    lines = lines_of(tmp_path, tile_height=tile_height)
    for n_tasks in (1, 3):
        found = LocalEngine(n_tasks).scan(lines, {"x": Scan({"sums": ChannelSums()}, split="train")})
        expected = [*PIXELS.sum(axis=(0, 1), dtype=np.int64), HEIGHT * WIDTH]
        np.testing.assert_array_equal(found["x"]["sums"], expected)


def test_a_missing_tile_is_an_error_and_no_black(tmp_path):
    lines = lines_of(tmp_path)
    tiles.tile_file(lines.path, (2, 0), 3).unlink()
    with pytest.raises(CollectionError, match=r"the tile .*c/2/0/0 is missing"):
        lines.read("image", 128, 192)
    with pytest.raises(CollectionError, match="is missing"):
        lines.raster.read()
    np.testing.assert_array_equal(lines.read("image", 64, 128), PIXELS[64:128])
    with pytest.raises(CollectionError, match=r"is missing(.|\n)*ingest again"):
        LocalEngine().scan(lines, {"x": Scan({"sums": ChannelSums()})})


@pytest.mark.parametrize("content", [b"", b"no tile", None])
def test_a_damaged_tile_is_named(tmp_path, content):
    lines = lines_of(tmp_path)
    file = tiles.tile_file(lines.path, (4, 0), 3)
    file.write_bytes(file.read_bytes()[:-9] if content is None else content)
    with pytest.raises(CollectionError, match=r"the photograph .* is damaged: the tile .*c/4/0/0 cannot be read"):
        lines.read("image", 256, 300)


def test_a_tile_of_another_length_is_named(tmp_path):
    from numcodecs.zstd import Zstd

    lines = lines_of(tmp_path)
    tiles.tile_file(lines.path, (0, 0), 3).write_bytes(Zstd().encode(bytes(100)))
    with pytest.raises(CollectionError, match="has 100 bytes of pixels"):
        lines.read("image", 0, 1)
