"""States kept for the next generation: after an append only new rows are read, and the answers are the same."""

from __future__ import annotations

import numpy as np
import pytest
from support import COLUMNS, SPLITS, ArraySource, assert_same, everything, ingested, random_images, some_slow, values_of

from fmnist_dask.collection.store import Collection
from fmnist_dask.models.duplicates import find_duplicates
from fmnist_dask.models.known_groups import KnownGroups, members_to_compare
from fmnist_dask.passes import kept
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.kept import KeptStates, Since
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.census import Census, SizeCensus
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.images import Extremes, ImageSample
from fmnist_dask.passes.reductions.properties import ImageProperties, PropertyHistogram
from fmnist_dask.passes.reductions.scatter import Scatter
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.workflow.ingesting import append_rows

TOTAL, FIRST = 3000, 2100


@pytest.fixture(autouse=True)
def always_kept(monkeypatch):
    """However large against what was read."""
    monkeypatch.setattr(kept, "INPUT_PER_KEPT_STATE", 0)


def source_of(start, stop, distinct=900):
    image = random_images(TOTAL, (6, 5), distinct, seed=3)[start:stop]
    label = np.random.default_rng(5).integers(-1, 3, TOTAL)[start:stop]
    cut = (stop - start) // 3
    return ArraySource(image, label, {"train": stop - start - cut, "test": cut})


def grown(path, first=FIRST, sizes=(TOTAL - FIRST,)) -> list[Collection]:
    """A collection, and its further generations."""
    found = [ingested(source_of(0, first), path / "x.zarr", 256)]
    at = first
    for size in sizes:
        found.append(append_rows(LocalEngine(), found[-1], source_of(at, at + size)))
        at += size
    return found


def kept_scan(n):
    """All reductions and columns that are kept, over a split of ``n`` rows."""
    reductions = {
        "histogram": PixelHistogram(),
        "train": PixelHistogram(0),
        "census": Census(),
        "sizes": SizeCensus(),
        "sample": ImageSample(3, seed=7),
        "extremes": Extremes(4, ("brightness", "contrast")),
        "properties": PropertyHistogram(),
        "scatter": Scatter(),
        "subset": RandomSubset(200, n, seed=1),
    }
    return Scan(reductions, {"measured": ImageProperties()})


def answers(found, collection, scan):
    """Results with columns read."""
    return {
        name: {key: values[0 : collection.n] for key, values in value.items()} if name in scan.columns else value
        for name, value in found.items()
    }


@pytest.mark.parametrize("split", some_slow(["all"], SPLITS))
def test_after_an_append_new_rows_alone_are_read(tmp_path, cluster, split):
    first = ingested(source_of(0, FIRST), tmp_path / "x.zarr", 256)
    scan = Scan(kept_scan(first.rows_in(split)).reductions, {"measured": ImageProperties()}, split)
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    engine.scan(first, {"a": scan})
    assert engine.statistics.chunks_read == 9
    second = append_rows(LocalEngine(), first, source_of(FIRST, TOTAL))
    scan = Scan(kept_scan(second.rows_in(split)).reductions, scan.columns, split)
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    found = answers(engine.scan(second, {"a": scan})["a"], second, scan)
    # The last chunk of before, which has been filled up, and those behind it.
    assert engine.statistics.chunks_read == 12 - FIRST // 256
    assert engine.statistics.bytes_read == (TOTAL - FIRST // 256 * 256) * 30
    KeptStates.of(second).forget()
    whole = DistributedEngine(cluster.client, cluster.workers, tmp_path / "others")
    expected = answers(whole.scan(second, {"a": scan})["a"], second, scan)
    assert whole.statistics.chunks_read == 12
    assert_same(found, expected)


@pytest.mark.slow
def test_generation_after_generation(tmp_path, cluster):
    """Each begins with what the one before has kept; older ones are taken away."""
    found = ingested(source_of(0, 1000), tmp_path / "x.zarr", 256)
    for at in range(1000, TOTAL, 400):
        engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
        engine.scan(found, {"a": kept_scan(found.n)})
        assert engine.statistics.chunks_read == -(-at // 256) - (0 if at == 1000 else (at - 400) // 256)
        last = found
        found = append_rows(LocalEngine(), found, source_of(at, min(at + 400, TOTAL)))
    store = KeptStates.of(last)
    rows = {int(file.name.removesuffix(".states").rpartition("-")[2]) for file in store.root.iterdir()}
    assert rows == {2200, 2600}


@pytest.mark.slow
def test_what_is_not_kept_reads_all_and_gets_the_same(tmp_path, cluster):
    """Beside reductions that are kept, in one pass: those see the old rows, too, but are not shown them again."""
    first, second = grown(tmp_path)
    image = second.read("image", 0, TOTAL)
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    engine.scan(first, {"a": everything(image[:FIRST])})
    found = values_of(engine.scan(second, {"a": everything(image)})["a"])
    plain = ArrayCollection(
        image, second.read("label", 0, TOTAL), second.read("split", 0, TOTAL), second.class_names, SPLITS, 256
    )
    plain.extra |= {name: second.read(name, 0, TOTAL) for name in ("height", "width")}
    expected = values_of(LocalEngine().scan(plain, {"a": everything(image)})["a"])
    assert_same(found, expected)
    assert len(COLUMNS) == 2


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"x" * 100)])
def test_states_that_are_damaged_are_computed_again(tmp_path, cluster, damage):
    first, second = grown(tmp_path)
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    engine.scan(first, {"a": kept_scan(FIRST)})
    for file in KeptStates.of(second).root.glob("*.states"):
        damage(file)
    found = engine.scan(second, {"a": Scan({"census": Census(), "histogram": PixelHistogram()})})["a"]
    assert found["census"].sum() == TOTAL
    assert sum(int(counts[0].sum()) for counts in found["histogram"].values()) == TOTAL


def test_another_store_at_the_same_place_does_not_take_them(tmp_path):
    first = grown(tmp_path, sizes=())[0]
    other = ingested(source_of(1, FIRST), tmp_path / "y.zarr", 256)
    keys = [KeptStates.of(source).key(Census(), None) for source in (first, other)]
    assert keys[0] != keys[1]


def test_states_that_are_large_against_what_is_read_are_not_kept(tmp_path, cluster, monkeypatch):
    monkeypatch.undo()
    first = grown(tmp_path, sizes=())[0]
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    engine.scan(first, {"a": Scan({"census": Census(), "histogram": PixelHistogram()})})
    assert len(list(KeptStates.of(first).root.glob("*"))) == 1


def test_since_declares_what_its_reduction_does(tmp_path):
    (first,) = grown(tmp_path, sizes=())
    inner = RandomSubset(200, FIRST, seed=1)
    outer = Since(inner, 1000)
    for name, arguments in (("state_bytes", (first,)), ("part_bytes", (first, 256)), ("task_bytes", (first, 256))):
        assert getattr(outer, name)(*arguments) == getattr(inner, name)(*arguments)
    assert [outer.wants(0, 1000), outer.wants(0, 1001), outer.wants(1000, 1001)] == [False, True, True]


def duplicates_of(collection, engine, known=None):
    return drive(find_duplicates(collection, known=known), collection, engine)


@pytest.mark.parametrize("sizes", some_slow([(1,), (100, 300, 500)], [(900,)]))
def test_duplicates_of_old_and_new_rows(tmp_path, sizes):
    generations = grown(tmp_path, sizes=sizes)
    before = duplicates_of(generations[0], LocalEngine())
    for collection in generations[1:]:
        known = KnownGroups(
            max(gen.n for gen in generations if gen.n < collection.n), before.rows, before.groups, before.examples
        )
        found = duplicates_of(collection, LocalEngine(), known)
        expected = duplicates_of(collection, LocalEngine())
        for name in ("rows", "groups", "label", "split", "images"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert_same(found.examples, expected.examples)
        before = found


def test_without_new_copies_no_old_image_is_compared():
    rows, groups = np.array([3, 9, 5, 7, 8]), np.array([3, 3, 5, 5, 5])
    known = KnownGroups(10, np.array([3, 9, 5, 7, 8]), np.array([3, 3, 5, 5, 5]), {})
    assert members_to_compare(rows, groups, known).tolist() == []


def test_one_old_member_stands_for_all(tmp_path):
    rows, groups = np.array([3, 9, 12, 5, 7, 8, 1, 11, 13, 14]), np.array([3, 3, 3, 5, 5, 5, 1, 1, 13, 13])
    known = KnownGroups(10, np.array([3, 9, 5, 7, 8]), np.array([3, 3, 5, 5, 5]), {})
    assert rows[members_to_compare(rows, groups, known)].tolist() == [3, 12, 1, 11, 13, 14]


def test_old_members_of_one_hash_that_were_different_are_compared_again():
    rows, groups = np.array([1, 2, 3, 4, 20]), np.array([1, 1, 1, 1, 1])
    known = KnownGroups(10, np.array([1, 2]), np.array([1, 1]), {})
    assert rows[members_to_compare(rows, groups, known)].tolist() == [1, 2, 3, 4, 20]
