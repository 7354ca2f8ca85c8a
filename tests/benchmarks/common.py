"""What the benchmarks share: medians, a table of ratios, a garments store on disk."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import Connection, connect
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.workflow.fingerprint import cpu_name
from fmnist_dask.workflow.ingesting import make_collection


def arguments(description: str | None, fashion: bool = True) -> argparse.ArgumentParser:
    """What benchmarks are asked alike: repeats, where stores are kept, and where Fashion-MNIST lies."""
    parser = argparse.ArgumentParser(description=description)
    if fashion:
        data = os.environ.get("FMNIST_DASK_DATA", "")
        place = Path(data) / "fashion-mnist" if data else None
        parser.add_argument("--data", type=Path, default=place, required=not data)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    return parser


@contextlib.contextmanager
def two_workers(directory: Path) -> Iterator[tuple[Connection, DistributedEngine]]:
    """A cluster of two worker processes of one thread each, and an engine that writes columns to the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    config = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(config) as connection:
        yield connection, DistributedEngine(connection.client, connection.workers, directory / "columns")


def median_seconds(work: Callable[[], Any], repeats: int = 5) -> tuple[float, list[float]]:
    """Median and all durations of a call."""
    durations = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begun)
    return statistics.median(durations), durations


def garments_store(engine: Any, directory: Path, n: int) -> Collection:
    """A store of n garments; made once."""
    path = directory / f"garments-{n}.zarr"
    try:
        return Collection.open(path)
    except CollectionError:
        return make_collection(engine, Garments({"n": n}), path)


def machine() -> str:
    """Processor, Python and NumPy."""
    return f"{cpu_name()}, Python {platform.python_version()}, NumPy {np.__version__}"


def show(title: str, rows: list[tuple[str, float, str]]) -> None:
    """Print a table of (what, seconds, remark)."""
    print(f"\n{title}\n{machine()}")
    for what, seconds, remark in rows:
        print(f"  {what:<46}{seconds:9.3f} s   {remark}")


def fashion_store(engine: Any, directory: Path, data: Path) -> Collection:
    """A store of Fashion-MNIST; made once."""
    path = directory / "fashion-mnist.zarr"
    try:
        return Collection.open(path)
    except CollectionError:
        source = open_source(str(data))
        assert isinstance(source, Source)
        return make_collection(engine, source, path)


def training_pixels(collection: Collection) -> np.ndarray:
    """The training images in memory, uint8, shape (n, pixels)."""
    stop = collection.splits["train"]
    parts = [
        collection.read("image", at, min(at + collection.chunk_rows, stop))
        for at in range(0, stop, collection.chunk_rows)
    ]
    return np.concatenate(parts).reshape(stop, -1)
