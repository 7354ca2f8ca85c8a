"""A single photograph as a raster collection."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import zarr
from PIL import Image
from sklearn.datasets import load_sample_image
from source_files import encoded

import fmnist_dask
from fmnist_dask.collection.files import read_json, write_json
from fmnist_dask.collection.layout import INGEST, MANIFEST
from fmnist_dask.collection.raster import Raster, existing_raster, is_raster
from fmnist_dask.collection.raster_writing import (
    begin_raster,
    commit_raster,
    plan_raster,
    store_raster,
    write_band,
)
from fmnist_dask.collection.sources.detect import open_images, open_source
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.tiles import tile_of
from fmnist_dask.errors import CollectionError, SourceError, UsageError


@pytest.fixture
def china(tmp_path):
    pixels = np.ascontiguousarray(load_sample_image("china.jpg"))
    (tmp_path / "china.png").write_bytes(encoded(pixels))
    return tmp_path / "china.png", pixels


def test_a_photograph_is_stored_in_tiles(tmp_path, china):
    file, pixels = china
    raster = store_raster(photograph_of(file), tmp_path / "x.zarr")
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
    raster = store_raster(photograph_of(place, {"mode": "rgb"}), tmp_path / "x.zarr")
    expected = np.asarray(Image.open(place).convert("RGB"))
    np.testing.assert_array_equal(raster.read(), expected)


def test_options_say_what_becomes_of_it(tmp_path, china):
    grey = store_raster(photograph_of({"photo": str(china[0]), "mode": "gray"}), tmp_path / "grey.zarr")
    assert grey.image_shape == (427, 640)
    small = store_raster(photograph_of(china[0], {"size": "200x300", "fit": "stretch"}), tmp_path / "small.zarr")
    assert small.image_shape == (200, 300, 3)
    assert len({photograph_of(china[0]).fingerprint, photograph_of(china[0], {"mode": "gray"}).fingerprint}) == 2
    with pytest.raises(UsageError, match='has no option "shape"'):
        photograph_of(china[0], {"shape": 3})
    with pytest.raises(SourceError, match=r"the limit is 1,000 in all(.|\n)*max_pixels"):
        photograph_of(china[0], {"max_pixels": 1000})


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
    assert refused.returncode == 2
    assert "works on collections of images, and the source china is one photograph" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()
    appended = run("ingest", str(china[0]), "china.zarr", "--append")
    assert "appended to nothing" in appended.stderr
    np.testing.assert_array_equal(Raster.open(tmp_path / "china.zarr").read(), china[1])


@pytest.mark.slow
def test_it_is_no_collection_of_images(tmp_path, china):
    raster = store_raster(photograph_of(china[0]), tmp_path / "x.zarr")
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
        existing_raster(photograph_of(china[0]), tmp_path / "digits.zarr")


def test_what_is_half_written_is_written_again(tmp_path, china):
    photo = photograph_of(china[0])
    raster = store_raster(photo, tmp_path / "x.zarr")
    assert existing_raster(photo, raster.path) == raster
    manifest = read_json(tmp_path / "x.zarr" / MANIFEST)
    (tmp_path / "x.zarr" / MANIFEST).unlink()
    write_json(tmp_path / "x.zarr" / INGEST, {"kind": "raster"})
    assert existing_raster(photo, raster.path) is None
    assert store_raster(photo, tmp_path / "x.zarr").fingerprint == manifest["fingerprint"]
    china[0].write_bytes(encoded(china[1][::-1]))
    with pytest.raises(CollectionError, match="another one, or has changed"):
        existing_raster(photograph_of(china[0]), raster.path)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_cannot_be_read_is_refused(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"x.png cannot be read"):
        photograph_of(tmp_path / "x.png")


def test_memory_is_declared(tmp_path, china):
    photo = photograph_of(china[0])
    assert plan_raster(photo, tmp_path).task_bytes > 12 * 427 * 640
    drawn = photograph_of("landscape", {"size": "200000x200000"})
    assert plan_raster(drawn, tmp_path).task_bytes < 250 * 2**20


def test_bands_of_wide_photographs_stay_bounded():
    assert tile_of((4000, 6000, 3)) == (512, 512)
    assert tile_of((100, 90, 3)) == (100, 90)
    assert tile_of((40000, 40000, 3)) == (256, 1024)
    assert tile_of((200000, 200000)) == (128, 2048)
    assert tile_of((200000, 200000, 3)) == (64, 4096)
    for width in range(1000, 170000, 7777):
        height, across = tile_of((10**5, width, 3))
        assert height * width * 3 <= 32 * 2**20
        assert height % 64 == 0
        assert across <= width


ARRAY = np.random.default_rng(0).integers(0, 256, (300, 200, 4), dtype=np.uint8)


def chunks_of(array):
    return (*(-(-side // 3) for side in array.shape[:2]), *array.shape[2:])


def as_npy(place, array):
    np.save(place, array)
    return place


def as_zarr(place, array):
    zarr.create_array(str(place), data=array, chunks=chunks_of(array))
    return place


def as_group(place, array):
    zarr.open_group(str(place), mode="w").create_array("image", data=array, chunks=chunks_of(array))
    return place


def as_old_zarr(place, array):
    zarr.create_array(str(place), data=array, chunks=chunks_of(array), zarr_format=2)
    return place


@pytest.mark.parametrize(
    ("make", "name"), [(as_npy, "x.npy"), (as_zarr, "x.zarr"), (as_group, "x.zarr"), (as_old_zarr, "x.zarr")]
)
def test_arrays_are_photographs(tmp_path, make, name):
    place = make(tmp_path / name, ARRAY[:, :, :3])
    photo = photograph_of({"photo": str(place)})
    assert photo.in_bands
    np.testing.assert_array_equal(photo.lines(100, 164), ARRAY[100:164, :, :3])
    raster = store_raster(photo, tmp_path / "stored.zarr", 64)
    np.testing.assert_array_equal(raster.read(), ARRAY[:, :, :3])
    assert raster.source["description"] == "One photograph, from an array"
    if make is not as_group:
        assert photograph_of(place).fingerprint == photo.fingerprint
        assert open_images({"path": str(place)}).fingerprint == photo.fingerprint


@pytest.mark.parametrize("options", [{}, {"background": 90}, {"mode": "gray"}, {"mode": "rgb"}, {"mode": "keep"}])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_arrays_become_what_image_files_become(tmp_path, channels, options):
    pixels = ARRAY[:, :, 0] if not channels else ARRAY[:, :, :channels]
    photo = photograph_of({"photo": str(as_npy(tmp_path / "x.npy", pixels)), **options})
    Image.fromarray(pixels if channels != 1 else pixels[:, :, 0]).save(tmp_path / "x.png")
    expected = photograph_of(tmp_path / "x.png", options)
    assert photo.image_shape == expected.image_shape
    whole = expected.lines(0, 300)
    np.testing.assert_array_equal(photo.lines(0, 300), whole)
    np.testing.assert_array_equal(photo.lines(128, 192), whole[128:192])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_are_divided_as_in_image_files(tmp_path, order):
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    photo = photograph_of({"photo": str(as_npy(tmp_path / "x.npy", deep.astype(order)))})
    Image.fromarray(deep).save(tmp_path / "x.png")
    np.testing.assert_array_equal(photo.lines(0, 256), photograph_of(tmp_path / "x.png").lines(0, 256))
    np.testing.assert_array_equal(photo.lines(0, 256), np.rint(deep / 257).astype(np.uint8))
    colour = photograph_of({"photo": str(as_zarr(tmp_path / "x.zarr", np.stack([deep] * 3, axis=2)))})
    np.testing.assert_array_equal(colour.lines(64, 128)[:, :, 1], photo.lines(64, 128))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5), np.float32), "is float32"),
        (np.zeros((4, 5), bool), "is bool"),
        (np.zeros((4, 5, 2), np.uint8), r"of shape \(4, 5, 2\) is no photograph"),
        (np.zeros((4, 5, 3, 1), np.uint8), "is no photograph"),
        (np.zeros(9, np.uint8), "is no photograph"),
        (np.zeros((0, 5), np.uint8), "is no photograph"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    for place in (as_npy(tmp_path / "x.npy", array), as_zarr(tmp_path / "x.zarr", array) if array.size else None):
        if place is not None:
            with pytest.raises(SourceError, match=message):
                photograph_of({"photo": str(place)})


def test_what_else_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(SourceError, match="no NPY array"):
        photograph_of({"photo": str(tmp_path / "x.npy")})
    with pytest.raises(SourceError, match="no NPY array"):
        photograph_of({"photo": str(tmp_path / "none.npy")})
    with pytest.raises(SourceError, match="no Zarr array"):
        photograph_of({"photo": str(tmp_path / "none.zarr")})
    with pytest.raises(SourceError, match="is a directory, not a photograph"):
        photograph_of({"photo": str(tmp_path)})
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    with pytest.raises(SourceError, match="without an array image"):
        photograph_of({"photo": str(tmp_path / "group.zarr")})
    zarr.create_array(str(tmp_path / "odd.zarr"), data=ARRAY[0], dimension_names=("time", "x"))
    with pytest.raises(SourceError, match=r"dimensions \(time, x\)"):
        photograph_of({"photo": str(tmp_path / "odd.zarr")})
    as_npy(tmp_path / "good.npy", ARRAY)
    with pytest.raises(UsageError, match="in the size that it has"):
        photograph_of({"photo": str(tmp_path / "good.npy"), "size": "10x10"})
    with pytest.raises(UsageError, match='has no option "shape"'):
        photograph_of({"photo": str(tmp_path / "good.npy"), "shape": 3})
    for option in ({"drop_duplicates": True}, {"embedding": "x.npy"}, {"chunk_mib": 3}):
        with pytest.raises(UsageError, match="does not apply to a photograph"):
            photograph_of("china", option)


def test_arrays_of_many_images_are_none(tmp_path):
    for name, shape in (("a", (100, 28, 28)), ("b", (100, 28, 28, 3)), ("c", (100, 784)), ("d", (100, 28, 3))):
        assert photograph_of(as_npy(tmp_path / f"{name}.npy", np.zeros(shape, np.uint8))) is None
    assert photograph_of(as_npy(tmp_path / "e.npy", np.zeros((100, 200, 3), np.float32))) is None
    assert photograph_of(as_zarr(tmp_path / "f.zarr", np.zeros((3, 4, 5, 6), np.uint8))) is None
    for spec in (tmp_path, tmp_path / "nothing", "garments", {"name": "digits"}, {"n": 3}, {"path": "x", "name": "y"}):
        assert photograph_of(spec) is None


def test_scikit_learns_photographs_are_there_by_name(tmp_path, monkeypatch):
    for name in ("china", "flower"):
        photo = photograph_of(name)
        assert photo.name == name
        np.testing.assert_array_equal(photo.lines(0, 427), load_sample_image(f"{name}.jpg"))
    assert photograph_of({"name": "china", "size": "200x300", "fit": "stretch"}).image_shape == (200, 300, 3)
    # What lies there is meant where it is given as a path, as it is for those who have no such names.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flower").mkdir()
    assert photograph_of("flower") is None
    assert photograph_of({"name": "flower"}).name == "flower"


def test_names_need_no_scikit_learn():
    code = (
        "import sys; from fmnist_dask.collection.sources.photographs import photograph_of;"
        "photograph_of('china').lines(0, 427); print('sklearn' in sys.modules, 'numba' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


def test_bands_in_any_order_and_tiles_of_any_height_make_the_same(tmp_path):
    photo = photograph_of({"photo": str(as_npy(tmp_path / "x.npy", ARRAY))})
    found = []
    for height in (None, 64, 128, 256):
        plan = plan_raster(photo, tmp_path / f"{height}.zarr", height)
        assert len(plan.bands) == -(-300 // min(height or 512, 300))
        for band in reversed(begin_raster(plan)):
            write_band(plan, *band)
        found.append(commit_raster(plan))
        np.testing.assert_array_equal(found[-1].read(), photo.lines(0, 300))
    assert len({raster.fingerprint for raster in found}) == 1
    # The same pixels given as a whole.
    Image.fromarray(photo.lines(0, 300)).save(tmp_path / "x.png")
    whole = store_raster(photograph_of(tmp_path / "x.png"), tmp_path / "whole.zarr", 64)
    assert whole.fingerprint == found[0].fingerprint
    for wrong in (100, 32, 0):
        with pytest.raises(UsageError, match="a multiple of 64"):
            plan_raster(photo, tmp_path / "x.zarr", wrong)


def test_an_ingest_goes_on_where_it_stopped(tmp_path):
    photo = photograph_of({"photo": str(as_npy(tmp_path / "x.npy", ARRAY))})
    plan = plan_raster(photo, tmp_path / "x.zarr", 64)
    assert begin_raster(plan) == [(0, 64), (64, 128), (128, 192), (192, 256), (256, 300)]
    write_band(plan, 64, 128)
    write_band(plan, 64, 128)
    with pytest.raises(CollectionError, match="lacks 4 of 5 bands, the first begins at line 0"):
        commit_raster(plan)
    with pytest.raises(CollectionError, match="is incomplete"):
        Raster.open(plan.path)
    with pytest.raises(CollectionError, match="is incomplete"):
        open_source(plan.path)
    assert existing_raster(photo, plan.path) is None
    left = begin_raster(plan)
    assert left == [(0, 64), (128, 192), (192, 256), (256, 300)]
    for band in left:
        write_band(plan, *band)
    raster = commit_raster(plan)
    np.testing.assert_array_equal(raster.read(), photo.lines(0, 300))
    assert not (tmp_path / "x.zarr" / INGEST).exists()
    assert existing_raster(photo, plan.path) == raster


def test_what_changes_on_the_way_is_noticed(tmp_path):
    photo = photograph_of({"photo": str(as_npy(tmp_path / "x.npy", ARRAY))})
    plan = plan_raster(photo, tmp_path / "x.zarr", 64)
    for band in begin_raster(plan):
        write_band(plan, *band)
    as_npy(tmp_path / "x.npy", ARRAY[::-1])
    with pytest.raises(CollectionError, match="has changed while it was ingested"):
        commit_raster(plan)
    # Another photograph does not go on with the bands of this one.
    changed = photograph_of({"photo": str(tmp_path / "x.npy")})
    again = plan_raster(changed, tmp_path / "x.zarr", 64)
    assert len(begin_raster(again)) == 5
    as_npy(tmp_path / "x.npy", ARRAY[:200])
    with pytest.raises(SourceError, match="has changed"):
        changed.lines(0, 64)


@pytest.mark.parametrize("name", ["x.npy", "x.zarr"])
def test_photographs_travel_to_workers(tmp_path, name):
    place = (as_npy if name == "x.npy" else as_zarr)(tmp_path / name, ARRAY)
    photo = photograph_of({"photo": str(place)})
    pickled = pickle.dumps(photo)
    assert len(pickled) < 3000
    np.testing.assert_array_equal(pickle.loads(pickled).lines(5, 70), photo.lines(5, 70))


def test_a_stored_photograph_is_used_as_it_is(tmp_path, china):
    raster = store_raster(photograph_of(china[0]), tmp_path / "x.zarr")
    for spec in (tmp_path / "x.zarr", {"path": str(tmp_path / "x.zarr")}, {"photo": str(tmp_path / "x.zarr")}):
        assert photograph_of(spec) == raster
        assert open_images(spec) == raster
    with pytest.raises(UsageError, match=r"is a stored photograph; source options \(mode\)"):
        photograph_of(tmp_path / "x.zarr", {"mode": "gray"})
    with pytest.raises(SourceError, match="is one photograph, and a collection of images is wanted"):
        open_source(tmp_path / "x.zarr")
