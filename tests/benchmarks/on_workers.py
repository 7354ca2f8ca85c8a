"""What benchmarks run on workers, in a module that imports nothing of theirs: a worker's memory is measured."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.protocol import Readable, Reduction, Scan

if TYPE_CHECKING:
    from fmnist_dask.collection.store import Collection


def encoded_parquet(root: Path) -> Iterator[tuple[bytes, int]]:
    """Bytes and label of each row of Parquet files."""
    import pyarrow.parquet as pq

    for path in sorted(root.iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(1024):
            for row in batch.to_pylist():
                yield row["image"]["bytes"], row["label"]


def decoding_alone(root: Path, half: int) -> float:
    """Seconds to decode every second image of Parquet files by Pillow, already in memory."""
    from PIL import Image

    encoded = [data for at, (data, _) in enumerate(encoded_parquet(root)) if at % 2 == half]
    begun = time.perf_counter()
    for data in encoded:
        np.asarray(Image.open(io.BytesIO(data)))
    return time.perf_counter() - begun


def leave_out_extra() -> None:
    """As if the extra ``fast`` were not installed."""
    sys.modules["imagecodecs"] = None  # type: ignore[assignment]


@dataclass(frozen=True)
class EmptyChunks:
    """A source of chunks of one row that is made of nothing: only what surrounds a task's work is left.

    Attributes
    ----------
    n
        Chunks.
    n_features
        What a row is said to be made of. Rows that seem large enough make a task of each chunk.
    """

    n: int
    n_features: int
    chunk_rows: int = 1
    image_shape: tuple[int, int] = (1, 1)
    image_bytes: int = 1
    feature_dtype: str = "uint8"
    class_names: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, int]:
        """All of one."""
        return {"train": self.n}

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        return Block(np.arange(start, stop), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Zeros."""
        return np.zeros((stop - start, *self.image_shape), np.uint8)


@dataclass(frozen=True)
class CountRows(Reduction):
    """How many rows there are: a state of one integer, and no work."""

    def initial(self, source: Readable) -> int:
        """None."""
        return 0

    def chunk(self, state: int, block: Block) -> int:
        """Those of the block."""
        return state + len(block)

    def combine(self, left: int, right: int) -> int:
        """Their sum."""
        return left + right

    def state_bytes(self, source: Readable) -> int:
        """One integer."""
        return 8


def thread_seconds(dask_scheduler: Any) -> dict[str, float]:
    """Of the scheduler: CPU seconds of the thread that its event loop runs in, resident and highest MB, and tasks done.

    Tasks are counted by the first word of their names.
    """
    from fmnist_dask.passes.probe import resident_bytes

    found = {"cpu": time.thread_time(), "resident": resident_bytes() / 1e6, "highest": resident_bytes(True) / 1e6}
    for name, prefix in dask_scheduler.task_prefixes.items():
        kind = name.partition("-")[0]
        found[f"tasks {kind}"] = found.get(f"tasks {kind}", 0) + prefix.state_counts["memory"]
    return found


def forget_highest(dask_scheduler: Any) -> None:
    """From now on, the highest memory of the scheduler is that of what follows."""
    from fmnist_dask.passes.probe import reset_peak

    reset_peak()


def statistics_of(collection: Collection, engine: Any) -> dict[str, str]:
    """Counts of all values of each pixel, and a hash of each image; a digest of the counts."""
    from fmnist_dask.passes.identity import digest_of
    from fmnist_dask.passes.reductions.histogram import PixelHistogram
    from fmnist_dask.passes.reductions.properties import ContentHash

    scan = Scan({"histogram": PixelHistogram()}, {"hash": ContentHash()})
    counts = engine.scan(collection, {"statistics": scan})["statistics"]["histogram"]
    return {key: digest_of(table) for key, table in counts.items()}


def clusters_of(collection: Collection, engine: Any, iterations: int) -> str:
    """As many iterations of k-means, ten clusters from random places; a digest of the centres."""
    from fmnist_dask.models.kmeans import kmeans
    from fmnist_dask.models.kmeans_starts import KMeansOptions
    from fmnist_dask.passes.identity import digest_of
    from fmnist_dask.passes.local import drive

    start = np.random.default_rng(0).uniform(0, 255, (10, collection.n_features))
    fixed = KMeansOptions(10, start, max_iter=iterations, tol=0)
    return digest_of(drive(kmeans(collection, collection.n, fixed), collection, engine).centres)


def seconds_here(path: str, work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of such work in this process alone, without a scheduler; once before, unmeasured."""
    from fmnist_dask.collection.store import Collection
    from fmnist_dask.passes.local import LocalEngine

    collection = Collection.open(path)
    work(collection, LocalEngine(), *arguments)
    begun = time.perf_counter()
    work(collection, LocalEngine(), *arguments)
    return time.perf_counter() - begun


def keep_to_one_core() -> None:
    """Let all threads of this process run on one core only, where the system can (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
