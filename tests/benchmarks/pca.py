"""PCA 50 of Fashion-MNIST's training images: ours from compressed Zarr, against scikit-learn's and dask-ml's.

scikit-learn's PCA has the images in memory as float64. Its IncrementalPCA and dask-ml's take them in batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.gram import add_gram, scatter_of
from fmnist_dask.models.pca import PCAOptions, from_scatter, pca
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_name, fashion_store, training_pixels
from tests.benchmarks.rows import Row, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone

COMPONENTS = 50


@dataclass(frozen=True)
class PCABenchmark(Options):
    """Nothing but repeats."""

    repeats: int = 5


BY_SIZE = {"tiny": PCABenchmark(1), "usual": PCABenchmark()}


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


def chapter(settings: Settings, options: PCABenchmark) -> Iterator[Row]:
    """All sides."""
    from dask_ml.decomposition import IncrementalPCA as DaskIncrementalPCA
    from sklearn.decomposition import PCA, IncrementalPCA
    from threadpoolctl import threadpool_limits

    with settings.workers() as (_, engine):
        collection = fashion_store(engine, settings)
        pixels = training_pixels(collection)
        found = []

        def ours() -> None:
            found.append(drive(pca(collection, len(pixels), PCAOptions(COMPONENTS), "train"), collection, engine))

        ours()
        seconds = timed(ours, options.repeats)
        batched = collection.to_xarray().image.data[: len(pixels)].reshape(len(pixels), -1).astype("float32")
        batched = batched.rechunk({0: min(4096, len(pixels))})
        dask_ml = timed(lambda: DaskIncrementalPCA(COMPONENTS, batch_size=4096, svd_solver="full").fit(batched), 1)
    with threadpool_limits(1):
        parts = shares(pixels, collection)
    floats = pixels.astype(np.float64) / 255
    expected = []
    memory = timed(lambda: expected.append(PCA(COMPONENTS, svd_solver="covariance_eigh").fit(floats)), options.repeats)
    automatic = timed(lambda: PCA(COMPONENTS).fit(floats), min(3, options.repeats))
    incremental = timed(lambda: IncrementalPCA(COMPONENTS, batch_size=4096).fit(floats), 1)
    signs = np.sign((found[-1].components * expected[-1].components_).sum(axis=1))
    worst = np.abs(found[-1].components * signs[:, None] - expected[-1].components_).max()
    n, what = len(pixels), f"PCA, {COMPONENTS} components, {fashion_name(settings)}"
    told = f"explained {found[-1].explained_variance_ratio.sum():.7f}, components off by {worst:.1e}"
    of = "scikit-learn"
    same = {"agrees": bool(worst < 1e-6), "remark": told}
    yield beside_peer(what, seconds, of, "PCA in memory, float64", memory, n, **same)
    yield beside_peer(what, seconds, of, "PCA, its own choice of solver", automatic, n)
    yield beside_peer(what, seconds, of, "IncrementalPCA in memory", incremental, n, remark="one run of theirs")
    yield beside_peer(what, seconds, "dask-ml", "IncrementalPCA, 2 workers", dask_ml, n, remark="one run of theirs")
    for name, part in parts.items():
        told = f"{n * 784**2 / part / 1e9:.0f} GFLOP/s" if name == "Gram" else ""
        yield beside_base(f"one thread: {name}", part, "PCA on two workers", seconds, n, remark=told)
    floor = parts["decode"] / 2 + parts["Gram"] / 2 + parts["eigenvectors"]
    yield beside_base("floor: half of decode and Gram, eigenvectors", floor, "PCA on two workers", seconds, n)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "pca")
