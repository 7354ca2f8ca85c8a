"""Nearest of many centres: bounds in a plane against all products. One thread, garments in memory; the same labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.nearest import CentreSets, nearest, pixel_sums
from fmnist_dask.kernels.plane import plane_of
from fmnist_dask.passes.blas import one_blas_thread
from tests.benchmarks.common import all_pixels, garments_store
from tests.benchmarks.rows import Row, beside_base, timed
from tests.benchmarks.settings import Options, Settings, alone

#: Iterations of k-means before the search that is measured: random images as centres spread more.
ITERATIONS = 3


@dataclass(frozen=True)
class NearestBenchmark(Options):
    """How many garments, and numbers of centres."""

    images: int = 60_000
    clusters: tuple[int, ...] = (64, 256, 1024, 4096)


BY_SIZE = {"tiny": NearestBenchmark(1, 3000, (64, 256)), "usual": NearestBenchmark()}


def chapter(settings: Settings, options: NearestBenchmark) -> Iterator[Row]:
    """Both sides, for ever more centres."""
    with settings.workers() as (_, engine):
        pixels = all_pixels(garments_store(engine, settings, options.images))
    with one_blas_thread():
        for k in options.clusters:
            yield sides(pixels, k, options.repeats)


def sides(pixels: np.ndarray, k: int, repeats: int) -> Row:
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
    bounded = timed(lambda: found.append(nearest(pixels, CentreSets.of([centres]))), repeats)
    products = timed(lambda: found.append(nearest(pixels, whole)), repeats)
    same = all((labels == found[0]).all() for labels in found)
    plane = plane_of(centres)
    assert plane is not None
    told = f"plane of {plane.dimensions} dimensions, its making included"
    what = f"nearest of {k:,} centres, bounds in a plane, one thread"
    return beside_base(what, bounded, "all products", products, len(pixels), agrees=bool(same), remark=told)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "nearest")
