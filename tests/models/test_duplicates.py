"""Duplicates against a dictionary of bytes."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CLASSES, collection_of, content_groups, image_reads, rechunked

from fmnist_dask.models import duplicates
from fmnist_dask.models.duplicates import find_duplicates
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive, split_code
from fmnist_dask.passes.reductions.verify import GROUP_BYTES


def found_in(source, split="all", n_examples=24, engine=None):
    return drive(find_duplicates(source, split, split_code(source, split), n_examples), source, engine)


def brute_force(source, split="all"):
    """{first row: rows} of each group of two or more equal images."""
    code = split_code(source, split)
    groups = content_groups(source.image).values()
    inside = [[row for row in rows if code is None or source.split[row] == code] for rows in groups]
    return {rows[0]: rows for rows in inside if len(rows) > 1}


def groups_of(found):
    groups: dict[int, list[int]] = {}
    for row, group in zip(found.rows.tolist(), found.groups.tolist(), strict=True):
        groups.setdefault(group, []).append(row)
    return groups


def weakly_hashed(source, values: int, seed: int = 0):
    """Store hashes of few different values: equal images agree, many others agree too."""
    number = {image: at for at, image in enumerate(content_groups(source.image))}
    order = np.array([number[image.tobytes()] for image in source.image])
    hashes = np.random.default_rng(seed).integers(0, values, (len(number), 2), dtype=np.uint64)[order]
    source.extra["content_hash"] = hashes
    return source


drawn = {
    "n": st.integers(1, 70),
    "distinct": st.integers(1, 25),
    "chunk_rows": st.integers(1, 80),
    "hashed": st.booleans(),
    "labelled": st.booleans(),
    "splits": st.sampled_from([("all",), ("train", "test"), ("a", "b", "c")]),
    "seed": st.integers(0, 99),
}


@settings(max_examples=60)
@given(st.fixed_dictionaries(drawn))
def test_groups_equal_brute_force(options):
    source = collection_of(**options)
    found = found_in(source)
    assert groups_of(found) == brute_force(source)
    assert (found.label == source.label[found.rows]).all()
    assert (found.split == source.split[found.rows]).all()
    assert found.n == source.n


@given(st.fixed_dictionaries(drawn))
def test_counts_equal_brute_force(options):
    source = collection_of(**options)
    found = found_in(source)
    groups = list(brute_force(source).values())
    split_of = [source.split_names[code] for code in source.split]
    assert found.n_groups == len(groups)
    assert found.n_unique == len(content_groups(source.image))
    surplus = Counter()
    leaked = Counter()
    for rows in groups:
        counts = Counter(split_of[row] for row in rows)
        surplus += Counter({name: count - 1 for name, count in counts.items()})
        leaked += counts if len(counts) > 1 else Counter()
    assert found.surplus() == {name: surplus[name] for name in source.split_names}
    assert found.leaked() == {name: leaked[name] for name in source.split_names}
    crossing = [rows[0] for rows in groups if len({split_of[row] for row in rows}) > 1]
    assert found.crossing_groups().tolist() == sorted(crossing)
    known = [{int(source.label[row]) for row in rows} - {-1} for rows in groups]
    conflicting = [rows[0] for rows, labels in zip(groups, known, strict=True) if len(labels) > 1]
    assert found.conflicting_groups().tolist() == sorted(conflicting)


@given(st.fixed_dictionaries(drawn))
def test_distinct_images_of_each_split_and_class(options):
    source = collection_of(**options)
    found = found_in(source)
    for code in range(len(source.split_names)):
        for label in range(-1, len(source.class_names)):
            cell = source.image[(source.split == code) & (source.label == label)]
            assert found.images[code, label + 1] == len(cell)
            assert found.distinct()[code, label + 1] == len(content_groups(cell))


@given(st.fixed_dictionaries({**drawn, "splits": st.just(("train", "test"))}), st.sampled_from(["train", "test"]))
def test_one_split_alone(options, split):
    source = collection_of(**options)
    found = found_in(source, split)
    assert groups_of(found) == brute_force(source, split)
    assert found.n == (source.split == split_code(source, split)).sum()
    assert found.leaked() == {"train": 0, "test": 0}


@settings(max_examples=60)
@given(st.fixed_dictionaries({**drawn, "hashed": st.just(False)}), st.integers(1, 3), st.sampled_from(["all", "train"]))
def test_bytes_decide_where_hashes_collide(options, values, split):
    source = weakly_hashed(collection_of(**{**options, "splits": ("train", "test")}), values)
    assert groups_of(found_in(source, split)) == brute_force(source, split)


@pytest.mark.parametrize("split", ["all", "test"])
def test_images_that_differ_under_one_hash_are_no_duplicates(split):
    source = weakly_hashed(collection_of(40), 1)
    found = found_in(source, split)
    assert (len(found.rows), found.n_groups) == (0, 0)
    assert found.n_unique == found.n == (40 if split == "all" else (source.split == 1).sum())


def test_a_group_of_colliding_hashes_falls_apart_into_groups_named_by_their_first_rows():
    image = np.zeros((6, 1, 1), np.uint8)
    image[[1, 4]], image[5] = 1, 2
    source = weakly_hashed(ArrayCollection(image, chunk_rows=2), 1)
    assert groups_of(found_in(source)) == {0: [0, 2, 3], 1: [1, 4]}


@pytest.mark.parametrize("values", [None, 2])
@pytest.mark.parametrize("verify_bytes", [1, 3 * GROUP_BYTES + 1, 20 * GROUP_BYTES])
def test_more_groups_than_one_verification_holds(monkeypatch, values, verify_bytes):
    source = collection_of(80, distinct=30, hashed=True)
    source = source if values is None else weakly_hashed(source, values)
    expected = found_in(source)
    monkeypatch.setattr(duplicates, "VERIFY_BYTES", verify_bytes)
    monkeypatch.setattr(duplicates, "FETCH_BYTES", verify_bytes)
    engine = LocalEngine()
    found = found_in(source, engine=engine)
    assert groups_of(found) == groups_of(expected) == brute_force(source)
    assert found.images.tolist() == expected.images.tolist()
    assert found.examples["row"].tolist() == expected.examples["row"].tolist()
    if values is None:
        assert engine.statistics.passes == -(-found.n_groups // max(1, verify_bytes // GROUP_BYTES))


@pytest.mark.parametrize("partition_rows", [1, 13, 79, 80])
@pytest.mark.parametrize("split", ["all", "train"])
def test_hashes_in_several_partitions(monkeypatch, partition_rows, split):
    source = collection_of(80, distinct=30, hashed=True)
    monkeypatch.setattr(duplicates, "PARTITION_ROWS", partition_rows)
    engine = LocalEngine()
    assert groups_of(found_in(source, split, engine=engine)) == brute_force(source, split)
    assert engine.statistics.tasks >= -(-80 // partition_rows)


def test_a_hundred_thousand_equal_images_are_one_group_and_quickly_so():
    source = ArrayCollection(np.full((100_000, 2, 2), 7, np.uint8), chunk_rows=8192)
    started = time.perf_counter()
    found = found_in(source)
    assert time.perf_counter() - started < 10
    assert (found.n_groups, found.n_unique, len(found.rows)) == (1, 1, 100_000)
    assert found.surplus() == {"all": 99_999}


@pytest.mark.parametrize(("hashed", "passes"), [(True, 1), (False, 2)])
def test_passes_needed(hashed, passes):
    source = collection_of(60, distinct=20, hashed=hashed, chunk_rows=9)
    engine = LocalEngine()
    found_in(source, engine=engine)
    assert engine.statistics.passes == passes
    assert len(image_reads(source)) == passes * 7


@given(st.integers(1, 80), st.integers(1, 9))
def test_the_answer_does_not_depend_on_chunks_or_tasks(chunk_rows, n_tasks):
    whole = collection_of(70, distinct=20, chunk_rows=70)
    one, other = found_in(whole), found_in(rechunked(whole, chunk_rows), engine=LocalEngine(n_tasks))
    for name in ("rows", "groups", "label", "split", "images"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert (one.examples["row"] == other.examples["row"]).all()
    assert (one.examples["image"] == other.examples["image"]).all()


@pytest.mark.parametrize("n_examples", [0, 2, 6, 24])
def test_examples_show_members_of_groups(n_examples):
    source = collection_of(120, distinct=30)
    found = found_in(source, n_examples=n_examples)
    rows = found.examples["row"].tolist()
    assert len(rows) == n_examples
    assert set(rows) <= set(found.rows.tolist())
    assert (found.examples["image"] == source.image[rows]).all()
    shown = Counter(found.groups[found.rows.tolist().index(row)] for row in rows)
    assert set(shown.values()) <= {2}


def test_examples_show_a_conflict_and_a_leak_before_plain_copies():
    image = np.arange(20, dtype=np.uint8).repeat(2).reshape(40, 1, 1)
    label, split = np.zeros(40), np.zeros(40)
    label[31], split[35] = 1, 1
    source = ArrayCollection(image, label, split, CLASSES, ("train", "test"))
    assert found_in(source, n_examples=4).examples["row"].tolist() == [30, 31, 34, 35]


def test_no_duplicates_at_all():
    source = ArrayCollection(np.arange(9, dtype=np.uint8).reshape(9, 1, 1), chunk_rows=2)
    found = found_in(source)
    assert (found.n_unique, found.n_groups, len(found.rows)) == (9, 0, 0)
    assert found.distinct().tolist() == [[9]]
    assert found.examples["image"].shape == (0, 1, 1)


def test_a_single_image():
    found = found_in(ArrayCollection(np.zeros((1, 3, 3), np.uint8)))
    assert (found.n, found.n_unique, found.n_groups) == (1, 1, 0)
    assert found.surplus() == found.leaked() == {"all": 0}
