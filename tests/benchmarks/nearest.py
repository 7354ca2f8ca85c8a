"""Nearest of many centres: bounds in a plane against all products. One thread, garments in memory; the same labels."""

from __future__ import annotations

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.kernels.nearest import CentreSets, nearest, pixel_sums
from fmnist_dask.kernels.plane import plane_of
from fmnist_dask.passes.blas import one_blas_thread
from tests.benchmarks.common import arguments, garments_store, median_seconds, show, two_workers

N = 60_000
#: Iterations of k-means before the search that is measured: random images as centres spread more.
ITERATIONS = 3


def main() -> None:
    """Both sides, for ever more centres."""
    given = arguments(__doc__, fashion=False).parse_args()
    with two_workers(given.directory) as (_, engine):
        pixels = in_memory(garments_store(engine, given.directory, N))
    rows: list[tuple[str, float, str]] = []
    with one_blas_thread():
        for k in (64, 256, 1024, 4096):
            rows += sides(pixels, k, given.repeats)
    show("nearest of k centres, 60,000 garments of 784 pixels, one thread", rows)


def in_memory(collection: Collection) -> np.ndarray:
    """All pixels, shape (n, 784)."""
    edges = range(0, collection.n, collection.chunk_rows)
    parts = [collection.read("image", at, min(at + collection.chunk_rows, collection.n)) for at in edges]
    return np.concatenate(parts).reshape(collection.n, -1)


def sides(pixels: np.ndarray, k: int, repeats: int) -> list[tuple[str, float, str]]:
    """Seconds with and without the plane."""
    centres = pixels[np.random.default_rng(0).choice(len(pixels), k, replace=False)].astype(np.float64)
    for _ in range(ITERATIONS):
        labels = nearest(pixels, CentreSets.of([centres]))
        counts = np.bincount(labels[:, 0], minlength=k)
        means = pixel_sums(pixels, labels, k) / np.maximum(counts, 1)[:, None]
        centres = np.where(counts[:, None] > 0, means, centres)
    whole = CentreSets.of([centres])
    whole.__dict__["plane"] = None
    found = []
    bounded, _ = median_seconds(lambda: found.append(nearest(pixels, CentreSets.of([centres]))), repeats)
    products, _ = median_seconds(lambda: found.append(nearest(pixels, whole)), repeats)
    assert all((labels == found[0]).all() for labels in found)
    plane = plane_of(centres)
    assert plane is not None
    told = f"{bounded / products:.2f} × all products; plane of {plane.dimensions} dimensions, its making included"
    return [(f"k = {k:,}, bounds in a plane", bounded, told), (f"k = {k:,}, all products", products, "")]


if __name__ == "__main__":
    main()
