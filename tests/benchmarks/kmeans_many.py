"""KMeans of k = 256, 20 iterations, on 600,000 garments: ours from compressed Zarr, faiss with all of it in memory.

Both begin with the same centres and use both cores. Faiss runs in a process of its own, whose memory is measured. Where
not all images fit into memory as floats, faiss gets as many as do, and times are compared for each image. Also: the
fastest that this machine multiplies matrices, of float32 by two threads, which is what both are made of.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fmnist_dask.collection.store import Collection
from fmnist_dask.models.clusters import describe_clusters
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import garments_store
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone, most_memory

#: Of the memory that is free, what faiss's images may take; the rest is for faiss itself, for reading, and for luck.
FAISS_SHARE = 0.8


@dataclass(frozen=True)
class ManyBenchmark(Options):
    """Images, clusters, iterations."""

    images: int = 600_000
    clusters: int = 256
    iterations: int = 20


BY_SIZE = {"tiny": ManyBenchmark(1, 3000, 16, 5), "usual": ManyBenchmark()}


def chapter(settings: Settings, options: ManyBenchmark) -> Iterator[Row]:
    """Both sides, and the fastest product."""
    iterations = options.iterations
    with settings.workers() as (connection, engine):
        collection = garments_store(engine, settings, options.images)
        start = start_of(collection, options.clusters)
        chosen = KMeansOptions(options.clusters, start, max_iter=iterations, tol=0)
        models: list[Any] = []
        ours = timed(
            lambda: models.append(drive(kmeans(collection, collection.n, chosen), collection, engine)), options.repeats
        )
        peak = most_memory(connection)
        described = drive(describe_clusters(collection, models[0], "all", 0, 255), collection, engine)
    n, inertia = collection.n, described.inertia / 255**2
    fastest = peak_gemm()
    work = 2 * n * collection.n_features * options.clusters * iterations / 1e9
    rate = work / ours.value
    told = (
        f"{rate:.0f} GFLOP/s, {rate / fastest:.0%} of the fastest GEMM; inertia {inertia:,.0f}; a worker {peak:.0f} MB"
    )
    what = f"KMeans, k = {options.clusters}, {iterations} iterations, {n:,} garments, from Zarr, 2 workers"
    if settings.has("faiss-cpu"):
        yield beside_faiss(collection, start, ours, options, (what, told), inertia)
    base = f"fastest GEMM, float32, 2 threads ({fastest:.0f} GFLOP/s)"
    yield beside_base(what, ours, base, work / fastest, n, remark=told)


def start_of(collection: Collection, k: int) -> np.ndarray:
    """Some of the images, as first centres."""
    rows = np.sort(np.random.default_rng(0).choice(collection.n, k, replace=False))
    start = np.concatenate([collection.read("image", row, row + 1) for row in rows.tolist()])
    return start.reshape(k, -1).astype(np.float64)


def images_that_fit(collection: Collection) -> int:
    """How many of the images fit into this machine's free memory as float32, with room to spare."""
    return min(collection.n, int(FAISS_SHARE * psutil.virtual_memory().available) // (4 * collection.n_features))


def beside_faiss(
    collection: Collection,
    start: np.ndarray,
    ours: Timed,
    options: ManyBenchmark,
    words: tuple[str, str],
    inertia: float,
) -> Row:
    """Faiss's side, of all images or of those that fit: then both are times of a million images."""
    n, fit = collection.n, images_that_fit(collection)
    theirs = run_faiss(collection, start, options, fit)
    what, told = words
    work = 2 * fit * collection.n_features * options.clusters * options.iterations / 1e9
    rate, memory = work / theirs["seconds"], theirs["peak"] / 1e6
    told += f"; theirs {rate:.0f} GFLOP/s, inertia {theirs['inertia']:,.0f}, {memory:,.0f} MB"
    seconds = Timed.of(theirs["times"])
    if fit == n:
        same = abs(inertia / theirs["inertia"] - 1) < 0.01
        by = "Kmeans, all in memory, 2 threads"
        return beside_peer(what, ours, "faiss-cpu", by, seconds, n, agrees=bool(same), remark=told)
    mine, other = (Timed.of([1e6 * took / size for took in of.runs]) for of, size in ((ours, n), (seconds, fit)))
    by = f"Kmeans, the {fit:,} that fit into memory, 2 threads"
    return beside_peer(f"{what}: seconds a million images", mine, "faiss-cpu", by, other, n, remark=told)


def run_faiss(collection: Collection, start: np.ndarray, options: ManyBenchmark, images: int) -> dict[str, Any]:
    """Faiss in a process of its own; seconds, inertia, peak bytes."""
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "start.npy", start.astype(np.float32) / 255)
        asked = {"store": str(collection.path), "images": images, "iterations": options.iterations}
        (Path(place) / "asked.json").write_text(json.dumps({**asked, "repeats": options.repeats}))
        command = [sys.executable, "-c", "from tests.benchmarks import kmeans_many; kmeans_many.faiss_side()", place]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def faiss_side() -> None:
    """The images in memory, read chunk by chunk, then the iterations; reading is not counted."""
    import faiss

    place = Path(sys.argv[1])
    asked = json.loads((place / "asked.json").read_text())
    collection, start = Collection.open(asked["store"]), np.load(place / "start.npy")
    values = np.empty((asked["images"], collection.n_features), dtype=np.float32)
    for at in range(0, len(values), collection.chunk_rows):
        stop = min(at + collection.chunk_rows, len(values))
        values[at:stop] = collection.read("image", at, stop).reshape(stop - at, -1)
    values /= 255
    faiss.omp_set_num_threads(2)
    times, iterations = [], asked["iterations"]
    for _ in range(asked["repeats"]):
        model = faiss.Kmeans(values.shape[1], len(start), niter=iterations, max_points_per_centroid=len(values), seed=0)
        begun = time.perf_counter()
        model.train(values, init_centroids=start)
        times.append(time.perf_counter() - begun)
    distances, _ = model.index.search(values, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer = {"seconds": float(np.median(times)), "times": times, "inertia": float(distances.sum(dtype=np.float64))}
    print(json.dumps({**answer, "peak": peak}))


def peak_gemm() -> float:
    """GFLOP/s of large float32 products, the best of some."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    left, right = (rng.random((4096, 4096), dtype=np.float32) for _ in range(2))
    best = np.inf
    with threadpool_limits(2):
        for _ in range(5):
            begun = time.perf_counter()
            left @ right
            best = min(best, time.perf_counter() - begun)
    return 2 * 4096**3 / best / 1e9


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "kmeans_many")
