"""What several test modules build their data from. Importable, also by worker processes (see ``conftest.py``)."""

from __future__ import annotations

import dataclasses
import gzip
import os
import signal
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.parts import write_part
from fmnist_dask.collection.planning import IngestPlan, plan_ingest
from fmnist_dask.collection.sources.base import Partition, Rows, Source
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import begin, commit
from fmnist_dask.errors import SourceError
from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.kernels.properties import PROPERTIES
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction, Scan
from fmnist_dask.passes.reductions.census import Census, SizeCensus
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.images import Extremes, ImageSample, ImagesAt
from fmnist_dask.passes.reductions.pixels import IntervalCounts, PixelSummary
from fmnist_dask.passes.reductions.properties import ContentHash, ImageProperties, PropertyHistogram
from fmnist_dask.passes.reductions.verify import VerifyGroups
from fmnist_dask.workflow.steps.ingest import all_rows, ingest


def some_slow(quick: Iterable[Any], slow: Iterable[Any]) -> list[Any]:
    """Values for ``parametrize``, of which the second ones are left to those who ask for tests that take longer."""
    import pytest

    return [*quick, *(pytest.param(value, marks=pytest.mark.slow) for value in slow)]


CLASSES = ("shoe", "shirt", "bag")
SPLITS = ("train", "test")
#: Names of the columns of :func:`everything`.
COLUMNS = ("measured", "hash")


def random_images(n: int, shape: tuple[int, ...] = (5, 4), distinct: int | None = None, seed: int = 0) -> np.ndarray:
    """Random images; with ``distinct``, only that many different ones."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 256, (n if distinct is None else distinct, *shape), dtype=np.uint8)
    return pool if distinct is None else pool[rng.integers(0, distinct, n)]


def collection_of(
    n: int,
    shape: tuple[int, ...] = (5, 4),
    chunk_rows: int = 7,
    distinct: int | None = None,
    seed: int = 0,
    labelled: bool = True,
    splits: tuple[str, ...] = SPLITS,
    hashed: bool = False,
) -> ArrayCollection:
    """Random images in memory, with random labels (some unknown) and splits."""
    rng = np.random.default_rng(seed + 1)
    image = random_images(n, shape, distinct, seed)
    return ArrayCollection(
        image,
        rng.integers(-1, len(CLASSES), n) if labelled else None,
        rng.integers(0, len(splits), n),
        CLASSES if labelled else (),
        splits,
        chunk_rows,
        {"content_hash": content_hashes(image)} if hashed else {},
    )


class FloatCollection(ArrayCollection):
    """Float features beside the images."""

    @property
    def n_features(self) -> int:
        return self.extra["features"].shape[1]

    @property
    def feature_dtype(self) -> str:
        return str(self.extra["features"].dtype)

    def block(self, start: int, stop: int) -> Block:
        return Block(np.arange(start, stop), lambda name: self.read(name, start, stop), "features")


def with_features(features: np.ndarray, chunk_rows: int = 256) -> FloatCollection:
    image = np.zeros((len(features), 1, 1), np.uint8)
    return FloatCollection(image, chunk_rows=chunk_rows, extra={"features": features})


def rechunked(source: ArrayCollection, chunk_rows: int) -> ArrayCollection:
    """The same images in chunks of another length."""
    return dataclasses.replace(source, chunk_rows=chunk_rows, reads=[])


def image_reads(source: ArrayCollection) -> list[int]:
    """First rows of all reads of images, in order of reading."""
    return [start for name, start in source.reads if name == "image"]


def assert_same(left: Any, right: Any) -> None:
    """Compare nested results of passes: values, dtypes and the order of keys."""
    if isinstance(left, dict):
        assert isinstance(right, dict)
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


class ArraySource(Source):
    """Images in memory as raw input. ``seekable`` says whether its partitions can be entered anywhere."""

    kind = "arrays"
    location = "memory"
    description = "Arrays of a test."
    class_names = CLASSES

    def __init__(
        self,
        image: np.ndarray,
        label: np.ndarray | None,
        splits: dict[str, int],
        seekable: bool = True,
        name: str = "arrays",
        pause: float = 0.0,
    ) -> None:
        self.image, self.label, self.name, self.pause = image, label, name, pause
        self.image_shape = image.shape[1:]
        self.partitions = tuple(Partition(split, rows, seekable) for split, rows in splits.items())

    def identity(self) -> dict[str, Any]:
        return {"sum": int(self.image.sum()), "n": len(self.image)}

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        offset = sum(part.rows for part in self.partitions[:partition])
        for at in range(start, stop, batch_rows):
            time.sleep(self.pause)
            rows = np.arange(at, min(stop, at + batch_rows), dtype=np.int64)
            label = None if self.label is None else self.label[rows + offset].astype(np.int16)
            yield Rows(self.image[rows + offset], label, rows)


def array_source(n: int = 1500, seekable: bool = True, name: str = "arrays", pause: float = 0.0) -> ArraySource:
    """Random images of two splits, the second a third of them, with duplicates."""
    label = np.random.default_rng(5).integers(-1, len(CLASSES), n)
    image = random_images(n, (6, 5), distinct=n // 2, seed=3)
    return ArraySource(image, label, {"train": n - n // 3, "test": n // 3}, seekable, name, pause)


def write_store(plan: IngestPlan) -> Collection:
    """Carry out an ingest in this process."""
    for part in begin(plan):
        write_part(plan, part)
    return commit(plan)


def ingested(source: Source, path: Path, chunk_rows: int | None = 256) -> Collection:
    """Carry out a whole ingest in this process, with what is to be left out."""
    plan = plan_ingest(source, path, chunk_rows)
    return drive(ingest(plan), all_rows(plan), LocalEngine())


def stored(source: Source, path: Path, chunk_rows: int | None = 256) -> Collection:
    """A committed store of a source."""
    return write_store(plan_ingest(source, path, chunk_rows))


def write_idx(path: Path, values: np.ndarray, magic: int | None = None, tail: bytes = b"") -> Path:
    """Write an IDX file; compressed if its name says so."""
    header = struct.pack(">I", 0x0800 + values.ndim if magic is None else magic)
    data = header + struct.pack(f">{values.ndim}I", *values.shape) + values.astype(np.uint8).tobytes() + tail
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_idx_set(directory: Path, train: int = 40, test: int = 10, suffix: str = ".gz", classes: int = 10) -> Path:
    """Write the four files of an IDX data set, and return their directory."""
    image = random_images(train + test, (6, 5), seed=11)
    label = np.arange(train + test) % classes
    for prefix, part in (("train", slice(0, train)), ("t10k", slice(train, None))):
        write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", image[part])
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", label[part])
    return directory


@dataclasses.dataclass(frozen=True)
class SlowSum(Reduction):
    """Rows and sum of their pixels; takes its time over each block."""

    seconds: float = 0.0

    def initial(self, source: Readable) -> np.ndarray:
        return np.zeros(2, np.int64)

    def chunk(self, state: np.ndarray, block: Block) -> np.ndarray:
        time.sleep(self.seconds)
        state += np.array([len(block), int(block.image.sum(dtype=np.int64))])
        return state

    def combine(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left + right

    def state_bytes(self, source: Readable) -> int:
        return 16


@dataclasses.dataclass(frozen=True)
class Sized(Reduction):
    """Counts rows; declares whatever memory a test wants it to."""

    state: int = 8
    task: int = 0
    low: int = 0
    high: int = 1 << 60

    def initial(self, source: Readable) -> int:
        return 0

    def chunk(self, state: int, block: Block) -> int:
        return state + len(block.image)

    def combine(self, left: int, right: int) -> int:
        return left + right

    def state_bytes(self, source: Readable) -> int:
        return self.state

    def task_bytes(self, source: Readable, rows: int) -> int:
        return self.task

    def wants(self, start: int, stop: int) -> bool:
        return start < self.high and stop > self.low


def content_groups(image: np.ndarray) -> dict[bytes, list[int]]:
    """Rows of each distinct image, by brute force."""
    groups: dict[bytes, list[int]] = {}
    for row, pixels in enumerate(image):
        groups.setdefault(pixels.tobytes(), []).append(row)
    return groups


def everything(image: np.ndarray) -> Scan:
    """A scan with all reductions and columns that there are."""
    n, names = len(image), tuple(PROPERTIES)
    groups = [rows for rows in content_groups(image).values() if len(rows) > 1] + [[0, n - 1]]
    member = np.concatenate(groups)
    number = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    # The group of the first and the last row stands beside those of copies: a row belongs to one group only.
    once = np.unique(member, return_index=True)[1]
    rows, number = member[once], np.unique(number[once], return_inverse=True)[1]
    picked = tuple(sorted({0, n // 3, n // 2, n - 1}))
    starts = np.broadcast_to(np.array([[64], [192]], np.uint8), (3, 2, image[0].size))
    intervals = ArrayParameter(np.ascontiguousarray(starts))
    return Scan(
        reductions={
            "census": Census(),
            "sizes": SizeCensus(),
            "histogram": PixelHistogram(),
            "sample": ImageSample(3, seed=7),
            "extremes": Extremes(4, names),
            "at": ImagesAt(picked),
            "whole": ImagesAt(picked, thumbnails=False),
            "properties": PropertyHistogram(),
            "verify": VerifyGroups(rows, number),
            "summary": PixelSummary(n, None, True, 0, image[0].size, 3),
            "intervals": IntervalCounts(n, ((None, None), (0, None), (None, 1)), intervals, 6, 2, True, 0),
        },
        columns={"measured": ImageProperties(), "hash": ContentHash()},
    )


def values_of(result: dict[str, Any]) -> dict[str, Any]:
    """A scan's result with its columns read into arrays."""
    read = {name: {key: values[0 : len(values)] for key, values in result[name].items()} for name in COLUMNS}
    return {**result, **read}


def refuse(message: str, remedy: str) -> None:
    """Fail as a source does."""
    raise SourceError(message, remedy)


def die() -> None:
    """Kill the process that calls."""
    os.kill(os.getpid(), signal.SIGKILL)


def assert_spread(model: Any, features: np.ndarray) -> None:
    """Samples that a map placed among landmarks do not pile up on these, nor on a few of them."""
    own, others = model.embedding[model.fitted], model.embedding[~model.fitted]
    assert len(np.unique(others, axis=0)) == len(others)
    tree = cKDTree(own)
    distance, nearest = tree.query(others)
    # As far from the nearest landmark as landmarks are from each other; or, where these keep each other at a distance
    # (in t-SNE they repel each other), as if others had been strewn over the gaps around them.
    between = tree.query(own, 2)[0][:, 1]
    rng = np.random.default_rng(0)
    angle, length = rng.uniform(0, 2 * np.pi, len(others)), between[nearest] * np.sqrt(rng.uniform(size=len(others)))
    strewn = tree.query(own[nearest] + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))[0]
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        expected = min(np.quantile(between, share), np.quantile(strewn, share))
        assert np.quantile(distance, share) > 0.4 * expected, share
    # No landmark has many more around it on the map than among the features.
    known = cKDTree(features[model.rows][model.fitted]).query(features[model.rows][~model.fitted])[1]
    assert np.bincount(nearest).max() <= 2 * np.bincount(known).max()
