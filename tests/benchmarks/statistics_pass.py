"""The statistics pass (content hash and histograms by class and split) against NumPy in memory.

Ours reads compressed Zarr from disk on two worker processes; NumPy has all images in memory already, and computes the
mean and the quartiles of each pixel by class. Beside the ratio: what one thread spends on decoding, hashing, counting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.kernels.histogram import moments, quantiles
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.properties import ContentHash
from tests.benchmarks.common import all_pixels, garments_store
from tests.benchmarks.rows import Row, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone

QUARTILES = np.array([0.25, 0.5, 0.75])


@dataclass(frozen=True)
class StatisticsOptions(Options):
    """How many garments."""

    repeats: int = 5
    images: int = 600_000


BY_SIZE = {
    "tiny": StatisticsOptions(1, 3000),
    "usual": StatisticsOptions(),
    "large": StatisticsOptions(images=6_000_000),
}


def numpy_statistics(image: np.ndarray, label: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and quartiles of each pixel by class, the plain way."""
    found = []
    for index in range(10):
        of_class = image[label == index]
        found.append((of_class.mean(axis=0), np.quantile(of_class, QUARTILES, axis=0)))
    return found


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


def chapter(settings: Settings, options: StatisticsOptions) -> Iterator[Row]:
    """Both sides, and the parts of ours."""
    with settings.workers() as (_, engine):
        collection = garments_store(engine, settings, options.images)
        scan = Scan({"histogram": PixelHistogram()}, {"hash": ContentHash()})
        found: list[Any] = []

        def ours() -> None:
            found[:] = [engine.scan(collection, {"statistics": scan})["statistics"]["histogram"]]

        ours()
        seconds = timed(ours, options.repeats)
        tasks = engine.statistics.tasks // engine.statistics.passes
    shares(collection)
    parts = shares(collection)
    image = all_pixels(collection).reshape(-1, *collection.image_shape)
    label = collection.read("label", 0, collection.n)
    expected: list[Any] = []
    in_memory = timed(lambda: expected.append(numpy_statistics(image, label)), max(1, options.repeats // 2))
    n, work = collection.n, sum(parts.values())
    rate = n * collection.image_bytes / seconds.value / 1e6
    by = "mean and quartiles by class, in memory"
    told = f"{in_memory.value / seconds.value:.2f} times as fast; {rate:,.0f} MB/s"
    what = "statistics pass, from Zarr, 2 workers"
    yield beside_peer(what, seconds, "NumPy", by, in_memory, n, agrees=same(found[0], expected[-1]), remark=told)
    whole = "the pass on one thread"
    for name, part in parts.items():
        yield beside_base(f"one thread: {name}", part, whole, work, n, remark=f"{part / work:.0%} of the work")
    pause = seconds.value - work / 2
    yield beside_base("scheduling, merging, waiting", pause, "the pass", seconds, n, remark=f"{tasks} tasks")
    yield beside_base("floor: decoding alone, two threads", parts["decode"] / 2, "the pass", seconds, n)


def same(histogram: Any, expected: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether the histograms have NumPy's means and quartiles."""
    for index, (mean, quartiles) in enumerate(expected):
        counts = sum(table for (_, label), table in histogram.items() if label == index)
        close = np.allclose(moments(counts)[0], mean.ravel(), rtol=1e-12)
        if not close or not np.array_equal(quantiles(counts, QUARTILES), quartiles.reshape(3, -1)):
            return False
    return True


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "statistics_pass")
