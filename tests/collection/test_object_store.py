"""Sources and collections in an object store, over HTTP against a server that speaks S3."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from object_store import BUCKET, SECRET, free_port, s3_server
from PIL import Image
from source_files import written
from support import ArraySource, ingested, random_images, some_slow

import fmnist_dask
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.place import move_tree, place_of, remove_tree
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine
from fmnist_dask.collection.raster_writing import begin_raster, commit_raster, plan_raster, store_raster, write_band
from fmnist_dask.collection.sources.detect import open_images, open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, FmnistDaskError, RunError, SourceError
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.workflow.ingesting import append_rows

s3fs = pytest.importorskip("s3fs")


@pytest.fixture(autouse=True)
def _fresh():
    """No connections of another test's server."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def server():
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server, request):
    """An empty prefix of the bucket."""
    place = f"s3://{BUCKET}/{abs(hash(request.node.name))}"
    yield place
    remove_tree(place_of(place))


def source_of(rows=3000, **options):
    return ArraySource(
        random_images(rows, (6, 5), 2500), np.arange(rows) % 3, {"train": rows - 500, "test": 500}, **options
    )


def upload(local: Path, remote: str) -> str:
    for file in local.rglob("*"):
        if file.is_file():
            place_of(remote, *file.relative_to(local).parts).write_bytes(file.read_bytes())
    return remote


def same(one: Collection, other: Collection) -> None:
    assert one.fingerprint == other.fingerprint
    for name in ("image", "label", "split", "content_hash", "source_name"):
        np.testing.assert_array_equal(one.read(name, 0, one.n), other.read(name, 0, other.n))


def test_a_collection_in_an_object_store_is_the_one_on_disk(tmp_path, bucket):
    remote = ingested(source_of(), f"{bucket}/x.zarr", 512)
    local = ingested(source_of(), tmp_path / "x.zarr", 512)
    same(remote, local)
    assert remote.path == f"{bucket}/x.zarr"
    assert remote.stored_bytes() == pytest.approx(local.stored_bytes(), rel=0.02)
    dataset = remote.to_xarray()  # computed here: workers of other tests know no credentials
    np.testing.assert_array_equal(
        dataset["image"][700:710].compute(scheduler="synchronous"), local.read("image", 700, 710)
    )
    again = open_source(f"{bucket}/x.zarr/")
    assert isinstance(again, Collection)
    assert again.fingerprint == remote.fingerprint
    left = {
        name
        for name in place_of(remote.path).fs.find(place_of(remote.path).path)
        if "parts" in name or ".lease" in name
    }
    assert not left


@pytest.mark.slow
def test_a_photograph_in_an_object_store_is_the_one_on_disk(tmp_path, bucket):
    photo = open_images({"name": "landscape", "size": "150x130"})
    plan = plan_raster(photo, f"{bucket}/photo.zarr", 64)
    bands = begin_raster(plan)
    write_band(plan, *bands[2])
    assert begin_raster(plan) == bands[:2]
    for band in bands[:2]:
        write_band(plan, *band)
    remote, local = commit_raster(plan), store_raster(photo, tmp_path / "photo.zarr")
    assert remote.fingerprint == local.fingerprint
    np.testing.assert_array_equal(Lines(remote).block(64, 128).image, local.read(64, 128))
    assert open_images(f"{bucket}/photo.zarr") == remote
    place_of(remote.path, "image", "c", "1", "0", "0").unlink()
    with pytest.raises(CollectionError, match=r"c/1/0/0 is missing"):
        Lines(remote).block(64, 128).image  # noqa: B018


@pytest.mark.slow
def test_arrays_and_files_in_an_object_store_are_photographs(tmp_path, bucket):
    pixels = random_images(1, (90, 80, 3))[0]
    zarr.create_array(str(tmp_path / "x.zarr"), data=pixels, chunks=(40, 50, 3))
    array = open_images({"photo": upload(tmp_path / "x.zarr", f"{bucket}/x.zarr")})
    np.testing.assert_array_equal(array.lines(30, 70), pixels[30:70])
    Image.fromarray(pixels).save(tmp_path / "x.png")
    place_of(bucket, "x.png").write_bytes((tmp_path / "x.png").read_bytes())
    np.testing.assert_array_equal(open_images(f"{bucket}/x.png").lines(0, 90), pixels)
    place_of(bucket, "x.npy").write_bytes(b"anything")
    with pytest.raises(SourceError, match=r"is remote(.|\n)*copy it to a local disk"):
        open_images({"photo": f"{bucket}/x.npy"})


@pytest.mark.parametrize(
    "kind", some_slow(["folder", "npz"], ["flat-csv", "parquet", "tar", "tar-gz", "csv", "csv-gz", "npy"])
)
def test_sources_in_an_object_store_are_read_like_files(tmp_path, bucket, kind):
    splits = {
        "train": (random_images(40, (8, 8)), np.arange(40) % 3),
        "test": (random_images(9, (8, 8)), np.arange(9) % 3),
    }
    root = written(kind, tmp_path / "some", splits)
    local = ingested(open_source(root), tmp_path / "local.zarr")
    remote = ingested(open_source(upload(root, f"{bucket}/some")), tmp_path / "remote.zarr")
    same(remote, local)


@pytest.mark.slow
def test_what_is_left_out_is_left_out_there_too(tmp_path, bucket):
    root = written(
        "folder", tmp_path / "photos", {"train": (random_images(210, (6, 6), 150), np.zeros(210, dtype=int))}
    )
    for file in sorted(root.rglob("*.png"))[3:210:25]:
        file.write_bytes(b"no picture")
    options = {"drop_duplicates": True}
    local = ingested(open_source(root, options), tmp_path / "x.zarr", 256)
    remote = ingested(open_source(upload(root, f"{bucket}/photos"), options), f"{bucket}/x.zarr", 256)
    same(remote, local)
    assert remote.n_quarantined == 9
    assert len(read_quarantine(place_of(remote.path, QUARANTINE))) == 9
    assert remote.dropped_duplicates == local.dropped_duplicates


@pytest.mark.slow
def test_rows_are_appended_there_too(tmp_path, bucket):
    image, label = random_images(2000, (6, 5)), np.arange(2000) % 3

    def part(start, stop):
        return ArraySource(image[start:stop], label[start:stop], {"train": stop - start})

    engine = LocalEngine()
    local = append_rows(engine, ingested(part(0, 900), tmp_path / "x.zarr", 512), part(900, 2000))
    remote = append_rows(engine, ingested(part(0, 900), f"{bucket}/x.zarr", 512), part(900, 2000))
    same(remote, local)
    assert remote.generation == 2


@pytest.mark.slow
def test_an_ingest_that_was_killed_goes_on(tmp_path, bucket):
    """Killed while rows are moved, which is where an object store differs most."""
    root = written("folder", tmp_path / "photos", {"train": (random_images(300, (6, 6)), np.zeros(300, dtype=int))})
    sorted(root.rglob("*.png"))[5].write_bytes(b"no picture")
    place = f"{bucket}/x.zarr"
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from fmnist_dask.collection import packing
from fmnist_dask.collection.raster_writing import begin_raster, commit_raster, plan_raster, store_raster, write_band
from fmnist_dask.collection.sources.detect import open_images, open_source
from support import ingested
moved = 0
whole = packing.move_tree
def dying(source, target):
    global moved
    moved += 1
    if moved == 3:
        import itertools
        system, copy, count = source.fs, source.fs.cp_file, itertools.count()
        system.cp_file = lambda *names: os._exit(9) if next(count) == 2 else copy(*names)
    whole(source, target)
packing.move_tree = dying
ingested(open_source({str(root)!r}), {place!r}, 256)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with pytest.raises(CollectionError, match="incomplete"):
        Collection.open(place)
    same(ingested(open_source(root), place, 256), ingested(open_source(root), tmp_path / "x.zarr", 256))


@pytest.mark.slow
def test_moving_replaces_what_is_there(bucket):
    old, new = place_of(bucket, "old"), place_of(bucket, "new")
    for name in ("a", "b/c"):
        (old / name).write_bytes(b"old")
    (new / "a").write_bytes(b"new")
    move_tree(new, old)
    assert (old / "a").read_bytes() == b"new"
    assert not (old / "b/c").exists()
    assert not (new / "a").exists()


@pytest.mark.parametrize("removed", some_slow([1], [0, 2]))
def test_a_move_that_was_cut_off_while_it_removed_loses_nothing(bucket, monkeypatch, removed):
    old, new = place_of(bucket, "old"), place_of(bucket, "new")
    contents = {name: name.encode() for name in ("a", "b/c", "d")}
    for name, content in contents.items():
        (new / name).write_bytes(content)
    (old / "stale").write_bytes(b"old")
    system, remove = new.fs, new.fs.rm

    def killed(path, *rest, **options):
        if isinstance(path, list) and all("/new/" in one for one in path):
            remove(path[:removed]) if removed else None
            raise KeyboardInterrupt
        remove(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(system, "rm", killed)
        with pytest.raises(KeyboardInterrupt):
            move_tree(new, old)
    move_tree(new, old)
    found = {path.removeprefix(old.path + "/"): system.cat_file(path) for path in system.find(old.path)}
    assert found == contents
    assert not system.find(new.path)


def test_one_process_at_a_time_writes_there(bucket):
    place = place_of(bucket, "x.zarr")
    with Lease(place, "a test"):
        with pytest.raises(RunError, match=r"in use(.|\n)*a test"), Lease(place, "another"):
            pass
        assert (place / ".lease").exists()
    assert not (place / ".lease").exists()


@pytest.mark.slow
def test_worker_processes_ingest_to_and_run_from_an_object_store(tmp_path, bucket, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ingest = [sys.executable, "-c", "from fmnist_dask.cli import main; main()", "ingest", "digits"]
    done = subprocess.run([*ingest, f"{bucket}/digits.zarr"], capture_output=True, text=True, check=True)
    assert f"{bucket}/digits.zarr" in done.stdout + done.stderr
    steps = {"copies": {"uses": "duplicates"}, "look": {"uses": "pixel_stats", "with": {"quantiles": [0.5]}}}
    path = tmp_path / "look.yaml"
    path.write_text(yaml.safe_dump({"name": "look", "source": f"{bucket}/digits.zarr", "steps": steps}))
    run = fmnist_dask.run(path, out=tmp_path / "run")
    local = ingested(open_source("digits"), tmp_path / "digits.zarr")
    assert run.collection.fingerprint == local.fingerprint
    images = local.read("image", 0, local.n)
    np.testing.assert_allclose(run["look"]["mean"], images.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(run["look"]["quantiles"].values.squeeze(), np.quantile(images, 0.5, axis=0))
    assert run.manifest["steps"]["copies"]["metrics"]["n_unique"] == len(np.unique(images.reshape(local.n, -1), axis=0))
    written_by_us = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    said = b"".join(file.read_bytes() for file in written_by_us) + (done.stdout + done.stderr).encode()
    assert len(written_by_us) > 5
    assert SECRET.encode() not in said
    assert os.environ["AWS_ACCESS_KEY_ID"].encode() not in said


@pytest.mark.slow
def test_a_busy_server_is_asked_once_more(tmp_path):
    with s3_server(busy_every=41):
        remote = ingested(source_of(), f"s3://{BUCKET}/x.zarr", 2048)
        same(remote, ingested(source_of(), tmp_path / "x.zarr", 2048))


def test_a_server_that_is_gone_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    begun = time.monotonic()
    with pytest.raises(FmnistDaskError, match=r"s3://nowhere/x.zarr(.|\n)*credentials") as caught:
        open_source("s3://nowhere/x.zarr")
    assert time.monotonic() - begun < 60
    assert SECRET not in str(caught.value)


def test_nothing_there_is_said(server):
    with pytest.raises(FmnistDaskError, match=r"s3://images/nothing"):
        open_source(f"s3://{BUCKET}/nothing")
    with pytest.raises(CollectionError, match="nothing is there"):
        Collection.open(f"s3://{BUCKET}/nothing.zarr")


@pytest.mark.slow
def test_a_damaged_chunk_is_named(bucket):
    place = ingested(source_of(), f"{bucket}/x.zarr", 512).path
    place_of(place, "image", "c", "1", "0", "0").unlink()
    place_of(place, "label", "c", "2").unlink()
    found = Collection.open(place)
    found.read("image", 0, 512)
    for name, start in (("image", 512), ("label", 1024)):
        with pytest.raises(CollectionError, match=rf"rows {start:,} .* of {name} cannot be read"):
            found.read(name, start, start + 512)
