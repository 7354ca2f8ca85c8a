"""The data set `garments`: reproducible by row, planted faults as documented, plausible grey levels."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_dask.kernels import counter_random, garments

SEED = 0
COUNT = 70_000
FIRST_THOUSAND_SHA256 = "d48f665664d66bbf46b1452d74b2302945e0ecf3c084610a4978e86bd57eb5e8"

Collection = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def collection() -> Collection:
    """Images, labels, flags and origins of 70,000 rows."""
    rows = np.arange(COUNT)
    flags, origin = garments.planted(SEED, rows)
    return garments.draw(SEED, rows), garments.labels(SEED, rows), flags, origin


def _is_exact(flags: np.ndarray) -> np.ndarray:
    return (flags & garments.PLANTED_MEANINGS["exact_duplicate"]) != 0


def test_first_thousand_rows_have_the_recorded_checksum(collection: Collection) -> None:
    images, labels, _, _ = collection
    digest = hashlib.sha256(images[:1000].tobytes() + labels[:1000].astype("<i2").tobytes()).hexdigest()
    assert digest == FIRST_THOUSAND_SHA256


@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, COUNT - 400), length=st.integers(0, 400), cut=st.integers(0, 400))
def test_any_chunking_gives_the_same_rows(collection: Collection, start: int, length: int, cut: int) -> None:
    images, labels, flags, origin = collection
    whole = slice(start, start + length)
    middle = start + min(cut, length)
    parts = [np.arange(start, middle), np.arange(middle, start + length)]
    assert np.array_equal(np.concatenate([garments.draw(SEED, part) for part in parts]), images[whole])
    assert np.array_equal(np.concatenate([garments.labels(SEED, part) for part in parts]), labels[whole])
    drawn_flags, drawn_origin = garments.planted(SEED, np.arange(start, start + length))
    assert np.array_equal(drawn_flags, flags[whole])
    assert np.array_equal(drawn_origin, origin[whole])


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.integers(0, COUNT - 1), max_size=60))
def test_rows_in_any_order_with_repeats(collection: Collection, rows: list[int]) -> None:
    images, labels, flags, origin = collection
    indices = np.array(rows, dtype=np.int64)
    assert np.array_equal(garments.draw(SEED, indices), images[indices])
    assert np.array_equal(garments.labels(SEED, indices), labels[indices])
    assert np.array_equal(garments.planted(SEED, indices)[0], flags[indices])
    assert np.array_equal(garments.planted(SEED, indices)[1], origin[indices])


def test_types_and_shapes(collection: Collection) -> None:
    images, labels, flags, origin = collection
    assert images.shape == (COUNT, garments.HEIGHT, garments.WIDTH)
    assert (images.dtype, labels.dtype, flags.dtype, origin.dtype) == (np.uint8, np.int16, np.uint8, np.int64)
    assert garments.draw(SEED, np.zeros(0, dtype=np.int64)).shape == (0, 28, 28)
    assert len(garments.CLASS_NAMES) == 10


@pytest.mark.parametrize("rows", [np.array([-1]), np.array([0.5]), np.zeros((2, 2), dtype=np.int64)])
def test_rows_that_are_no_row_indices_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows must"):
        garments.draw(SEED, rows)


def test_seeds_give_different_collections() -> None:
    rows = np.arange(50)
    assert not np.array_equal(garments.draw(1, rows), garments.draw(2, rows))
    assert not np.array_equal(garments.labels(1, rows), garments.labels(2, rows))


def test_each_block_of_ten_unplanted_rows_has_every_class(collection: Collection) -> None:
    _, labels, flags, _ = collection
    blocks = labels.reshape(-1, 10)[(flags.reshape(-1, 10) == 0).all(axis=1)]
    assert blocks.shape[0] > 4000
    assert np.array_equal(np.sort(blocks, axis=1), np.tile(np.arange(10), (blocks.shape[0], 1)))


def test_planted_rates(collection: Collection) -> None:
    flags = collection[2]
    names = garments.PLANTED_MEANINGS
    exact, conflicting = names["exact_duplicate"], names["exact_duplicate"] | names["wrong_label"]
    assert set(np.unique(flags)) == {0, exact, conflicting, *names.values()}
    assert not flags[:100].any()
    expected = {
        exact: 0.009,
        conflicting: 0.001,
        names["near_duplicate"]: 0.005,
        names["wrong_label"]: 0.01,
        names["faded"]: 0.001,
    }
    for value, rate in expected.items():
        # Four standard deviations of a count.
        assert abs(int((flags == value).sum()) - rate * COUNT) < 4 * (rate * COUNT) ** 0.5


def test_origins_are_earlier_unplanted_rows(collection: Collection) -> None:
    _, _, flags, origin = collection
    is_copy = (
        flags & (garments.PLANTED_MEANINGS["exact_duplicate"] | garments.PLANTED_MEANINGS["near_duplicate"])
    ) != 0
    assert np.array_equal(origin >= 0, is_copy)
    assert (origin < np.arange(COUNT)).all()
    assert not flags[origin[is_copy]].any()


def test_exact_duplicates_copy_pixels_and_conflict_in_the_label_as_flagged(collection: Collection) -> None:
    images, labels, flags, origin = collection
    copies = np.flatnonzero(_is_exact(flags))
    assert np.array_equal(images[copies], images[origin[copies]])
    conflicting = (flags[copies] & garments.PLANTED_MEANINGS["wrong_label"]) != 0
    assert np.array_equal(labels[copies] != labels[origin[copies]], conflicting)


def test_near_duplicates_differ_a_little_and_keep_the_label(collection: Collection) -> None:
    images, labels, flags, origin = collection
    copies = np.flatnonzero(flags == garments.PLANTED_MEANINGS["near_duplicate"])
    assert np.array_equal(labels[copies], labels[origin[copies]])
    before = np.pad(images[origin[copies]].astype(np.int16), ((0, 0), (1, 1), (1, 1)))
    after = images[copies].astype(np.int16)
    inner = slice(1, -1)
    largest = []
    for down, right in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
        moved = np.roll(before, (down, right), axis=(1, 2))[:, inner, inner]
        largest.append(np.abs(after - moved).max(axis=(1, 2)))
    largest_difference = np.array(largest)
    # Never equal; within three grey levels of the origin or of the origin shifted by one pixel.
    assert (largest_difference > 0).all()
    assert (largest_difference.min(axis=0) <= 3).all()
    assert 0.3 < (largest_difference.argmin(axis=0) == 0).mean() < 0.7


def test_only_exact_duplicates_are_equal(collection: Collection) -> None:
    images, _, flags, _ = collection
    distinct = {image.tobytes() for image in images}
    assert len(distinct) == COUNT - int(_is_exact(flags).sum())


def test_faded_pictures_have_far_less_contrast_than_any_other(collection: Collection) -> None:
    images, _, flags, _ = collection
    faded = (flags & garments.PLANTED_MEANINGS["faded"]) != 0
    contrast = images.reshape(COUNT, -1).std(axis=1, dtype=np.float32)
    assert contrast[faded].max() < 5.5
    assert contrast[~faded].min() > 8.5


def test_grey_levels_resemble_fashion_mnist(collection: Collection) -> None:
    images = collection[0]
    assert images.min() == 0
    assert images.max() == 255
    assert 0.25 < images.mean() / 255 < 0.33
    assert 0.33 < images.std(dtype=np.float32) / 255 < 0.38
    assert 0.45 < (images == 0).mean() < 0.6


def test_random_words_are_the_streams_of_random_bits() -> None:
    rows = np.arange(20)
    words = counter_random.random_words(SEED, rows, 7, 3)
    for offset in range(3):
        assert np.array_equal(words[offset], counter_random.random_bits(SEED, rows, 7 + offset))


def test_random_bits_avalanche() -> None:
    """Flipping one bit of the row or the stream flips about half of the output bits."""
    rows = np.arange(2000)
    base = counter_random.random_bits(SEED, rows, 3)
    for other in (
        counter_random.random_bits(SEED, rows ^ 1, 3),
        counter_random.random_bits(SEED, rows, 2),
        counter_random.random_bits(SEED + 1, rows, 3),
    ):
        assert abs(np.bitwise_count(base ^ other).mean() - 32) < 0.5


def test_uniform_is_uniform() -> None:
    values = counter_random.uniform(SEED, np.arange(100_000), 1)
    assert values.min() >= 0
    assert values.max() < 1
    assert np.abs(np.bincount((values * 20).astype(int), minlength=20) - 5000).max() < 350


def test_random_fields_refuse_a_count_that_leaves_part_of_a_word() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        counter_random.random_fields(SEED, np.arange(3), 0, 12, 8)
