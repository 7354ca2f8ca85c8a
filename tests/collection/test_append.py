"""Appending: the same as if all rows had come at once, and nothing of before is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from source_files import written
from support import CLASSES, ArraySource, ingested, random_images, some_slow

from fmnist_dask.collection import appending
from fmnist_dask.collection.layout import MANIFEST
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, UsageError
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.workflow import ingesting
from fmnist_dask.workflow.ingest_alone import ingest_source
from fmnist_dask.workflow.ingesting import append_rows
from fmnist_dask.workflow.steps.ingest import existing

ARRAYS = ("image", "label", "split", "height", "width", "content_hash")


def source_of(start, stop, splits=None, distinct=None, name="arrays"):
    """Some rows of one long sequence of images."""
    image = random_images(5000, (6, 5), distinct, seed=3)[start:stop]
    label = np.random.default_rng(5).integers(-1, len(CLASSES), 5000)[start:stop]
    return ArraySource(image, label, splits or {"train": stop - start}, name=name)


def content(path):
    return json.loads((Path(path) / MANIFEST).read_text())["content"]


def chunk_files(path):
    return {file: file.stat().st_mtime_ns for file in Path(path).rglob("c/*") if file.is_file()}


@pytest.mark.parametrize(
    ("before", "sizes"), [(1024, [300]), (1000, [1]), (1000, [700, 30, 500]), (10, [2000]), (256, [256])]
)
@pytest.mark.parametrize("chunk_rows", some_slow([256], [1024]))
def test_appended_rows_are_as_if_they_had_always_been_there(tmp_path, before, sizes, chunk_rows):
    place, engine = tmp_path / "x.zarr", LocalEngine()
    found, n = ingested(source_of(0, before), place, chunk_rows), before
    first = found
    for size in sizes:
        found = append_rows(engine, found, source_of(n, n + size))
        n += size
    whole = ingested(source_of(0, n), tmp_path / "y.zarr", 512)
    assert (found.n, found.generation, found.splits) == (n, 1 + len(sizes), {"train": n})
    assert found.fingerprint == whole.fingerprint
    assert content(place) == content(tmp_path / "y.zarr")
    for name in ARRAYS:
        np.testing.assert_array_equal(found.read(name, 0, n), whole.read(name, 0, n))
    assert found.to_xarray().sizes["sample"] == n
    assert [entry["n"] for entry in found.appended] == sizes
    assert found.origin == first.fingerprint
    assert sorted(file.name for file in place.iterdir() if file.is_file()) == [
        f"digests-{1 + len(sizes)}.bin", "manifest.json", "zarr.json",
    ]  # fmt: skip


def test_full_chunks_are_not_touched(tmp_path):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 1000), place, 256)
    before = chunk_files(place)
    append_rows(LocalEngine(), found, source_of(1000, 1500))
    after = chunk_files(place)
    changed = {file.relative_to(place).parts[2] for file in before if before[file] != after[file]}
    assert changed == {"3"}  # the last one, which was not full
    assert len(after) > len(before)


def test_a_reader_of_before_sees_what_it_opened(tmp_path):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 1000), place, 256)
    expected = found.read("image", 0, 5000)
    append_rows(LocalEngine(), found, source_of(1000, 1500))
    assert len(expected) == 1000
    np.testing.assert_array_equal(found.read("image", 0, 5000), expected)


def test_new_splits_come_behind_those_there_are(tmp_path):
    found = ingested(source_of(0, 900, {"train": 600, "test": 300}), tmp_path / "x.zarr", 256)
    found = append_rows(LocalEngine(), found, source_of(900, 1400, {"validation": 200, "train": 300}))
    assert found.splits == {"train": 900, "test": 300, "validation": 200}
    split = found.read("split", 0, 1400)
    assert split[[0, 599, 600, 899, 900, 1099, 1100, 1399]].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert found.to_xarray()["split"].attrs["flag_meanings"] == "train test validation"


def named(source, names):
    source.class_names = names
    return source


def test_classes_are_matched_by_their_names(tmp_path):
    found = ingested(source_of(0, 600), tmp_path / "x.zarr", 256)
    source = source_of(600, 900)
    source.label = np.tile([0, 1, -1], 100)
    found = append_rows(LocalEngine(), found, named(source, ("bag", "shoe")))
    assert found.read("label", 600, 603).tolist() == [CLASSES.index("bag"), CLASSES.index("shoe"), -1]


def test_bare_numbers_are_indices_of_classes(tmp_path):
    found = ingested(source_of(0, 600), tmp_path / "x.zarr", 256)
    found = append_rows(LocalEngine(), found, named(source_of(600, 900), ("0", "1", "2")))
    np.testing.assert_array_equal(found.read("label", 600, 900), source_of(600, 900).label)


def other_shape():
    source = source_of(600, 900)
    source.image = source.image[:, :5]
    source.image_shape = (5, 5)
    return source


def other_arrays():
    source = source_of(600, 900)
    source.extra_arrays = {"planted": (np.uint8, {})}
    return source


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (other_shape, r"arrays has images of 5 × 5, .* of 6 × 5(.|\n)*remedy: bring them to it"),
        (lambda: named(source_of(600, 900), ("shoe", "hat", "bag")), r"has the class 'hat'.* shoe, shirt, bag"),
        (lambda: named(source_of(600, 900), ("0", "1", "2", "3")), r"has the class '0'"),
        (other_arrays, r"has the arrays planted beside its images, .* none"),
    ],
)
def test_what_does_not_fit_is_refused_and_loses_nothing(tmp_path, make, reason):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 600), place, 256)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    with pytest.raises(CollectionError, match=reason):
        append_rows(LocalEngine(), found, make())
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before


@pytest.mark.slow
def test_copies_of_rows_there_are_left_out(tmp_path):
    """Of what is appended to a collection without copies, only what it does not have yet."""
    source = source_of(0, 1500, {"train": 900, "test": 600}, distinct=400)
    source.drop_duplicates = True
    found = ingested(source, tmp_path / "x.zarr", 256)
    new = source_of(1500, 3000, {"test": 700, "train": 800}, distinct=400)
    found = append_rows(LocalEngine(), found, new)
    image, label = (np.concatenate([getattr(source, name), getattr(new, name)]) for name in ("image", "label"))
    split = np.repeat([0, 1, 1, 0], [900, 600, 700, 800])
    seen, kept = set(), []
    for row in range(3000):
        key = (image[row].tobytes(), label[row], split[row])
        if key not in seen:
            kept.append(row)
        seen.add(key)
    np.testing.assert_array_equal(found.read("image", 0, 3000), image[kept])
    np.testing.assert_array_equal(found.read("label", 0, 3000), label[kept])
    assert sum(found.dropped_duplicates.values()) == 3000 - len(kept)
    again = append_rows(LocalEngine(), found, source_of(1500, 2999, distinct=400, splits={"test": 700, "train": 799}))
    assert (again.n, again.generation, again.fingerprint) == (found.n, 3, found.fingerprint)


def test_quarantines_add_up(tmp_path):
    data = {"train": (random_images(60, (6, 6)), np.arange(60) % 3)}
    for name in ("one", "two"):
        root = written("folder", tmp_path / name, data)
        files = sorted(root.rglob("*.png"))
        files[3].write_bytes(b"")
    found = ingested(open_source(tmp_path / "one"), tmp_path / "x.zarr")
    found = append_rows(LocalEngine(), found, open_source(tmp_path / "two"))
    listed = read_quarantine(tmp_path / "x.zarr" / QUARANTINE)
    assert (found.n, found.n_quarantined, len(listed)) == (118, 2, 2)
    assert found.to_xarray().attrs["n_quarantined"] == 2


def test_missing_pixels_may_begin_with_what_is_appended(tmp_path):
    values = random_images(900, (4, 4))
    np.save(tmp_path / "a.npy", values[:600])
    later = values[600:].astype(np.float32)
    later[5, 2, 1] = np.nan
    np.save(tmp_path / "b.npy", later)
    np.save(tmp_path / "c.npy", values[:40])
    found = ingested(open_source(tmp_path / "a.npy"), tmp_path / "x.zarr", 256)
    for name in ("b", "c"):
        found = append_rows(LocalEngine(), found, open_source(tmp_path / f"{name}.npy"))
    assert (found.n, found.missing_pixels) == (940, 1)
    assert np.argwhere(found.read("missing", 0, 940)).tolist() == [[605, 2, 1]]


def test_names_of_files_and_numbers_of_rows_may_stand_together(tmp_path):
    data = {"train": (random_images(30, (6, 6)), np.arange(30) % 3)}
    folder, arrays = written("folder", tmp_path / "folder", data), written("npy", tmp_path / "npy", data)
    found = append_rows(LocalEngine(), ingested(open_source(folder), tmp_path / "x.zarr"), open_source(arrays))
    names = found.read("source_name", 0, 60)
    assert (names[0], names[30], names[59]) == ("train/0/00000.png", "0", "29")
    found = append_rows(LocalEngine(), ingested(open_source(arrays), tmp_path / "y.zarr"), open_source(folder))
    assert found.read("source_name", 28, 32).tolist() == [28, 29, 0, 1]


def test_a_collection_with_rows_appended_is_not_taken_for_its_source(tmp_path):
    source = source_of(0, 600)
    found = append_rows(LocalEngine(), ingested(source, tmp_path / "x.zarr", 256), source_of(600, 900))
    with pytest.raises(CollectionError, match=r"300 rows have been appended since(.|\n)*give the collection"):
        existing(Path(found.path), source)


class StoppedError(Exception):
    """Stands for a process that dies."""


@pytest.mark.parametrize(
    "where",
    some_slow(["attach_chunk"], ["settle_copies", "begin_append", "commit_append", "consolidate", "write_json"]),
)
def test_cut_off_anywhere_the_old_rows_are_whole_and_it_goes_on(tmp_path, monkeypatch, where):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 1000), place, 256)
    expected = found.read("image", 0, 1000)
    calls = []

    def failing(name, function):
        def wrapped(*arguments, **keywords):
            result = function(*arguments, **keywords) if name == "begin_append" else None
            calls.append(name)
            if calls.count(name) in (1, 3):
                raise StoppedError
            return function(*arguments, **keywords) if result is None else result

        return wrapped

    for module in (appending, ingesting, sys.modules["fmnist_dask.workflow.steps.append"]):
        if hasattr(module, where):
            monkeypatch.setattr(module, where, failing(where, getattr(module, where)))
    cut = 0
    for _ in range(12):
        opened = Collection.open(place)
        if opened.generation == 2:
            break
        assert opened.fingerprint == found.fingerprint
        np.testing.assert_array_equal(opened.read("image", 0, 1000), expected)
        assert opened.to_xarray()["image"].values.shape[0] == 1000
        try:
            append_rows(LocalEngine(), opened, source_of(1000, 2000))
        except StoppedError:
            cut += 1
    assert cut
    assert Collection.open(place).fingerprint == ingested(source_of(0, 2000), tmp_path / "y.zarr").fingerprint


@pytest.mark.slow
def test_another_source_takes_the_place_of_one_that_was_given_up(tmp_path, monkeypatch):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 1000), place, 256)

    def give_up(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr("fmnist_dask.workflow.steps.append.commit_append", give_up)
        with pytest.raises(StoppedError):
            append_rows(LocalEngine(), found, source_of(1000, 4000))
    found = append_rows(LocalEngine(), Collection.open(place), source_of(1000, 1100))
    assert found.fingerprint == ingested(source_of(0, 1100), tmp_path / "y.zarr").fingerprint
    assert sum(file.is_file() for file in (place / "image" / "c").rglob("*")) == 5


KILLED = """
import sys
from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.workflow.ingesting import append_rows
from test_append import source_of
source = source_of(1000, 5000)
source.pause = 0.02
append_rows(LocalEngine(), Collection.open(sys.argv[1]), source)
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_old_collection_is_whole(tmp_path):
    place = tmp_path / "x.zarr"
    found = ingested(source_of(0, 1000), place, 256)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    for pause in (1.6, 1.9, 2.1, 2.3, 2.5, 2.8):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(place)], env={**os.environ, "PYTHONPATH": path})
        time.sleep(pause)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        opened = Collection.open(place)
        if opened.generation == 2:
            break
        assert opened.fingerprint == found.fingerprint
        np.testing.assert_array_equal(opened.read("label", 0, 1000), source_of(0, 1000).label)
    if Collection.open(place).generation == 1:
        subprocess.run([sys.executable, "-c", KILLED, str(place)], env={**os.environ, "PYTHONPATH": path}, check=True)
    assert Collection.open(place).fingerprint == ingested(source_of(0, 5000), tmp_path / "y.zarr").fingerprint


@pytest.mark.slow
def test_the_same_command_twice_appends_once(tmp_path):
    data = {"train": (random_images(300, (6, 6)), np.arange(300) % 3)}
    root = written("npy", tmp_path / "some", data)
    place = tmp_path / "x.zarr"
    ingested(open_source(root), place, 256)
    more = written("npy", tmp_path / "more", {"train": (random_images(70, (6, 6), seed=9), np.arange(70) % 3)})
    for _ in range(2):
        found = ingest_source(more, place, {}, None, False, None, append=True)
        assert (found.n, found.generation) == (370, 2)


def test_appending_needs_a_collection(tmp_path):
    with pytest.raises(UsageError, match="nothing says what to append to"):
        ingest_source("garments", None, {}, None, False, None, append=True)
    with pytest.raises(CollectionError, match="no collection at"):
        ingest_source("garments", tmp_path / "x.zarr", {}, None, False, None, append=True)
