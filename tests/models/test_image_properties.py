"""Images that stand out, and why they are listed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLASSES, assert_same, collection_of, image_reads, rechunked

from fmnist_dask.kernels import properties as kernels
from fmnist_dask.models import image_properties as model
from fmnist_dask.models.image_properties import REASONS, Thresholds, image_properties
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive, split_code


def properties_of(source, split="all", thresholds=None, n_listed=5, per_class=3, engine=None):
    return drive(image_properties(source, split, thresholds or Thresholds(), n_listed, per_class, 0), source, engine)


def reasons(found) -> dict[int, set[str]]:
    """{row: reasons} of what is listed."""
    return {
        int(row): {reason for bit, reason in enumerate(REASONS) if flags >> bit & 1}
        for row, flags in zip(found.rows, found.flags, strict=True)
    }


def ordinary(n: int, seed: int = 0) -> np.ndarray:
    """Pictures with nothing special: noise before a black background of about half the pixels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 256, (n, 144), dtype=np.uint8)
    for picture, background in zip(image, rng.integers(66, 79, n), strict=True):
        picture[rng.permutation(144)[:background]] = 0
    return image.reshape(n, 12, 12)


def faint(level: int) -> np.ndarray:
    image = np.full((12, 12), level, np.uint8)
    image[::2] += 4
    return image


def dark() -> np.ndarray:
    image = np.zeros((12, 12), np.uint8)
    image[0, :2] = 255
    return image


def bright() -> np.ndarray:
    image = np.full((12, 12), 255, np.uint8)
    image[0, :6] = 0
    return image


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.zeros((12, 12), np.uint8), {"blank", "constant", "very dark"}),
        (np.full((12, 12), 255, np.uint8), {"blank", "constant", "very bright"}),
        (np.full((12, 12), 128, np.uint8), {"constant"}),
        (faint(100), {"low contrast"}),
        (dark(), {"very dark"}),
        (bright(), {"very bright"}),
    ],
)
def test_what_makes_an_image_suspicious(picture, expected):
    image = ordinary(60)
    image[37] = picture
    found = reasons(properties_of(ArrayCollection(image, chunk_rows=11)))
    assert list(found) == [37]
    assert found[37] - {"outlier"} == expected


def test_ordinary_images_are_not_listed():
    assert reasons(properties_of(ArrayCollection(ordinary(300), chunk_rows=64))) == {}


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        (Thresholds(dark=0.5), "very dark"),
        (Thresholds(bright=0.1), "very bright"),
        (Thresholds(low_contrast=0.45), "low contrast"),
        (Thresholds(outlier=0.0), "outlier"),
    ],
)
def test_thresholds_decide(thresholds, expected):
    found = properties_of(ArrayCollection(ordinary(20)), thresholds=thresholds)
    assert reasons(found) == {row: {expected} for row in range(20)}


def test_outliers_are_far_from_the_median_in_robust_units():
    image = ordinary(200)
    image[50] = np.arange(144).reshape(12, 12)  # no background
    found = properties_of(ArrayCollection(image, chunk_rows=64))
    assert reasons(found) == {50: {"outlier"}}
    values = kernels.image_properties(image)
    scores = np.zeros(200)
    for name in kernels.PROPERTIES:
        column = values[name].astype(float)
        middle = np.median(column)
        deviation = 1.4826 * np.median(np.abs(column - middle))
        centre, scale = found.centre[name]
        width = model.RANGES[name] / model.BINS
        assert abs(centre - middle) <= width
        assert abs(scale - deviation) <= 1.4826 * width
        scores = np.maximum(scores, np.abs(column - centre) / scale)
    assert np.flatnonzero(scores > 8).tolist() == [50]


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 9), st.integers(1, 30))
def test_chunks_tasks_and_spans_change_nothing(n, chunk_rows, n_tasks, span):
    whole = collection_of(n, distinct=n, chunk_rows=n)
    whole.image[::9] = 0
    one = properties_of(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "FLAG_ROWS", span)
        other = properties_of(rechunked(whole, chunk_rows), engine=LocalEngine(n_tasks))
    assert_same(vars(one), vars(other))


@given(st.integers(1, 60), st.integers(1, 70), st.sampled_from(["all", "train", "test"]), st.integers(0, 9))
def test_lists_hold_their_values_labels_and_splits(n, chunk_rows, split, seed):
    source = collection_of(n, chunk_rows=chunk_rows, seed=seed)
    source.image[::4] = 0
    code = split_code(source, split)
    found = properties_of(source, split)
    inside = np.ones(n, bool) if code is None else source.split == code
    blank = inside & (source.image == 0).all(axis=(1, 2))
    assert {row for row, why in reasons(found).items() if "blank" in why} == set(np.flatnonzero(blank).tolist())
    assert inside[found.rows].all()
    assert (found.label == source.label[found.rows]).all()
    assert (found.split == source.split[found.rows]).all()
    measured = kernels.image_properties(source.image)
    for name in kernels.PROPERTIES:
        values = measured[name]
        assert (found.values[name] == values[found.rows]).all()
        assert (found.columns[name][0:n][inside] == values[inside]).all()
        assert np.isnan(found.columns[name][0:n][~inside]).all()
    assert found.histogram.sum() == inside.sum() * len(kernels.PROPERTIES)
    assert found.sizes == ({(5, 4): int(inside.sum())} if inside.any() else {})


def test_pictures_of_a_reason_come_most_extreme_first():
    image = ordinary(40)
    for row, level in ((31, 3), (7, 1), (20, 2)):
        image[row] = 0
        image[row, 0, 0] = level
    found = properties_of(ArrayCollection(image, chunk_rows=9))
    entries = [entry for entry in found.listed_images(2) if entry["reason"] == "very dark"]
    rows = [int(found.rows[entry["position"]]) for entry in entries]
    assert rows == [7, 20]
    assert all((entry["image"] == image[row]).all() for entry, row in zip(entries, rows, strict=True))


def test_a_sample_of_each_class_comes_along():
    source = ArrayCollection(ordinary(40), np.arange(40) % 3, class_names=CLASSES, chunk_rows=9)
    found = properties_of(source)
    assert {label: len(sample["row"]) for label, sample in found.sample.items()} == {0: 3, 1: 3, 2: 3}
    assert all((source.image[sample["row"]] == sample["image"]).all() for sample in found.sample.values())


@pytest.mark.parametrize("level", [0, 128])
def test_a_single_image(level):
    found = properties_of(ArrayCollection(np.full((1, 4, 4), level, np.uint8)))
    assert reasons(found)[0] >= {"constant"}
    assert "outlier" not in reasons(found)[0]  # it is its own median
    assert found.sizes == {(4, 4): 1}


def test_images_without_labels():
    found = properties_of(collection_of(30, labelled=False))
    assert list(found.sample) == [-1]
    assert found.histogram.shape[0] == 1
    assert found.histogram[0, 0].sum() == 30


def test_a_split_without_images_lists_nothing():
    source = ArrayCollection(ordinary(9), split_names=("train", "test"))
    found = properties_of(source, "test")
    assert (len(found.rows), found.sizes, found.sample, found.listed_images(5)) == (0, {}, {}, [])


def test_one_pass():
    source, engine = collection_of(60, chunk_rows=7), LocalEngine()
    properties_of(source, engine=engine)
    assert engine.statistics.passes == 1
    assert image_reads(source) == list(range(0, 60, 7))
