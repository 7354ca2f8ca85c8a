"""KMeans of k = 256, 20 iterations, on 600,000 garments: ours from compressed Zarr, faiss with all of it in memory.

Both begin with the same centres and use both cores. Faiss runs in a process of its own, whose memory is measured. Also:
the fastest that this machine multiplies matrices, of float32 by two threads, which is what both are made of.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.models.clusters import describe_clusters
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import arguments, garments_store, median_seconds, show, two_workers


def main() -> None:
    """Both sides."""
    parser = arguments(__doc__, fashion=False)
    parser.add_argument("--images", type=int, default=600_000)
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--faiss", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.faiss:
        faiss_side(given.faiss, given.iterations, given.repeats)
        return
    with two_workers(given.directory) as (connection, engine):
        collection = garments_store(engine, given.directory, given.images)
        rows = np.sort(np.random.default_rng(0).choice(collection.n, given.clusters, replace=False))
        start = np.concatenate([collection.read("image", row, row + 1) for row in rows.tolist()])
        start = start.reshape(given.clusters, -1).astype(np.float64)
        options = KMeansOptions(given.clusters, start, max_iter=given.iterations, tol=0)
        models: list[Any] = []
        seconds, times = median_seconds(
            lambda: models.append(drive(kmeans(collection, collection.n, options), collection, engine)), given.repeats
        )
        peak = max(state["peak_bytes"] for state in connection.worker_states().values())
        inertia = drive(describe_clusters(collection, models[0], "all", 0, 255), collection, engine).inertia / 255**2
    theirs = run_faiss(collection, start, given)
    gemm = peak_gemm()
    operations = 2 * collection.n * collection.n_features * given.clusters * models[0].n_iter
    rate = operations / seconds / 1e9
    their_rate = 2 * collection.n * collection.n_features * given.clusters * given.iterations / theirs["seconds"] / 1e9
    show(
        f"KMeans k = {given.clusters}, {given.iterations} iterations, {collection.n:,} images of 784 pixels",
        [
            ("ours from compressed Zarr, 2 workers", seconds,
             f"{rate:.0f} GFLOP/s, {rate / gemm:.0%} of GEMM; inertia {inertia:,.0f}; a worker {peak / 1e6:.0f} MB; "
             f"runs {np.round(times, 1)}"),
            ("faiss-cpu, all in memory, 2 threads", theirs["seconds"],
             f"{their_rate:.0f} GFLOP/s; inertia {theirs['inertia']:,.0f}; {theirs['peak'] / 1e6:.0f} MB; ours "
             f"{seconds / theirs['seconds']:.2f} × its time; runs {np.round(theirs['times'], 1)}"),
            ("fastest GEMM, float32, 2 threads", operations / gemm / 1e9, f"{gemm:.0f} GFLOP/s"),
        ],
    )  # fmt: skip


def run_faiss(collection: Collection, start: np.ndarray, given: argparse.Namespace) -> dict[str, Any]:
    """Faiss in a process of its own; seconds, inertia, peak bytes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        np.save(path / "start.npy", start.astype(np.float32) / 255)
        (path / "store").write_text(str(collection.path))
        command = [sys.executable, "-m", "tests.benchmarks.kmeans_many", "--faiss", place,
                   "--iterations", str(given.iterations), "--repeats", str(given.repeats)]  # fmt: skip
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def faiss_side(place: Path, iterations: int, repeats: int) -> None:
    """All images in memory, then the iterations; reading is not counted."""
    import faiss

    collection = Collection.open((place / "store").read_text())
    start = np.load(place / "start.npy")
    values = np.empty((collection.n, collection.n_features), dtype=np.float32)
    for at in range(0, collection.n, collection.chunk_rows):
        stop = min(at + collection.chunk_rows, collection.n)
        values[at:stop] = collection.read("image", at, stop).reshape(stop - at, -1)
    values /= 255
    faiss.omp_set_num_threads(2)
    times = []
    for _ in range(repeats):
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
    main()
