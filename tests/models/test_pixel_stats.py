"""Statistics of each pixel, against NumPy on the images themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import assert_same, collection_of, image_reads, rechunked

from fmnist_dask.models.pixel_stats import pixel_statistics
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive

PROBABILITIES = (0.0, 0.05, 0.25, 1 / 3, 0.5, 0.95, 1.0)


def statistics_of(source, split_code=None, by="label", engine=None, probabilities=PROBABILITIES):
    return drive(pixel_statistics(source, split_code, probabilities, by), source, engine)


def assert_describes(found, image, probabilities=PROBABILITIES):
    """Equal to NumPy: everything but the standard deviation to the last bit."""
    assert found.n == len(image)
    # NumPy's pairwise sums of floats round, ours of integers do not: compare with exact sums.
    np.testing.assert_array_equal(found.mean, image.sum(axis=0, dtype=np.int64) / len(image))
    np.testing.assert_allclose(found.std, image.std(axis=0, dtype=np.longdouble).astype(float), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.minimum, image.min(axis=0))
    np.testing.assert_array_equal(found.maximum, image.max(axis=0))
    np.testing.assert_array_equal(found.quantiles, np.quantile(image, probabilities, axis=0))
    np.testing.assert_array_equal(found.histogram, np.bincount(image.reshape(-1), minlength=256))
    mean, std = found.overall()
    assert mean == image.sum(dtype=np.int64) / image.size
    assert std == pytest.approx(image.std(), rel=1e-12, abs=1e-12)


@given(
    st.integers(1, 60),
    st.sampled_from([(4, 5), (1, 1), (3, 2, 3)]),
    st.integers(1, 70),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, 2]),
    st.integers(0, 99),
)
def test_statistics_equal_numpy(n, shape, chunk_rows, split, distinct, seed):
    source = collection_of(n, shape, chunk_rows=chunk_rows, distinct=distinct, seed=seed)
    inside = np.ones(n, bool) if split is None else source.split == split
    assume(inside.any())
    found = statistics_of(source, split)
    assert_describes(found.overall, source.image[inside])
    assert list(found.by_class) == sorted({int(label) for label in source.label[inside]} - {-1})
    for label, statistics in found.by_class.items():
        assert_describes(statistics, source.image[inside & (source.label == label)])
    assert list(found.by_split) == ["train", "test"]
    for code, statistics in enumerate(found.by_split.values()):
        if (source.split == code).any():
            assert_describes(statistics, source.image[source.split == code])
        else:
            assert statistics.n == 0
            assert np.isnan(statistics.mean).all()


@given(st.integers(1, 80), st.integers(1, 9))
def test_chunks_and_tasks_change_nothing(chunk_rows, n_tasks):
    whole = collection_of(70, chunk_rows=70)
    one, other = statistics_of(whole), statistics_of(rechunked(whole, chunk_rows), engine=LocalEngine(n_tasks))
    assert_same(vars(one.overall), vars(other.overall))
    for groups in ("by_class", "by_split"):
        first, second = ({key: vars(value) for key, value in getattr(it, groups).items()} for it in (one, other))
        assert_same(first, second)


def test_a_split_without_images_has_no_statistics():
    source = ArrayCollection(np.ones((5, 2, 2), np.uint8), split_names=("train", "test"))
    found = statistics_of(source, 1)
    assert (found.overall.n, found.overall.histogram.sum()) == (0, 0)
    assert np.isnan(found.overall.mean).all()
    assert np.isnan(found.overall.quantiles).all()


def test_classes_are_left_out_on_request_and_without_labels():
    assert statistics_of(collection_of(30), by=None).by_class == {}
    assert statistics_of(collection_of(30, labelled=False)).by_class == {}


def test_a_single_split_is_not_told_apart():
    assert statistics_of(collection_of(30, splits=("all",))).by_split == {}


def test_a_single_image_is_its_own_statistics():
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    found = statistics_of(ArrayCollection(image)).overall
    assert (found.mean == image[0]).all()
    assert (found.std == 0).all()
    assert (found.quantiles == image).all()


def test_large_values_do_not_cancel():
    """One grey level of difference in 10,000 images, far from 0."""
    image = np.full((10_000, 1, 1), 254, np.uint8)
    image[0] = 255
    found = statistics_of(ArrayCollection(image, chunk_rows=777)).overall
    assert found.mean.item() == 254.0001
    assert found.std.item() == pytest.approx(np.sqrt(1e-4 * (1 - 1e-4)), rel=1e-12)


def test_one_pass_serves_all_groupings():
    source, engine = collection_of(60, chunk_rows=7), LocalEngine()
    statistics_of(source, 0, engine=engine)
    assert engine.statistics.passes == 1
    assert image_reads(source) == list(range(0, 60, 7))
