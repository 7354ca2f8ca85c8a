"""CSV and NumPy files: columns, headers, values, splits, labels."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from support import ingested, random_images

from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.errors import SourceError, UsageError

IMAGES, LABELS = random_images(20, (4, 4)), np.arange(20) % 3


def lines(images=IMAGES, labels=LABELS, separator=","):
    return [
        separator.join([str(label), *map(str, image.ravel().tolist())])
        for image, label in zip(images, labels, strict=True)
    ]


HEADER = ",".join(["label", *(f"pixel{at}" for at in range(1, 17))])


def read(tmp_path, name, text, **options):
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return ingested(open_source(tmp_path / name, options), tmp_path / "x.zarr", 256)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.tsv.gz"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_label_first_with_a_header_or_without(tmp_path, name, header, ending):
    separator = "\t" if "tsv" in name else ","
    rows = ([HEADER.replace(",", separator)] if header else []) + lines(separator=separator)
    found = read(tmp_path, name, ending.join(rows) + ending)
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)
    np.testing.assert_array_equal(found.read("label", 0, 20), LABELS)


def test_the_label_may_stand_anywhere(tmp_path):
    rows = [",".join([*(f"p{at}" for at in range(16)), "kind"])]
    rows += [",".join([*map(str, image.ravel()), f"k{label}"]) for image, label in zip(IMAGES, LABELS, strict=True)]
    found = read(tmp_path, "x.csv", "\n".join(rows), label_column="kind")
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)
    assert found.class_names == ("k0", "k1", "k2")
    with pytest.raises(UsageError, match=r"no column 'kin' (.|\n)*kind"):
        open_source(tmp_path / "x.csv", {"label_column": "kin"})


def test_lines_without_labels_are_told_by_their_length(tmp_path):
    found = read(tmp_path, "x.csv", "\n".join(line.partition(",")[2] for line in lines()))
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)
    assert found.class_names == ()
    assert (found.read("label", 0, 20) == -1).all()


def test_splits_come_from_the_names_of_files(tmp_path):
    place = tmp_path / "some"
    place.mkdir()
    (place / "fashion-mnist_test.csv").write_text("\n".join([HEADER, *lines()[12:]]))
    (place / "fashion-mnist_train.csv").write_text("\n".join([HEADER, *lines()[:12]]))
    found = ingested(open_source(place), tmp_path / "x.zarr", 256)
    assert found.splits == {"train": 12, "test": 8}
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)


def test_values_from_0_to_1_are_scaled_if_asked(tmp_path):
    shares = IMAGES / 255
    rows = lines(shares.round(6))
    (tmp_path / "x.csv").write_text("\n".join(rows))
    with pytest.raises(SourceError, match="scale=255"):
        open_source(tmp_path / "x.csv")
    found = read(tmp_path, "x.csv", "\n".join(rows), scale=255)
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)


def test_images_that_are_not_square_have_a_size(tmp_path):
    text = "\n".join(",".join(map(str, image.ravel()[:15])) for image in IMAGES)
    found = read(tmp_path, "x.csv", text, size="3x5")
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES.reshape(20, 16)[:, :15].reshape(20, 3, 5))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("256", "256"), ("-1", "-1"), ("1.5", "1.5"), ("inf", "inf"), ("abc", "no number"), ("1_0", "no number")],
)
def test_values_that_are_no_pixels_are_quarantined(tmp_path, cell, reason):
    rows = lines()
    rows[7] = rows[7].rpartition(",")[0] + f",{cell}"
    found = read(tmp_path, "x.csv", "\n".join(rows))
    assert found.n == 19
    assert found.n_quarantined == 1
    np.testing.assert_array_equal(found.read("image", 0, 19), np.delete(IMAGES, 7, axis=0))
    with pytest.raises(SourceError, match=rf"row 7 (.|\n)*{reason}"):
        ingested(open_source(tmp_path / "x.csv", {"on_error": "fail"}), tmp_path / "y.zarr", 256)


def test_rows_of_another_length_are_quarantined(tmp_path):
    rows = lines()
    rows[3] += ",9"
    rows[11] = "1,2"
    found = read(tmp_path, "x.csv", "\n".join(rows))
    np.testing.assert_array_equal(found.read("image", 0, 18), np.delete(IMAGES, [3, 11], axis=0))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64, np.float32, np.float64, ">i2", ">f4"])
@pytest.mark.parametrize("flat", [False, True])
def test_arrays_of_any_type_and_shape(tmp_path, kind, flat):
    images = IMAGES.astype(kind)
    np.savez(tmp_path / "x.npz", x_train=images.reshape(20, 16) if flat else images, y_train=LABELS)
    found = ingested(open_source(tmp_path / "x.npz"), tmp_path / "x.zarr", 256)
    np.testing.assert_array_equal(found.read("image", 0, 20), IMAGES)
    np.testing.assert_array_equal(found.read("label", 0, 20), LABELS)


def test_truth_values_are_black_and_white(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES > 100)
    found = ingested(open_source(tmp_path / "x.npy"), tmp_path / "x.zarr", 256)
    np.testing.assert_array_equal(found.read("image", 0, 20), (IMAGES > 100) * np.uint8(255))


@pytest.mark.parametrize("labels", [np.array(["shoe", "bag", "coat"])[LABELS], LABELS.astype(float), LABELS[:, None]])
def test_labels_are_words_or_numbers(tmp_path, labels):
    np.savez_compressed(tmp_path / "x.npz", images=IMAGES, labels=labels)
    found = ingested(open_source(tmp_path / "x.npz"), tmp_path / "x.zarr", 256)
    names = np.array(found.class_names)[found.read("label", 0, 20)]
    expected = labels if labels.dtype.kind == "U" else LABELS.astype(str)
    assert names.tolist() == expected.ravel().tolist()


def test_arrays_in_fortran_order_are_refused_with_the_remedy(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(IMAGES))
    with pytest.raises(SourceError, match="ascontiguousarray"):
        open_source(tmp_path / "x.npy")


def test_colour_arrays(tmp_path):
    images = random_images(20, (4, 5, 3))
    np.savez(tmp_path / "x.npz", x_test=images, y_test=LABELS)
    found = ingested(open_source(tmp_path / "x.npz"), tmp_path / "x.zarr", 256)
    assert found.image_shape == (4, 5, 3)
    assert found.splits == {"test": 20}
    np.testing.assert_array_equal(found.read("image", 0, 20), images)
