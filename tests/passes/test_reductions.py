"""The library of reductions: the same for any chunking, and equal to NumPy on the whole array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CLASSES, assert_same, collection_of, content_groups, everything, random_images, rechunked, values_of

from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.kernels.properties import PROPERTIES, image_properties
from fmnist_dask.passes.local import ArrayCollection, LocalEngine
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.census import Census, SizeCensus
from fmnist_dask.passes.reductions.histogram import ANY_LABEL, PixelHistogram
from fmnist_dask.passes.reductions.images import Extremes, ImageSample, ImagesAt
from fmnist_dask.passes.reductions.properties import BINS, RANGES, ContentHash, ImageProperties, PropertyHistogram
from fmnist_dask.passes.reductions.verify import GROUP_BYTES, VerifyGroups

shapes = st.sampled_from([(5, 4), (1, 1), (3, 3, 3), (130, 3)])
chunk_lengths = st.integers(1, 70)
task_counts = st.integers(1, 9)


def scan(source, reductions=None, columns=None, split="all", n_tasks=3):
    return LocalEngine(n_tasks).scan(source, {"": Scan(reductions or {}, columns or {}, split)})[""]


def reduce(source, reduction, **options):
    return scan(source, {"r": reduction}, **options)["r"]


@settings(max_examples=40)
@given(st.integers(1, 60), shapes, chunk_lengths, task_counts, st.sampled_from([None, 1, 4]), st.integers(0, 9))
def test_results_do_not_depend_on_chunks_or_tasks(n, shape, chunk_rows, n_tasks, distinct, seed):
    whole = collection_of(n, shape, chunk_rows=n, distinct=distinct, seed=seed)
    wanted = everything(whole.image)
    expected = values_of(LocalEngine(1).scan(whole, {"": wanted})[""])
    found = values_of(LocalEngine(n_tasks).scan(rechunked(whole, chunk_rows), {"": wanted})[""])
    assert_same(found, expected)


@given(chunk_lengths, task_counts, st.sampled_from(["train", "test"]), st.integers(0, 9))
def test_one_split_is_the_same_for_any_chunks(chunk_rows, n_tasks, split, seed):
    whole = collection_of(60, chunk_rows=60, distinct=9, seed=seed)
    wanted = everything(whole.image)
    wanted = Scan(wanted.reductions, wanted.columns, split)
    expected = values_of(LocalEngine(1).scan(whole, {"": wanted})[""])
    found = values_of(LocalEngine(n_tasks).scan(rechunked(whole, chunk_rows), {"": wanted})[""])
    assert_same(found, expected)


@given(st.integers(1, 80), chunk_lengths, st.integers(0, 9))
def test_states_stay_within_their_declared_bytes(n, chunk_rows, seed):
    source = collection_of(n, chunk_rows=chunk_rows, seed=seed)
    source.label = np.abs(source.label)  # all known, as in most collections
    block = source.block(0, n)
    for reduction in everything(source.image).reductions.values():
        state = reduction.chunk(reduction.initial(source), block)
        assert bytes_of(state) <= reduction.state_bytes(source), type(reduction).__name__


def test_a_partly_labelled_histogram_stays_within_its_declared_bytes():
    source = collection_of(80)
    assert {-1, 0, 1, 2} == set(source.label.tolist())
    histogram = PixelHistogram()
    state = histogram.chunk(histogram.initial(source), source.block(0, 80))
    assert bytes_of(state) <= histogram.state_bytes(source)


def bytes_of(state) -> int:
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, dict):
        return sum(bytes_of(value) for value in state.values())
    return 8


# Census


@given(st.integers(1, 60), chunk_lengths, st.integers(0, 9))
def test_census_counts_each_split_and_label(n, chunk_rows, seed):
    source = collection_of(n, chunk_rows=chunk_rows, seed=seed)
    expected = [[((source.split == s) & (source.label == c)).sum() for c in (-1, 0, 1, 2)] for s in (0, 1)]
    assert reduce(source, Census()).tolist() == expected


def test_sizes_are_counted_most_frequent_first():
    source = collection_of(7, chunk_rows=2)
    source.extra |= {"height": np.array([9, 3, 3, 9, 3, 4, 4]), "width": np.array([1, 5, 5, 1, 5, 70_000, 70_000])}
    assert list(reduce(source, SizeCensus()).items()) == [((3, 5), 3), ((4, 70_000), 2), ((9, 1), 2)]


# Histograms


@given(st.integers(1, 60), shapes, chunk_lengths, st.integers(0, 9))
def test_pixel_histograms_equal_bincount(n, shape, chunk_rows, seed):
    source = collection_of(n, shape, chunk_rows=chunk_rows, seed=seed)
    found = reduce(source, PixelHistogram())
    assert list(found) == sorted({(int(s), int(c)) for s, c in zip(source.split, source.label, strict=True)})
    for (split, label), counts in found.items():
        chosen = source.image[(source.split == split) & (source.label == label)].reshape(-1, source.image_bytes)
        assert counts.sum() == chosen.size
        for pixel in range(0, source.image_bytes, max(1, source.image_bytes // 7)):
            assert counts[pixel].tolist() == np.bincount(chosen[:, pixel], minlength=256).tolist()


@given(st.integers(1, 60), chunk_lengths, st.sampled_from([None, 0, 1]), st.booleans())
def test_labels_are_told_apart_where_asked_for(n, chunk_rows, label_split, by_label):
    source = collection_of(n, chunk_rows=chunk_rows)
    fine, found = (reduce(source, PixelHistogram(*options)) for options in ((), (label_split, by_label)))
    expected: dict[tuple[int, int], np.ndarray] = {}
    for (split, label), counts in fine.items():
        apart = by_label and label_split in (None, split)
        key = split, label if apart else ANY_LABEL
        expected[key] = expected.get(key, 0) + counts
    assert_same(found, {key: expected[key] for key in sorted(expected)})


@pytest.mark.parametrize("labelled", [True, False])
def test_property_histograms_equal_numpy(labelled):
    source = collection_of(90, labelled=labelled)
    counts = reduce(source, PropertyHistogram())
    values = image_properties(source.image)
    assert counts.shape == (1 + len(source.class_names), len(PROPERTIES), BINS)
    for row in range(counts.shape[0]):
        for position, name in enumerate(PROPERTIES):
            chosen = values[name][source.label == row - 1].astype(np.float64)
            expected = np.histogram(np.minimum(chosen, RANGES[name]), bins=BINS, range=(0, RANGES[name]))[0]
            # NumPy and we may put a value at a bin's very edge into different neighbours.
            assert np.abs(np.cumsum(counts[row, position]) - np.cumsum(expected)).max() <= 1
            assert counts[row, position].sum() == len(chosen)


def test_full_properties_land_in_the_last_bin():
    white = ArrayCollection(np.full((3, 4, 4), 255, np.uint8))
    counts = reduce(white, PropertyHistogram())[0]
    last = {name: int(counts[position, -1]) for position, name in enumerate(PROPERTIES)}
    assert last["brightness"] == 3
    assert last["blank_share"] == 3
    assert last["contrast"] == 0


# Samples


def test_a_sample_holds_images_of_each_class_at_their_rows():
    source = collection_of(200, chunk_rows=31)
    found = reduce(source, ImageSample(5, seed=3))
    assert list(found) == [-1, 0, 1, 2]
    for label, sample in found.items():
        assert len(sample["row"]) == len(set(sample["row"].tolist())) == 5
        assert (source.label[sample["row"]] == label).all()
        assert (source.image[sample["row"]] == sample["image"]).all()


def test_a_small_class_is_taken_whole():
    source = ArrayCollection(random_images(9), np.array([0, 1, 1, 1, 1, 0, 1, 1, 1]), class_names=CLASSES)
    assert sorted(reduce(source, ImageSample(4, 0))[0]["row"].tolist()) == [0, 5]


def test_samples_are_uniform_over_the_rows_of_a_class():
    n, per_class, draws = 60, 10, 300
    source = ArrayCollection(random_images(n, (1, 1)), np.arange(n) % 2, class_names=CLASSES, chunk_rows=7)
    result = scan(source, {str(seed): ImageSample(per_class, seed) for seed in range(draws)})
    counts = np.zeros(n)
    for found in result.values():
        for sample in found.values():
            counts[sample["row"]] += 1
    expected = draws * per_class / (n / 2)
    # χ² of 60 rows has mean 60·(1 − 1/3) = 40 for samples without replacement; 80 is out of reach of chance.
    assert ((counts - expected) ** 2 / expected).sum() < 80
    assert counts[:30].sum() == pytest.approx(counts[30:].sum(), rel=0.1)


def test_another_seed_draws_another_sample():
    source = collection_of(500, chunk_rows=90)
    first, second = (reduce(source, ImageSample(20, seed))[0]["row"].tolist() for seed in (0, 1))
    assert set(first) != set(second)


# Extremes


@given(st.integers(1, 60), st.integers(1, 9), chunk_lengths, task_counts, st.sampled_from([None, 1, 3]))
def test_extremes_equal_a_stable_sort(n, count, chunk_rows, n_tasks, distinct):
    source = collection_of(n, chunk_rows=chunk_rows, distinct=distinct)
    names = tuple(PROPERTIES)
    found = reduce(source, Extremes(count, names), n_tasks=n_tasks)
    values = image_properties(source.image)
    for name in names:
        for side, key in (("lowest", values[name]), ("highest", -values[name])):
            order = np.argsort(key, kind="stable")[:count]  # ties by row
            assert found[name, side]["row"].tolist() == order.tolist()
            assert (found[name, side]["key"] == key[order]).all()
            assert (found[name, side]["image"] == source.image[order]).all()


# Given rows


@given(st.sets(st.integers(0, 39)), chunk_lengths, task_counts)
def test_images_at_given_rows(rows, chunk_rows, n_tasks):
    source = collection_of(40, chunk_rows=chunk_rows)
    found = reduce(source, ImagesAt(tuple(rows), thumbnails=False), n_tasks=n_tasks)
    assert found["row"].tolist() == sorted(rows)
    assert (found["image"] == source.image[sorted(rows)]).all()
    chunks = sorted({row // chunk_rows for row in rows})
    assert [start // chunk_rows for name, start in source.reads if name == "image"] == chunks


def test_large_images_come_back_as_thumbnails():
    source = collection_of(9, (200, 130, 3), chunk_rows=4)
    found = reduce(source, ImagesAt((2, 8)))
    assert found["image"].shape == (2, 50, 32, 3)
    mean = source.image[8, :4, :4].reshape(16, 3).mean(axis=0)
    assert found["image"][1, 0, 0].tolist() == np.rint(mean).tolist()


# Verification of groups


def verify(source, groups, n_tasks=3):
    rows = np.concatenate([np.asarray(group, np.int64) for group in groups]) if groups else np.zeros(0, np.int64)
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(rows)
    return reduce(source, VerifyGroups(rows[order], number[order]), n_tasks=n_tasks).tolist()


@given(st.integers(2, 60), st.integers(1, 8), chunk_lengths, task_counts, st.integers(0, 9))
def test_groups_of_equal_images_are_confirmed(n, distinct, chunk_rows, n_tasks, seed):
    source = collection_of(n, chunk_rows=chunk_rows, distinct=distinct, seed=seed)
    groups = [rows for rows in content_groups(source.image).values() if len(rows) > 1]
    assert verify(source, groups, n_tasks) == []


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=60), st.data(), chunk_lengths, task_counts)
def test_groups_that_hold_different_images_are_found(number, data, chunk_rows, n_tasks):
    number = np.array(number)
    image = np.zeros((len(number), 2, 3), np.uint8)
    image[:, 0, 0] = number
    changed = data.draw(st.sets(st.integers(0, len(number) - 1)))
    image[sorted(changed), 1, 2] = 1
    groups = [np.flatnonzero(number == value).tolist() for value in np.unique(number)]
    different = [at for at, rows in enumerate(groups) if 0 < len(changed & set(rows)) < len(rows)]
    assert verify(ArrayCollection(image, chunk_rows=chunk_rows), groups, n_tasks) == different


def test_a_group_longer_than_a_panel_is_compared_whole():
    image = np.zeros((5000, 1, 1), np.uint8)
    image[4321] = 1
    source = ArrayCollection(image, chunk_rows=2500)
    assert verify(source, [list(range(4000)), list(range(4000, 5000))]) == [1]
    assert verify(source, [list(range(4000)), list(range(4400, 5000))]) == []


@given(st.integers(2, 60), st.integers(1, 8), st.integers(1, 20), st.integers(0, 9))
def test_the_state_of_a_part_stays_within_its_declared_bytes(n, distinct, rows, seed):
    source = collection_of(n, distinct=distinct, seed=seed)
    reduction = everything(source.image).reductions["verify"]
    for start in range(0, n, max(1, rows // 2)):
        state = reduction.chunk(reduction.initial(source), source.block(start, min(start + rows, n)))
        held = sum(state[name].nbytes for name in ("group", "seen", "digest"))
        assert held <= reduction.part_bytes(source, rows)
        assert held <= reduction.state_bytes(source)


def test_groups_that_are_never_open_together_take_no_memory_together():
    source = ArrayCollection(np.zeros((1_000_000, 1, 1), np.uint8))
    neighbours = VerifyGroups(np.arange(100_000) * 10, np.repeat(np.arange(50_000), 2))
    strewn = VerifyGroups(np.arange(100_000) * 10, np.random.default_rng(0).permutation(100_000) // 2)
    every = VerifyGroups(np.arange(100_000) * 10, np.arange(100_000) % 50_000)  # the first half stands in the second
    whole = every.state_bytes(source)
    assert whole == 50_000 * GROUP_BYTES
    assert neighbours.state_bytes(source) < 0.05 * whole
    assert 0.5 * whole <= strewn.state_bytes(source) < 0.6 * whole


def test_a_closed_group_keeps_no_digest():
    image = np.zeros((6, 4, 4), np.uint8)
    reduction = VerifyGroups(np.arange(6), np.array([0, 0, 0, 1, 1, 1]))
    source = ArrayCollection(image, chunk_rows=4)
    state = reduction.chunk(reduction.initial(source), source.block(0, 4))
    assert (state["group"].tolist(), state["seen"].tolist(), len(state["digest"])) == ([1], [1], 1)
    state = reduction.chunk(state, source.block(4, 6))
    assert (len(state["group"]), len(state["digest"])) == (0, 0)


# Columns


@pytest.mark.parametrize("chunk_rows", [1, 13, 64, 100])
def test_columns_equal_the_kernels(chunk_rows):
    source = collection_of(64, chunk_rows=chunk_rows)
    result = scan(source, columns={"p": ImageProperties(), "h": ContentHash()})
    values = image_properties(source.image)
    assert set(result["p"]) == set(PROPERTIES)
    for name in PROPERTIES:
        assert (result["p"][name] == values[name]).all()
    assert (result["h"]["content_hash"] == content_hashes(source.image)).all()


def test_rows_of_other_splits_keep_the_fill_value():
    source = collection_of(40)
    source.split[14:21] = 1  # a chunk without any row of the split
    brightness = scan(source, columns={"p": ImageProperties()}, split="train")["p"]["brightness"]
    inside = source.split == 0
    assert np.isnan(brightness[~inside]).all()
    assert (brightness[inside] == image_properties(source.image)["brightness"][inside]).all()
