"""The statistics pass (content hash and histograms by class and split) against NumPy in memory.

Ours reads compressed Zarr from disk on two worker processes; NumPy has all images in memory already, and computes the
mean and the quartiles of each pixel by class. Beside the ratio: what one thread spends on decoding, hashing, counting.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.collection.store import Collection
from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.properties import ContentHash
from tests.benchmarks.common import garments_store, median_seconds, show


def numpy_statistics(image: np.ndarray, label: np.ndarray) -> None:
    """Mean and quartiles of each pixel by class, the plain way."""
    for index in range(10):
        of_class = image[label == index]
        of_class.mean(axis=0)
        np.quantile(of_class, [0.25, 0.5, 0.75], axis=0)


def shares(collection: Collection) -> dict[str, float]:
    """Seconds that one thread spends on each part of the pass, over the whole collection."""
    spent = {"decode": 0.0, "hash": 0.0, "count": 0.0}
    histogram = PixelHistogram()
    state = histogram.initial(collection)
    for start in range(0, collection.n, collection.chunk_rows):
        begun = time.perf_counter()
        block = collection.block(start, min(start + collection.chunk_rows, collection.n))
        image = block.image
        decoded = time.perf_counter()
        content_hashes(image)
        hashed = time.perf_counter()
        state = histogram.chunk(state, block)
        counted = time.perf_counter()
        for name, seconds in zip(spent, (decoded - begun, hashed - decoded, counted - hashed), strict=True):
            spent[name] += seconds
    return spent


def main() -> None:
    """Run both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(cluster) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        collection = garments_store(engine, given.directory, given.images)
        scan = Scan({"histogram": PixelHistogram()}, {"hash": ContentHash()})

        def ours() -> None:
            engine.scan(collection, {"statistics": scan})

        ours()
        seconds, runs = median_seconds(ours, given.repeats)
        tasks = engine.statistics.tasks // engine.statistics.passes
    shares(collection)
    parts = shares(collection)
    image = np.concatenate(
        [
            collection.read("image", at, at + collection.chunk_rows)
            for at in range(0, collection.n, collection.chunk_rows)
        ]
    )
    label = np.concatenate(
        [
            collection.read("label", at, at + collection.chunk_rows)
            for at in range(0, collection.n, collection.chunk_rows)
        ]
    )
    in_memory, numpy_runs = median_seconds(lambda: numpy_statistics(image, label), max(1, given.repeats // 2))
    work = sum(parts.values())
    pixels = collection.n * collection.image_bytes
    show(
        f"statistics pass over {collection.n:,} garments",
        [
            ("NumPy in memory: mean, quartiles by class", in_memory, f"runs {np.round(numpy_runs, 2)}"),
            (
                "ours from compressed Zarr, 2 workers",
                seconds,
                f"{in_memory / seconds:.2f} times as fast; {np.round(runs, 2)}",
            ),
            *((f"one thread: {name}", part, f"{part / work:.0%} of the work") for name, part in parts.items()),
            (
                "scheduling, merging, waiting",
                seconds - work / 2,
                f"{1 - work / 2 / seconds:.0%} of the pass, {tasks} tasks",
            ),
            (
                "floor: decoding alone on two threads",
                parts["decode"] / 2,
                f"{parts['decode'] / 2 / seconds:.0%} of the pass",
            ),
        ],
    )
    print(f"  pixels: {pixels / 1e6:,.0f} MB, {pixels / seconds / 1e6:,.0f} MB/s")


if __name__ == "__main__":
    main()
