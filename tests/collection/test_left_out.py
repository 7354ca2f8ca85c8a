"""Rows that are left out of a collection: what cannot be read, and copies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from source_files import write_csv, written
from support import ArraySource, ingested, random_images, some_slow, write_store

from fmnist_dask.collection import packing
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, SourceError
from fmnist_dask.workflow.steps.ingest import existing

N = 2000


class Damaged(ArraySource):
    """Images of which some cannot be read, by their row."""

    bad: tuple[int, ...] = ()

    def read(self, partition, start, stop, batch_rows):
        offset = sum(part.rows for part in self.partitions[:partition])
        at = start
        for rows in super().read(partition, start, stop, batch_rows):
            inside = {row: f"row {row} is bad" for row in range(offset + at, offset + at + len(rows.image))}
            rows.rejected = {row - offset - at: why for row, why in inside.items() if row in self.bad}
            at += len(rows.image)
            yield rows


def damaged(bad, seekable=True, distinct=None):
    label = np.random.default_rng(5).integers(-1, 3, N)
    source = Damaged(random_images(N, (6, 5), distinct, 3), label, {"train": 1300, "test": 700}, seekable)
    source.bad = tuple(bad)
    return source


BAD = {
    "one": [700],
    "ends": [0, N - 1],
    "whole chunks": range(256, 900),
    "every other": range(0, N, 2),
    "a whole split": range(1300, N),
    "all but one": [row for row in range(N) if row != 1000],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("chunk_rows", some_slow([256], [1024]))
def test_what_stays_is_what_could_be_read(tmp_path, bad, seekable, chunk_rows):
    source = damaged(bad, seekable)
    found = ingested(source, tmp_path / "x.zarr", chunk_rows)
    kept = np.setdiff1d(np.arange(N), list(bad))
    assert found.n == len(kept)
    assert found.n_quarantined == len(list(bad))
    assert sum(found.splits.values()) == found.n
    np.testing.assert_array_equal(found.read("image", 0, N), source.image[kept])
    np.testing.assert_array_equal(found.read("label", 0, N), source.label[kept])
    np.testing.assert_array_equal(found.read("split", 0, N), (kept >= 1300).astype(np.int8))
    listed = read_quarantine(tmp_path / "x.zarr" / QUARANTINE)
    assert listed["reason"].tolist() == [f"row {row} is bad" for row in sorted(bad)]
    assert listed["split"].tolist() == ["train" if row < 1300 else "test" for row in sorted(bad)]
    # The same as if it had never been there.
    splits = {"train": int((kept < 1300).sum()), "test": int((kept >= 1300).sum())}
    clean = ArraySource(source.image[kept], source.label[kept], splits)
    assert ingested(clean, tmp_path / "y.zarr", 512).fingerprint == found.fingerprint
    assert existing(tmp_path / "x.zarr", source) is not None
    assert found.to_xarray().sizes["sample"] == found.n
    assert not (tmp_path / "x.zarr" / "ingest-parts").exists()


def test_all_bad_is_an_error_that_says_why(tmp_path):
    with pytest.raises(SourceError, match=r"none of the 2,000 images .* can be read: row 0 is bad \(1\)"):
        ingested(damaged(range(N)), tmp_path / "x.zarr")
    with pytest.raises(CollectionError, match="incomplete"):
        Collection.open(tmp_path / "x.zarr")


def brute_force(image, label, split, bad=()):
    """Rows that stay: the first of each (pixels, label, split)."""
    seen, kept = set(), []
    for row in range(len(image)):
        key = (image[row].tobytes(), label[row], split[row])
        if row in bad or key in seen:
            continue
        seen.add(key)
        kept.append(row)
    return np.array(kept)


@pytest.mark.parametrize("bad", [[], [3, 1500], range(100, 400)])
@pytest.mark.parametrize("chunk_rows", [256, 1024])
def test_the_first_of_each_group_within_a_split_and_label_stays(tmp_path, bad, chunk_rows):
    source = damaged(bad, distinct=300)
    source.drop_duplicates = True
    found = ingested(source, tmp_path / "x.zarr", chunk_rows)
    kept = brute_force(source.image, source.label, np.arange(N) >= 1300, set(bad))
    np.testing.assert_array_equal(found.read("image", 0, N), source.image[kept])
    np.testing.assert_array_equal(found.read("label", 0, N), source.label[kept])
    assert found.n_quarantined == len(list(bad))
    assert found.dropped_duplicates == {
        name: int(sum(1 for row in rows if row not in set(bad)) - sum(1 for row in rows if row in set(kept.tolist())))
        for name, rows in (("train", range(1300)), ("test", range(1300, N)))
    }


def test_dropping_duplicates_is_another_source(tmp_path):
    """Its collection has another name, and one does not pass for the other."""
    source = damaged([], distinct=300)
    ingested(source, tmp_path / "x.zarr")
    other = damaged([], distinct=300)
    other.drop_duplicates = True
    assert other.fingerprint != source.fingerprint
    with pytest.raises(CollectionError, match="holds a collection made from"):
        existing(tmp_path / "x.zarr", other)


@pytest.mark.slow
def test_packing_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Each chunk fails once, and so does the move of each array."""
    source = damaged(range(0, N, 3), distinct=300)
    source.drop_duplicates = True
    expected = ingested(source, tmp_path / "whole.zarr")
    chunk, rename, failures = packing.pack_chunk, type(tmp_path).rename, []

    def once(key):
        if key not in failures:
            failures.append(key)
            raise KeyboardInterrupt

    def failing(packed, number):
        once(number)
        return chunk(packed, number)

    def failing_move(path, place):
        once(path.name)
        return rename(path, place)

    monkeypatch.setattr("fmnist_dask.workflow.steps.ingest.pack_chunk", failing)
    monkeypatch.setattr(type(tmp_path), "rename", failing_move)
    for _ in range(60):
        try:
            found = ingested(source, tmp_path / "x.zarr")
            break
        except KeyboardInterrupt:
            with pytest.raises(CollectionError, match="incomplete"):
                Collection.open(tmp_path / "x.zarr")
    assert len(failures) > 8
    assert found.fingerprint == expected.fingerprint
    for name in ("image", "label", "source_name", "content_hash"):
        np.testing.assert_array_equal(found.read(name, 0, N), expected.read(name, 0, N))


KILLED = """
import sys
from test_left_out import damaged, ingested
source = damaged(range(0, 2000, 7), distinct=300)
source.drop_duplicates = True
source.pause = 0.002
ingested(source, sys.argv[1])
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path):
    place = tmp_path / "x.zarr"
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    kills = 0
    for pause in (1.5, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(place)], env={**os.environ, "PYTHONPATH": path})
        time.sleep(pause)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run([sys.executable, "-c", KILLED, str(place)], env={**os.environ, "PYTHONPATH": path}, check=False)
    source = damaged(range(0, N, 7), distinct=300)
    source.drop_duplicates = True
    assert kills
    assert Collection.open(place).fingerprint == ingested(source, tmp_path / "y.zarr").fingerprint


def test_quarantined_files_are_named_with_their_reasons(tmp_path):
    splits = {"train": (random_images(60, (6, 6)), np.arange(60) % 3)}
    root = written("folder", tmp_path / "some", splits)
    files = sorted(root.rglob("*.png"))
    files[3].write_bytes(b"")
    files[20].write_bytes(files[20].read_bytes()[:50])
    files[40].write_bytes(b"GIF89a")
    found = ingested(open_source(root), tmp_path / "x.zarr")
    listed = read_quarantine(tmp_path / "x.zarr" / QUARANTINE)
    assert (found.n, found.n_quarantined) == (57, 3)
    assert listed["source_name"].tolist() == [str(files[at].relative_to(root)) for at in (3, 20, 40)]
    assert listed["reason"][0] == "the file is empty"
    assert set(listed["split"]) == {"train"}


def test_whole_files_that_cannot_be_read_are_quarantined(tmp_path):
    root = tmp_path / "some"
    root.mkdir()
    write_csv(root, {"train": (random_images(60, (6, 6)), np.arange(60) % 3)})
    (root / "test.csv").write_bytes(b"")
    found = ingested(open_source(root), tmp_path / "x.zarr")
    listed = read_quarantine(tmp_path / "x.zarr" / QUARANTINE)
    assert (found.n, found.n_quarantined, found.splits) == (60, 1, {"train": 60})
    assert listed.values.tolist() == [["test.csv", "", "the file is empty"]]


def test_missing_pixels_come_from_empty_values_and_nan(tmp_path):
    (tmp_path / "some.csv").write_text("label,a,b,c,d\n1,0,,255,3\n0,1,NaN,3,4\n2,1,2,3,4\n2,nan,2.5,3,4\n")
    found = ingested(open_source(tmp_path / "some.csv"), tmp_path / "x.zarr")
    assert (found.n, found.n_quarantined, found.missing_pixels) == (3, 1, 2)
    np.testing.assert_array_equal(
        found.read("missing", 0, 3), np.array([[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool).reshape(3, 2, 2)
    )
    assert found.to_xarray()["missing"].dims == ("sample", "y", "x")
    np.testing.assert_array_equal(found.read("image", 0, 1)[0], [[0, 0], [255, 3]])


def test_where_nothing_is_missing_there_is_no_such_array(tmp_path):
    (tmp_path / "some.csv").write_text("label,a,b,c,d\n1,0,3,255,3\n0,1,9,3,4\n")
    found = ingested(open_source(tmp_path / "some.csv"), tmp_path / "x.zarr")
    assert found.missing_pixels == 0
    assert "missing" not in found.to_xarray()


def test_missing_pixels_of_numpy_arrays(tmp_path):
    values = random_images(300, (4, 4)).astype(np.float32)
    values[7, 1, 2] = np.nan
    values[9] = -1
    np.save(tmp_path / "x.npy", values)
    found = ingested(open_source(tmp_path / "x.npy"), tmp_path / "x.zarr")
    assert (found.n, found.n_quarantined, found.missing_pixels) == (299, 1, 1)
    assert np.argwhere(found.read("missing", 0, 299)).tolist() == [[7, 1, 2]]


@pytest.mark.slow
def test_a_picture_too_large_for_its_size_is_never_decoded(tmp_path):
    """A PNG of 20,000 × 20,000 pixels in 50 kB is quarantined from its header."""
    root = tmp_path / "some"
    root.mkdir()
    for name in ("a", "b"):
        Image.fromarray(random_images(1, (6, 6))[0]).save(root / f"{name}.png")
    bomb = Image.new("L", (20_000, 20_000))
    bomb.save(root / "bomb.png")
    found = ingested(open_source(root, {"size": "6x6"}), tmp_path / "x.zarr")
    assert (found.n, found.n_quarantined) == (2, 1)
    assert "the limit is 67,108,864 in all" in read_quarantine(tmp_path / "x.zarr" / QUARANTINE)["reason"][0]


def test_the_two_stores_written_in_this_process_are_the_same(tmp_path):
    """What other tests use to write stores leaves nothing out that a whole ingest would not."""
    source = damaged([])
    assert write_store(plan_ingest(source, tmp_path / "x.zarr", 256)).fingerprint == (
        ingested(source, tmp_path / "y.zarr").fingerprint
    )
