"""Parquet files and tar shards: layouts, labels, splits, batches of large images."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_files import add_to_tar, encoded
from support import ingested, random_images

from fmnist_dask.collection.sources import parquet
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.errors import SourceError, UsageError

IMAGES, LABELS = random_images(40, (6, 6)), np.arange(40) % 3
PICTURES = [encoded(image) for image in IMAGES]


def same(found, images=IMAGES, labels=LABELS):
    np.testing.assert_array_equal(found.read("image", 0, found.n), images)
    np.testing.assert_array_equal(found.read("label", 0, found.n), labels)


def structs(pictures=PICTURES):
    return [{"bytes": data, "path": f"{row:03d}.png"} for row, data in enumerate(pictures)]


@pytest.mark.parametrize("rows", [7, 40, 1000])
def test_the_layout_of_hugging_face(tmp_path, rows):
    """A struct of bytes and path, class labels whose names stand in the schema, the split in the file's name."""
    features = {"image": {"_type": "Image"}, "label": {"names": ["shoe", "bag", "coat"], "_type": "ClassLabel"}}
    for split, part in (("test", slice(30, 40)), ("train", slice(0, 30))):
        table = pa.table({"image": structs(PICTURES[part]), "label": LABELS[part]})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, tmp_path / f"{split}-00000-of-00001.parquet", row_group_size=rows)
    found = ingested(open_source(tmp_path), tmp_path / "x.zarr", 256)
    same(found)
    assert found.splits == {"train": 30, "test": 10}
    assert found.class_names == ("shoe", "bag", "coat")
    assert found.read("source_name", 0, 2).tolist() == ["000.png", "001.png"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_plain_column_of_bytes(tmp_path, kind):
    table = pa.table({"picture": pa.array(PICTURES, kind), "class": np.array(["shoe", "bag", "coat"])[LABELS]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = ingested(open_source(tmp_path / "x.parquet"), tmp_path / "x.zarr", 256)
    names = np.array(found.class_names)[found.read("label", 0, 40)]
    assert names.tolist() == np.array(["shoe", "bag", "coat"])[LABELS].tolist()
    np.testing.assert_array_equal(found.read("image", 0, 40), IMAGES)


def test_columns_may_be_named(tmp_path):
    columns = {"thumb": [encoded(image[:2, :2]) for image in IMAGES], "full": PICTURES, "a": LABELS, "b": LABELS[::-1]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet", {"image_column": "full", "label_column": "b"})
    same(ingested(source, tmp_path / "x.zarr", 256), labels=LABELS[::-1])
    for option in ("image_column", "label_column"):
        with pytest.raises(UsageError, match="'ful'"):
            open_source(tmp_path / "x.parquet", {option: "ful"})
    pq.write_table(pa.table({"a": LABELS}), tmp_path / "y.parquet")
    with pytest.raises(SourceError, match="no column of encoded images"):
        open_source(tmp_path / "y.parquet")


def test_large_images_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    pq.write_table(pa.table({"image": structs(), "label": LABELS}), tmp_path / "x.parquet")
    plain = open_source(tmp_path / "x.parquet").read_bytes()
    monkeypatch.setattr(parquet, "READ_BYTES", 300)
    few = open_source(tmp_path / "x.parquet")
    assert few.read_bytes() < plain
    assert parquet._batch_rows(few.groups[0]) < 10
    same(ingested(few, tmp_path / "x.zarr", 256))


def test_rows_that_cannot_be_decoded_are_named_by_their_place(tmp_path):
    pictures = [{"bytes": data, "path": None} for data in PICTURES]
    pictures[5]["bytes"], pictures[17] = b"no picture", None
    pq.write_table(pa.table({"image": pictures, "label": LABELS}), tmp_path / "x.parquet", row_group_size=10)
    found = ingested(open_source(tmp_path / "x.parquet"), tmp_path / "x.zarr", 256)
    same(found, np.delete(IMAGES, [5, 17], axis=0), np.delete(LABELS, [5, 17]))
    assert found.n_quarantined == 2


def shard(place, members):
    import tarfile

    with tarfile.open(place, "w:gz" if str(place).endswith("gz") else "w") as out:
        for name, data in members:
            add_to_tar(out, name, data)


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("label", ["cls", "json", "txt"])
def test_shards_of_webdataset(tmp_path, ending, label):
    content = {"cls": "{}", "txt": "{}\n", "json": '{{"label": {}, "caption": "x"}}'}[label]
    for number, part in enumerate((range(25), range(25, 40))):
        members = []
        for row in part:
            members += [(f"{row:04d}.png", PICTURES[row]), (f"{row:04d}.{label}", content.format(LABELS[row]).encode())]
        shard(tmp_path / f"train-{number:04d}.{ending}", members)
    found = ingested(open_source(tmp_path), tmp_path / "x.zarr", 256)
    same(found)
    assert found.splits == {"train": 40}


def test_samples_without_a_label_or_an_image(tmp_path):
    members = [("a.png", PICTURES[0]), ("a.cls", b"1"), ("b.cls", b"2"), ("c.png", PICTURES[2]), ("d.cls", b"0"),
               ("d.png", PICTURES[3])]  # fmt: skip
    shard(tmp_path / "x.tar", members)
    found = ingested(open_source(tmp_path / "x.tar"), tmp_path / "x.zarr", 256)
    assert found.n == 3  # what has a label alone is no image
    np.testing.assert_array_equal(found.read("image", 0, found.n), IMAGES[[0, 2, 3]])
    assert found.read("label", 0, found.n).tolist() == [1, -1, 0]
