"""The same labelled images written in every format that there is a source for."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from support import write_idx

from fmnist_dask.collection.sources.base import Source

#: Images and labels of each split.
Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]
IDX_PREFIX = {"train": "train", "test": "t10k"}


def arrays_of(source: Source) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of a source, in memory."""
    splits = {}
    for number, part in enumerate(source.partitions):
        batches = list(source.read(number, 0, part.rows, 4096))
        image, label = (np.concatenate([getattr(rows, field) for rows in batches]) for field in ("image", "label"))
        splits[part.split] = (image, label)
    return splits


def first_release(official: Splits) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Fashion-MNIST with as many copies as its first release had: 43 + 1 within splits, 10 images in both splits."""
    splits = {name: (image.copy(), label.copy()) for name, (image, label) in official.items()}
    rng = np.random.default_rng(0)
    (train, train_label), (test, test_label) = splits["train"], splits["test"]
    picked = rng.choice(60_000, 2 * 43 + 10, replace=False)
    for origin, copy in zip(picked[:43], picked[43:86], strict=True):
        train[copy], train_label[copy] = train[origin], train_label[origin]
    rows = rng.choice(10_000, 2 + 10, replace=False)
    test[rows[1]], test_label[rows[1]] = test[rows[0]], test_label[rows[0]]
    for origin, copy in zip(picked[86:], rows[2:], strict=True):
        test[copy], test_label[copy] = train[origin], train_label[origin]
    return splits


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """An image file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_idx_files(root: Path, splits: Splits) -> None:
    for split, (image, label) in splits.items():
        write_idx(root / f"{IDX_PREFIX[split]}-images-idx3-ubyte", image)
        write_idx(root / f"{IDX_PREFIX[split]}-labels-idx1-ubyte", label)


def write_csv(root: Path, splits: Splits, header: bool = True, suffix: str = ".csv") -> None:
    """Label first, as on Kaggle."""
    for split, (image, label) in splits.items():
        rows = np.column_stack([label, image.reshape(len(image), -1)])
        text = io.StringIO()
        names = ["label", *(f"pixel{at + 1}" for at in range(rows.shape[1] - 1))]
        np.savetxt(text, rows, fmt="%d", delimiter=",", header=",".join(names) if header else "", comments="")
        data = text.getvalue().lstrip("\n").encode()
        (root / f"fashion_{split}{suffix}").write_bytes(gzip.compress(data, 1) if suffix.endswith("gz") else data)


def write_npz(root: Path, splits: Splits) -> None:
    arrays = {}
    for split, (image, label) in splits.items():
        arrays |= {f"x_{split}": image, f"y_{split}": label}
    np.savez_compressed(root / "fashion.npz", **arrays)


def write_npy(root: Path, splits: Splits) -> None:
    for split, (image, label) in splits.items():
        np.save(root / f"{split}_images.npy", image)
        np.save(root / f"{split}_labels.npy", label)


def write_parquet(root: Path, splits: Splits, files: int = 2, struct: bool = True, row_group: int = 512) -> None:
    """As Hugging Face keeps data sets: several files a split, encoded images in a struct."""
    for split, (image, label) in splits.items():
        for at, rows in enumerate(np.array_split(np.arange(len(image)), files)):
            data = [encoded(image[row]) for row in rows]
            kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            column = pa.array([{"bytes": item, "path": None} for item in data], kind) if struct else pa.array(data)
            table = pa.table({"image": column, "label": pa.array(label[rows].astype(np.int64))})
            pq.write_table(table, root / f"{split}-{at:05d}-of-{files:05d}.parquet", row_group_size=row_group)


def write_folder(root: Path, splits: Splits) -> None:
    for split, (image, label) in splits.items():
        for row, (pixels, number) in enumerate(zip(image, label, strict=True)):
            place = root / split / str(number)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{row:05d}.png").write_bytes(encoded(pixels))


def write_flat(root: Path, splits: Splits, table: str = "csv") -> None:
    """Files in a folder a split, and a table of labels in each."""
    for split, (image, label) in splits.items():
        (root / split).mkdir()
        listed = [{"file_name": f"{row:05d}.png", "label": int(number)} for row, number in enumerate(label)]
        for entry, pixels in zip(listed, image, strict=True):
            (root / split / entry["file_name"]).write_bytes(encoded(pixels))
        place = root / split / f"metadata.{table}"
        if table == "csv":
            with open(place, "w", newline="") as file:
                writer = csv.DictWriter(file, ["file_name", "label"])
                writer.writeheader()
                writer.writerows(listed)
        elif table == "jsonl":
            place.write_text("".join(json.dumps(entry) + "\n" for entry in listed))
        else:
            pq.write_table(pa.Table.from_pylist(listed), place)


def write_tar(root: Path, splits: Splits, shards: int = 2, suffix: str = ".tar", label_file: str = "cls") -> None:
    for split, (image, label) in splits.items():
        for at, rows in enumerate(np.array_split(np.arange(len(image)), shards)):
            with tarfile.open(root / f"{split}-{at:04d}{suffix}", "w:gz" if suffix.endswith("gz") else "w") as tar:
                for row in rows:
                    number = str(label[row]) if label_file == "cls" else json.dumps({"label": int(label[row])})
                    add_to_tar(tar, f"{row:06d}.png", encoded(image[row]))
                    add_to_tar(tar, f"{row:06d}.{label_file}", number.encode())


def add_to_tar(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


#: Name → writer of a directory in that format.
FORMATS: dict[str, Callable[[Path, Splits], None]] = {
    "idx": write_idx_files,
    "csv": write_csv,
    "csv-bare": lambda root, splits: write_csv(root, splits, header=False),
    "csv-gz": lambda root, splits: write_csv(root, splits, suffix=".csv.gz"),
    "npz": write_npz,
    "npy": write_npy,
    "parquet": write_parquet,
    "parquet-binary": lambda root, splits: write_parquet(root, splits, 1, struct=False),
    "folder": write_folder,
    "flat-csv": write_flat,
    "flat-jsonl": lambda root, splits: write_flat(root, splits, "jsonl"),
    "flat-parquet": lambda root, splits: write_flat(root, splits, "parquet"),
    "tar": write_tar,
    "tar-gz": lambda root, splits: write_tar(root, splits, suffix=".tar.gz", label_file="json"),
}
#: Those in which files are sorted by class, so that the rows come in another order.
REORDERED = ("folder",)


def written(kind: str, root: Path, splits: Splits) -> Path:
    """A directory in a format."""
    root.mkdir(parents=True)
    FORMATS[kind](root, splits)
    return root
