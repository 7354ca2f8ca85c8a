"""What chapters share: stores on disk, made once, of garments and of Fashion-MNIST or what stands in for it."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError
from fmnist_dask.workflow.ingesting import make_collection
from tests.benchmarks.settings import Settings

#: Garments that stand in for Fashion-MNIST, in all: at size tiny, and where Fashion-MNIST is not there.
TINY_IMAGES, STAND_IN_IMAGES = 1400, 70_000


def arrays_of(source: Source) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of each split of a source, in memory."""
    found = {}
    for number, part in enumerate(source.partitions):
        batches = list(source.read(number, 0, part.rows, 4096))
        image, label = (np.concatenate([getattr(rows, field) for rows in batches]) for field in ("image", "label"))
        found[part.split] = (image, label)
    return found


def stored(engine: Any, source: Source, path: Path) -> Collection:
    """A store of a source; made once."""
    try:
        return Collection.open(path)
    except CollectionError:
        return make_collection(engine, source, path)


def garments_store(engine: Any, settings: Settings, n: int) -> Collection:
    """A store of n garments; made once."""
    return stored(engine, Garments({"n": n}), settings.directory / f"garments-{n}.zarr")


def fashion_files(settings: Settings) -> Path:
    """Directory of Fashion-MNIST's IDX files, or of garments in such files."""
    if settings.data is not None:
        return settings.data / "fashion-mnist"
    n = TINY_IMAGES if settings.tiny else STAND_IN_IMAGES
    place = settings.directory / f"idx-{n}"
    if not place.exists():
        pending = settings.directory / f"pending-idx-{n}"
        pending.mkdir(parents=True, exist_ok=True)
        for split, arrays in arrays_of(Garments({"n": n})).items():
            prefix = {"train": "train", "test": "t10k"}[split]
            for values, name in zip(arrays, ("images-idx3-ubyte", "labels-idx1-ubyte"), strict=True):
                header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
                content = gzip.compress(header + values.astype(np.uint8).tobytes(), 1, mtime=0)
                (pending / f"{prefix}-{name}.gz").write_bytes(content)
        pending.rename(place)
    return place


def fashion_name(settings: Settings) -> str:
    """What its images are called in tables."""
    return "garments" if settings.data is None else "Fashion-MNIST"


def fashion_source(settings: Settings) -> Source:
    """Fashion-MNIST, or what stands in for it."""
    source = open_source(str(fashion_files(settings)))
    assert isinstance(source, Source)
    return source


def fashion_store(engine: Any, settings: Settings) -> Collection:
    """A store of it; made once."""
    name = "fashion-mnist" if settings.data is not None else fashion_files(settings).name
    return stored(engine, fashion_source(settings), settings.directory / f"{name}.zarr")


def all_pixels(collection: Collection, stop: int | None = None) -> np.ndarray:
    """The first images in memory, uint8, shape (n, pixels)."""
    stop, step = collection.n if stop is None else stop, collection.chunk_rows
    parts = [collection.read("image", at, min(at + step, stop)) for at in range(0, stop, step)]
    return np.concatenate(parts).reshape(stop, -1)


def training_pixels(collection: Collection) -> np.ndarray:
    """The training images in memory, uint8, shape (n, pixels)."""
    return all_pixels(collection, collection.splits["train"])
