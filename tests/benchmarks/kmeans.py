"""KMeans k = 10, n_init = 10 of Fashion-MNIST's training images, against scikit-learn in memory and dask-ml.

Also: what one of Lloyd's passes costs, and how time grows with ten times the images (garments, a set number
of passes).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from fmnist_dask.kernels.nearest import CentreSets, nearest, pixel_sums
from fmnist_dask.models.clusters import describe_clusters
from fmnist_dask.models.kmeans import KMeansModel, kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import (
    arguments,
    fashion_store,
    garments_store,
    median_seconds,
    show,
    training_pixels,
    two_workers,
)

CLUSTERS, STARTS = 10, 10


def shares(pixels: np.ndarray, collection: Any, model: KMeansModel) -> dict[str, float]:
    """Seconds of one thread for each part of a pass with one start."""
    sets = CentreSets.of([model.centres])
    columns = np.ascontiguousarray(model.centres.T, dtype=np.float32)
    times = [time.perf_counter()]
    for start in range(0, collection.n, collection.chunk_rows):
        collection.read("image", start, min(start + collection.chunk_rows, collection.n))
    times.append(time.perf_counter())
    for start in range(0, len(pixels), 256):
        pixels[start : start + 256].astype(np.float32)
    times.append(time.perf_counter())
    for start in range(0, len(pixels), 256):
        pixels[start : start + 256].astype(np.float32) @ columns
    times.append(time.perf_counter())
    labels = nearest(pixels, sets)
    times.append(time.perf_counter())
    pixel_sums(pixels, labels.astype(np.int64), CLUSTERS)
    times.append(time.perf_counter())
    decode, convert, product, assign, sums = np.diff(times)
    return {
        "decode": decode,
        "to float32": convert,
        "GEMM": product - convert,
        "norms, argmin, doubts": assign - product,
        "sums": sums,
    }


def main() -> None:
    """Run all sides."""
    from dask_ml.cluster import KMeans as DaskKMeans
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    parser = arguments(__doc__)
    given = parser.parse_args()
    with two_workers(given.directory) as (_, engine):
        collection = fashion_store(engine, given.directory, given.data)
        pixels = training_pixels(collection)
        seeds = iter(range(1000))
        models: list[KMeansModel] = []
        inertia: list[float] = []

        def ours() -> None:
            options = KMeansOptions(CLUSTERS, n_init=STARTS, seed=next(seeds))
            models.append(drive(kmeans(collection, len(pixels), options, "train"), collection, engine))
            described = drive(describe_clusters(collection, models[-1], "train", 12, 255), collection, engine)
            inertia.append(described.inertia / 255**2)

        ours()
        seconds, runs = median_seconds(ours, given.repeats)
        # One start from given centres, so that the number of passes is known.
        fixed = KMeansOptions(CLUSTERS, models[-1].centres + 20, max_iter=20, tol=0)
        passes, _ = median_seconds(
            lambda: drive(kmeans(collection, len(pixels), fixed, "train"), collection, engine), given.repeats
        )
        small, large = (garments_store(engine, given.directory, n) for n in (60_000, 600_000))
        growth = []
        for garments in (small, large):
            n = garments.splits["train"]
            growth.append(
                median_seconds(lambda g=garments, n=n: drive(kmeans(g, n, fixed, "train"), g, engine), given.repeats)[0]
            )
        floats = collection.to_xarray().image.data[: len(pixels)].reshape(len(pixels), -1).astype("float32") / 255
        held = floats.persist()
        dask_ml, _ = median_seconds(lambda: DaskKMeans(CLUSTERS, random_state=0).fit(held), 1)
    with threadpool_limits(1):
        shares(pixels, collection, models[-1])
        parts = shares(pixels, collection, models[-1])
    memory = pixels.astype(np.float32) / 255
    plain, plain_runs = median_seconds(lambda: KMeans(CLUSTERS, n_init=STARTS, random_state=0).fit(memory), 1)
    work = sum(parts.values())
    show(
        f"KMeans {CLUSTERS}, {STARTS} starts, {len(pixels):,} images; inertia {np.round(inertia, 1)}",
        [
            ("ours from compressed Zarr, 2 workers", seconds, f"runs {np.round(runs, 2)}, "
             f"passes {[model.n_iter for model in models]}"),
            ("scikit-learn in memory, float32", plain, f"ours {seconds / plain:.2f} ×; {np.round(plain_runs, 1)}"),
            ("dask-ml KMeans, one fit, 2 workers", dask_ml, f"ten fits: {10 * dask_ml / seconds:.0f} × ours"),
            ("one pass, one start", passes / 21, f"scheduling, merging, waiting {1 - 21 * work / 2 / passes:.0%}"),
            *((f"one thread, a pass: {name}", part, f"{part / work:.0%} of the work") for name, part in parts.items()),
            ("60,000 garments, 20 passes", growth[0], ""),
            ("600,000 garments, 20 passes", growth[1], f"{growth[1] / growth[0]:.1f} times as long"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
