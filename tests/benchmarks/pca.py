"""PCA 50 of Fashion-MNIST's training images: ours from compressed Zarr, against scikit-learn's and dask-ml's.

scikit-learn's PCA has the images in memory as float64. Its IncrementalPCA and dask-ml's take them in batches.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.kernels.gram import add_gram, scatter_of
from fmnist_dask.models.pca import PCAOptions, from_scatter, pca
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_store, median_seconds, show, training_pixels

COMPONENTS = 50


def shares(pixels: np.ndarray, collection: Any) -> dict[str, float]:
    """Seconds of one thread for each part."""
    begun = time.perf_counter()
    for start in range(0, collection.n, collection.chunk_rows):
        collection.read("image", start, min(start + collection.chunk_rows, collection.n))
    decoded = time.perf_counter()
    gram, sums = np.zeros((784, 784)), np.zeros(784, dtype=np.int64)
    add_gram(pixels, gram, sums)
    multiplied = time.perf_counter()
    from_scatter(*scatter_of(gram, sums, len(pixels)), len(pixels), COMPONENTS, {})
    solved = time.perf_counter()
    return {"decode": decoded - begun, "Gram": multiplied - decoded, "eigenvectors": solved - multiplied}


def main() -> None:
    """Run all sides."""
    from dask_ml.decomposition import IncrementalPCA as DaskIncrementalPCA
    from sklearn.decomposition import PCA, IncrementalPCA
    from threadpoolctl import threadpool_limits

    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(cluster) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        collection = fashion_store(engine, given.directory, given.data)
        pixels = training_pixels(collection)
        found = []

        def ours() -> None:
            found.append(drive(pca(collection, len(pixels), PCAOptions(COMPONENTS), "train"), collection, engine))

        ours()
        seconds, runs = median_seconds(ours, given.repeats)
        batched = collection.to_xarray().image.data[: len(pixels)].reshape(len(pixels), -1).astype("float32")
        batched = batched.rechunk({0: 4096})
        dask_ml, _ = median_seconds(
            lambda: DaskIncrementalPCA(COMPONENTS, batch_size=4096, svd_solver="full").fit(batched), 1
        )
    with threadpool_limits(1):
        parts = shares(pixels, collection)
    floats = pixels.astype(np.float64) / 255
    expected = []
    memory, _ = median_seconds(
        lambda: expected.append(PCA(COMPONENTS, svd_solver="covariance_eigh").fit(floats)), given.repeats
    )
    automatic, _ = median_seconds(lambda: PCA(COMPONENTS).fit(floats), 3)
    incremental, _ = median_seconds(lambda: IncrementalPCA(COMPONENTS, batch_size=4096).fit(floats), 1)
    signs = np.sign((found[-1].components * expected[-1].components_).sum(axis=1))
    worst = np.abs(found[-1].components * signs[:, None] - expected[-1].components_).max()
    operations = len(pixels) * 784**2
    show(
        f"PCA {COMPONENTS} of {len(pixels):,} images; explained {found[-1].explained_variance_ratio.sum():.7f}, "
        f"components off by {worst:.1e}",
        [
            ("ours from compressed Zarr, 2 workers", seconds, f"runs {np.round(runs, 3)}"),
            ("scikit-learn PCA in memory, float64", memory, f"ours {seconds / memory:.2f} ×"),
            ("scikit-learn PCA, its own choice of solver", automatic, f"ours {seconds / automatic:.2f} ×"),
            ("scikit-learn IncrementalPCA in memory", incremental, f"{incremental / seconds:.0f} times as long"),
            ("dask-ml IncrementalPCA, 2 workers", dask_ml, f"{dask_ml / seconds:.0f} times as long"),
            *((f"one thread: {name}", part, "") for name, part in parts.items()),
            ("floor: half of decode and Gram, eigenvectors", parts["decode"] / 2 + parts["Gram"] / 2
             + parts["eigenvectors"], f"Gram {operations / parts['Gram'] / 1e9:.0f} GFLOP/s a thread"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
