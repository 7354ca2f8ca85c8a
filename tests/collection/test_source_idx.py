"""IDX files, whole and broken."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from support import random_images, stored, write_idx, write_idx_set

from fmnist_dask.collection.parts import write_part
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.idx import Idx, find_idx_files
from fmnist_dask.collection.writer import begin
from fmnist_dask.errors import RunError, SourceError

TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def everything(source, batch_rows=7):
    """(images, labels) of all partitions."""
    batches = [
        rows for number, part in enumerate(source.partitions) for rows in source.read(number, 0, part.rows, batch_rows)
    ]
    labels = [np.full(len(rows.image), -1) if rows.label is None else rows.label for rows in batches]
    return np.concatenate([rows.image for rows in batches]), np.concatenate(labels)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_set_of_four_files(tmp_path, suffix):
    source = Idx(write_idx_set(tmp_path / "shapes", 40, 10, suffix))
    image, label = everything(source)
    assert (image == random_images(50, (6, 5), seed=11)).all()
    assert label.tolist() == [row % 10 for row in range(50)]
    assert label.dtype == np.int16
    assert source.splits == {"train": 40, "test": 10}
    assert (source.image_shape, source.class_names) == ((6, 5), tuple("0123456789"))
    assert (source.name, source.n) == ("shapes", 50)
    assert {part.seekable for part in source.partitions} == {suffix == ""}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("start", "stop", "batch"), [(0, 40, 40), (13, 29, 4), (39, 40, 1), (5, 40, 100)])
def test_rows_from_the_middle(tmp_path, suffix, start, stop, batch):
    source = Idx(write_idx_set(tmp_path, 40, 10, suffix))
    batches = list(source.read(0, start, stop, batch))
    assert (np.concatenate([rows.image for rows in batches]) == random_images(50, (6, 5), seed=11)[start:stop]).all()
    assert np.concatenate([rows.source_name for rows in batches]).tolist() == list(range(start, stop))
    assert np.concatenate([rows.label for rows in batches]).tolist() == [row % 10 for row in range(start, stop)]
    assert max(len(rows.image) for rows in batches) <= batch


def test_plain_and_compressed_files_make_the_same_collection(tmp_path):
    plain, packed = (
        stored(Idx(write_idx_set(tmp_path / name, 500, 100, suffix), name="x"), tmp_path / f"{name}.zarr")
        for name, suffix in (("plain", ""), ("packed", ".gz"))
    )
    assert plain.fingerprint == packed.fingerprint
    assert plain.class_names == packed.class_names


def test_the_plain_file_is_taken_where_both_are_there(tmp_path):
    for suffix in ("", ".gz"):
        write_idx_set(tmp_path, 4, 2, suffix)
    assert find_idx_files(tmp_path)["train"] == (tmp_path / TRAIN, tmp_path / LABELS)


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("train-images.idx3-ubyte", "train"),
        ("test-images-idx3-ubyte.gz", "test"),
        ("t10k-images-idx3-ubyte", "test"),
        ("val-images-idx3-ubyte", "validation"),
    ],
)
def test_names_of_files(tmp_path, file, split):
    path = write_idx(tmp_path / file, random_images(3))
    assert find_idx_files(tmp_path) == {split: (path, None)}


def test_images_without_labels(tmp_path):
    write_idx(tmp_path / TRAIN, random_images(3))
    source = Idx(tmp_path)
    assert source.class_names == ()
    assert next(source.read(0, 0, 3, 3)).label is None
    assert stored(source, tmp_path / "x.zarr").read("label", 0, 3).tolist() == [-1, -1, -1]


def test_labels_of_one_split_only(tmp_path):
    write_idx_set(tmp_path, 4, 3, "", classes=2)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    _, label = everything(Idx(tmp_path))
    assert label.tolist() == [0, 1, 0, 1, -1, -1, -1]


def test_names_of_classes_are_taken_from_the_data_set(tmp_path):
    write_idx_set(tmp_path, 4, 2, "", classes=2)
    assert Idx(tmp_path, class_names=("a", "b", "c")).class_names == ("a", "b", "c")
    assert Idx(tmp_path).class_names == ("0", "1")


def test_the_fingerprint_follows_the_files(tmp_path):
    write_idx_set(tmp_path, 4, 2, "")
    first = Idx(tmp_path).fingerprint
    assert Idx(tmp_path).fingerprint == first
    os.utime(tmp_path / TRAIN, (1, 1))
    assert Idx(tmp_path).fingerprint != first


def cut_gz(place):
    data = (place / f"{TRAIN}.gz").read_bytes()
    (place / f"{TRAIN}.gz").write_bytes(data[: len(data) * 2 // 3])


def cut_labels(place):
    data = (place / f"{LABELS}.gz").read_bytes()
    (place / f"{LABELS}.gz").write_bytes(data[:-9])


def no_gz(place):
    (place / f"{TRAIN}.gz").write_bytes(b"<html>404 Not Found</html>")


def wrong_checksum(place):
    data = bytearray((place / f"{TRAIN}.gz").read_bytes())
    data[-8] ^= 1
    (place / f"{TRAIN}.gz").write_bytes(data)


def labels_for_images(place):
    write_idx(place / f"{TRAIN}.gz", np.zeros(30))


def floats(place):
    write_idx(place / f"{TRAIN}.gz", random_images(4), magic=0x00000D03)


def fewer_labels(place):
    write_idx(place / f"{LABELS}.gz", np.zeros(39))


def fewer_images(place):
    header_of_40 = gzip.decompress((place / f"{TRAIN}.gz").read_bytes())
    (place / f"{TRAIN}.gz").write_bytes(gzip.compress(header_of_40[: 16 + 25 * 30]))


def more_images(place):
    write_idx(place / f"{TRAIN}.gz", random_images(40, (6, 5)), tail=b"x")


def other_size(place):
    write_idx(place / "t10k-images-idx3-ubyte.gz", random_images(10, (7, 7)))


def no_images(place):
    write_idx(place / f"{TRAIN}.gz", np.zeros((0, 6, 5)))
    write_idx(place / f"{LABELS}.gz", np.zeros(0))


def huge(place):
    write_idx(place / f"{TRAIN}.gz", np.zeros((1, 1, 1)))
    data = bytes.fromhex("00000803 00000001 7fffffff 7fffffff")
    (place / f"{TRAIN}.gz").write_bytes(gzip.compress(data))


def only_a_header(place):
    (place / f"{TRAIN}.gz").write_bytes(gzip.compress(b"\0\0\x08"))


AGAIN = "get it again"
BROKEN = [
    (cut_gz, [TRAIN, "is no whole gzip file", AGAIN]),
    (cut_labels, [LABELS, "is damaged", "end-of-stream", "get the file again"]),
    (no_gz, [TRAIN, "is no whole gzip file", AGAIN]),
    (wrong_checksum, [TRAIN, "is damaged", "get the file again"]),
    (labels_for_images, [TRAIN, "0x00000801", "0x00000803", "3 dimension(s)"]),
    (floats, [TRAIN, "0x00000d03", "0x00000803"]),
    (fewer_labels, ["40 images", "39 labels", "belong together"]),
    (fewer_images, [TRAIN, "ends inside rows", "of 40", AGAIN]),
    (more_images, [TRAIN, "goes on after its 40 rows"]),
    (other_size, ["image sizes differ", "(6, 5)", "(7, 7)", "collections of their own"]),
    (no_images, [TRAIN, "(0, 6, 5)", "empty"]),
    (huge, [TRAIN, "2147483647", "too large"]),
    (only_a_header, [TRAIN, "ends inside its header", "3 of 16 bytes"]),
]


@pytest.mark.parametrize(("damage", "parts"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_damaged_sets_are_refused(tmp_path, damage, parts):
    place = write_idx_set(tmp_path / "set", 40, 10)
    damage(place)
    with pytest.raises(SourceError) as caught:
        everything(Idx(place))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("change", [(-8, 1), (12, 255)], ids=["checksum", "stream"])
def test_damaged_labels_are_found_while_reading_where_the_classes_are_known(tmp_path, change):
    place = write_idx_set(tmp_path / "set", 40, 10)
    data = bytearray((place / f"{LABELS}.gz").read_bytes())
    data[change[0]] ^= change[1]
    (place / f"{LABELS}.gz").write_bytes(data)
    with pytest.raises(SourceError, match=rf"{LABELS}.gz is (damaged|no whole gzip file)"):
        everything(Idx(place, class_names=tuple("0123456789")), batch_rows=40)


@pytest.mark.parametrize("change", [-1, 1])
def test_plain_files_of_another_length_are_refused_at_once(tmp_path, change):
    write_idx_set(tmp_path, 40, 10, "")
    data = (tmp_path / TRAIN).read_bytes()
    (tmp_path / TRAIN).write_bytes((data + b"x")[: len(data) + change])
    with pytest.raises(
        SourceError, match=rf"{TRAIN} has {1216 + change:,} bytes; its header promises 1,216(.|\n)*again"
    ):
        Idx(tmp_path)


def test_labels_beyond_the_classes_are_refused(tmp_path):
    source = Idx(write_idx_set(tmp_path, classes=10), class_names=("a", "b", "c"))
    with pytest.raises(SourceError, match=r"train-labels.* holds the label 9; there are 3 classes(.|\n)*remedy"):
        everything(source, batch_rows=100)


@pytest.mark.parametrize("damage", [wrong_checksum, more_images, cut_gz])
def test_ingest_sees_the_damage_too(tmp_path, damage):
    place = write_idx_set(tmp_path / "set", 40, 10)
    damage(place)
    plan = plan_ingest(Idx(place), tmp_path / "x.zarr", 256)
    with pytest.raises((SourceError, RunError), match=TRAIN):
        write_part(plan, begin(plan)[0])
