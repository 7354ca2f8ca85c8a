"""Ingest: any order, any chunks, any kill, the same store."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLASSES, ArraySource, array_source, random_images, stored, write_store

from fmnist_dask.collection import planning, writer
from fmnist_dask.collection.layout import INGEST, MANIFEST, PARTS
from fmnist_dask.collection.parts import write_part
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import begin, commit
from fmnist_dask.errors import CollectionError, RunError
from fmnist_dask.kernels.hashing import content_hashes

N = 1500
ARRAYS = ("image", "label", "split", "height", "width", "source_name", "content_hash")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of :func:`array_source` in one chunk."""
    return stored(array_source(N), tmp_path_factory.mktemp("whole") / "x.zarr", 2048)


def assert_equal(found: Collection, expected: Collection) -> None:
    assert found.fingerprint == expected.fingerprint
    for name in ARRAYS:
        np.testing.assert_array_equal(found.read(name, 0, N), expected.read(name, 0, N))


def chunks_of(part) -> range:
    return range(part.first_chunk, part.stop_chunk)


def test_the_arrays_are_the_source(whole):
    source = array_source(N)
    assert (whole.read("image", 0, N) == source.image).all()
    assert (whole.read("label", 0, N) == source.label).all()
    assert whole.read("split", 0, N).tolist() == [0] * 1000 + [1] * 500
    assert whole.read("source_name", 0, N).tolist() == [*range(1000), *range(500)]
    assert set(whole.read("height", 0, N).tolist()) == {6}
    assert set(whole.read("width", 0, N).tolist()) == {5}
    assert (whole.read("content_hash", 0, N) == content_hashes(source.image)).all()
    assert whole.splits == {"train": 1000, "test": 500}
    assert (whole.n, whole.image_shape, whole.class_names) == (N, (6, 5), CLASSES)


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("chunk_rows", [256, 768, 1024])
def test_any_chunks_give_the_same_collection(tmp_path, whole, chunk_rows, seekable):
    found = stored(array_source(N, seekable), tmp_path / "x.zarr", chunk_rows)
    assert found.chunk_rows == chunk_rows
    assert found.n_chunks == -(-N // chunk_rows)
    assert_equal(found, whole)


def test_small_batches_of_a_source_give_the_same_collection(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(planning, "BATCH_BYTES", 30 * 77)
    assert_equal(stored(array_source(N, seekable=False), tmp_path / "x.zarr"), whole)


@pytest.mark.parametrize("seed", range(3))
def test_parts_may_be_written_in_any_order_and_twice(tmp_path, whole, seed):
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    parts = begin(plan)
    order = np.random.default_rng(seed).permutation(len(parts))
    for number in [*order, *order[:2]]:
        assert write_part(plan, parts[number])["rows"] in (256, 220)
    assert_equal(commit(plan), whole)


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.booleans()), min_size=1, max_size=4), st.sampled_from([256, 512, 2048])
)
def test_a_plan_covers_every_chunk_once(partitions, chunk_rows):
    source = ArraySource(random_images(1), None, {str(i): rows for i, (rows, _) in enumerate(partitions)})
    source.partitions = tuple(
        type(part)(part.split, part.rows, seekable)
        for part, (_, seekable) in zip(source.partitions, partitions, strict=True)
    )
    parts = plan_ingest(source, "x.zarr", chunk_rows).parts
    chunks = [chunk for part in parts for chunk in chunks_of(part)]
    assert chunks == list(range(-(-source.n // chunk_rows)))
    assert [part.index for part in parts] == list(range(len(parts)))
    # A stream is entered by one part only, and by the one before where a chunk begins there.
    edges = [0, *itertools.accumulate(rows for rows, _ in partitions)]
    for (low, high), (_, seekable) in zip(itertools.pairwise(edges), partitions, strict=True):
        begun = [
            part
            for part in parts
            for chunk in range(part.first_chunk, part.stop_chunk)
            if low <= chunk * chunk_rows < high
        ]
        assert seekable or len({part.index for part in begun}) <= 1


def test_nothing_is_left_of_the_ingest(whole):
    names = {item.name for item in Path(whole.path).iterdir()}
    assert names == {*ARRAYS, "zarr.json", MANIFEST, "digests-1.bin"}


def test_the_manifest_says_what_was_committed(whole):
    manifest = json.loads((Path(whole.path) / MANIFEST).read_text())
    assert manifest["n"] == N
    assert manifest["generation"] == 1
    assert manifest["source"]["fingerprint"] == array_source(N).fingerprint
    assert manifest["splits"] == {"train": 1000, "test": 500}
    assert len(manifest["fingerprint"]) == 32


def test_the_fingerprint_changes_with_any_content(tmp_path, whole):
    def fingerprint(name, change):
        source = array_source(N)
        change(source)
        return stored(source, tmp_path / f"{name}.zarr").fingerprint

    def pixel(source):
        source.image = source.image.copy()
        source.image[1234, 5, 4] ^= 1

    def label(source):
        source.label = source.label.copy()
        source.label[700] += 1

    def split(source):
        source.partitions = tuple(type(p)(p.split, rows) for p, rows in zip(source.partitions, (999, 501), strict=True))

    def classes(source):
        source.class_names = ("a", "b", "c")

    found = [fingerprint(change.__name__, change) for change in (pixel, label, split, classes)]
    assert len({whole.fingerprint, *found}) == 5


# Resuming


def test_an_ingest_goes_on_with_the_parts_that_are_missing(tmp_path, whole):
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    parts = begin(plan)
    for number in (4, 1):
        write_part(plan, parts[number])
    again = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    assert [part.index for part in begin(again)] == [0, 2, 3, 5]
    assert_equal(write_store(again), whole)


@pytest.mark.parametrize("missing", [0, 3, 5])
def test_commit_refuses_gaps(tmp_path, missing):
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    for part in begin(plan):
        if part.index != missing:
            write_part(plan, part)
    with pytest.raises(CollectionError, match=rf"lacks 1 of 6 parts, the first is {missing}(.|\n)*ingest again"):
        commit(plan)
    assert not (tmp_path / "x.zarr" / MANIFEST).exists()


def test_a_store_without_manifest_is_incomplete(tmp_path):
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    write_part(plan, begin(plan)[0])
    with pytest.raises(CollectionError, match=r"is incomplete: its ingest has not ended(.|\n)*remedy: run the same"):
        Collection.open(plan.path)


STEPS = ("write_json", "_create_arrays", "create_array", "make_directory")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_the_store_is_laid_out_is_mended_by_the_next_ingest(tmp_path, whole, monkeypatch, step, when):
    import zarr

    owner = zarr.Group if step == "create_array" else writer
    real = getattr(owner, step)

    def killed(*args, **options):
        if when == "after":
            real(*args, **options)
        raise KeyboardInterrupt

    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            begin(plan)
    assert_equal(write_store(plan), whole)


def test_half_written_files_of_a_killed_process_are_no_obstacle(tmp_path, whole):
    place = tmp_path / "x.zarr"
    place.mkdir()
    (place / f".{INGEST}.123.pending").write_text('{"sour')
    (place / ".lease").write_text("{}")
    assert_equal(stored(array_source(N), place), whole)


def test_a_kill_while_an_older_ingest_is_cleared_away_loses_nothing(tmp_path, whole, monkeypatch):
    other = plan_ingest(array_source(N, name="other"), tmp_path / "x.zarr", 256)
    for part in begin(other):
        write_part(other, part)
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    real = writer.remove_tree
    removed = []

    def killed(path):
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(path)
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "remove_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(plan)
    # The older one finds its arrays gone, and writes them again.
    assert_equal(write_store(other), whole)


@pytest.mark.parametrize("change", ["source", "chunks"])
def test_an_unfinished_ingest_of_something_else_is_begun_anew(tmp_path, whole, change):
    other = ArraySource(np.zeros((N, 6, 5), np.uint8), None, {"all": N}, name="other")
    source = other if change == "source" else array_source(N)
    plan = plan_ingest(source, tmp_path / "x.zarr", 512)
    for part in begin(plan):
        write_part(plan, part)
    plan = plan_ingest(array_source(N), tmp_path / "x.zarr", 256)
    assert len(begin(plan)) == 6
    assert_equal(write_store(plan), whole)


INGEST_SLOWLY = """
import sys
sys.path.append(sys.argv[1])
from support import array_source, plan_ingest, write_store
write_store(plan_ingest(array_source(int(sys.argv[3]), sys.argv[4] == "True", pause=0.15), sys.argv[2], 256))
"""


def test_an_ingest_that_was_killed_ends_with_the_same_collection(tmp_path, whole):
    place = tmp_path / "x.zarr"
    here = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", INGEST_SLOWLY, here, str(place), str(N), "True"]) as process:
        while len(list(place.glob(f"{PARTS}/*.json"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    with pytest.raises(CollectionError, match="incomplete"):
        Collection.open(place)
    plan = plan_ingest(array_source(N), place, 256)
    assert 0 < len(begin(plan)) <= 4
    assert_equal(write_store(plan), whole)


# Refusals


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CollectionError, match=rf"{tmp_path} exists and is no collection(.|\n)*choose another path"):
        begin(plan_ingest(array_source(N), tmp_path))
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["arrays", "other"])
def test_a_committed_collection_is_not_written_over(tmp_path, name):
    first = stored(array_source(N), tmp_path / "x.zarr")
    other = ArraySource(np.zeros((9, 6, 5), np.uint8), None, {"all": 9}, name=name)
    with pytest.raises(CollectionError, match=r"holds another collection already \(arrays\)(.|\n)*another path"):
        begin(plan_ingest(other, tmp_path / "x.zarr"))
    assert Collection.open(tmp_path / "x.zarr") == first


def test_a_place_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=rf"cannot create the directory {tmp_path}/file(.|\n)*--store"):
        begin(plan_ingest(array_source(N), tmp_path / "file" / "x.zarr"))


@pytest.mark.parametrize(("rows", "word"), [(N + 40, "fewer"), (N - 40, "more")])
def test_a_source_that_breaks_its_word_on_its_rows_is_refused(tmp_path, rows, word):
    class Liar(ArraySource):
        def read(self, partition, start, stop, batch_rows):
            yield from super().read(partition, start, len(self.image), batch_rows)

    source = Liar(random_images(N), None, {"all": N})
    source.partitions = (type(source.partitions[0])("all", rows, False),)
    plan = plan_ingest(source, tmp_path / "x.zarr", 256)
    with pytest.raises(CollectionError, match=rf"arrays yielded {word} rows than it announced \({rows:,}\)"):
        write_part(plan, begin(plan)[0])


@pytest.mark.data
def test_fashion_mnist(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FMNIST_DASK_DATA", str(real_data("fashion-mnist").parent))
    source = open_source("fashion-mnist")
    first, second = (stored(source, tmp_path / f"{rows}.zarr", rows) for rows in (None, 9984))
    assert first.n == 70_000
    assert first.splits == {"train": 60_000, "test": 10_000}
    assert first.chunk_rows == 21_504
    assert first.fingerprint == second.fingerprint
    assert np.bincount(first.read("label", 0, 70_000)).tolist() == [7000] * 10
    # Values of the first image of the published files.
    assert first.read("image", 0, 1).sum() == 76247
    assert first.read("label", 0, 5).tolist() == [9, 0, 0, 3, 0]
