"""Ten nearest neighbours of Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's brute force.

Both on the first 50 principal components in float32. Ours reads Zarr; scikit-learn has them in memory, and two threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import zarr

from fmnist_dask.collection.views import FeatureCollection
from fmnist_dask.models.neighbours import nearest_neighbours
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_name, fashion_store, training_pixels
from tests.benchmarks.rows import Row, Timed, beside_peer, once
from tests.benchmarks.settings import Options, Settings, alone, most_memory

D, K = 50, 10
BY_SIZE = {"tiny": Options(1), "usual": Options()}


def codes_of(pixels: np.ndarray, n: int) -> np.ndarray:
    """Coordinates along the first principal components, float32; zeros for further rows."""
    moved = pixels.astype(np.float32) / 255
    moved -= moved.mean(axis=0)
    _, vectors = np.linalg.eigh((moved.T @ moved).astype(np.float64))
    found = np.zeros((n, D), np.float32)
    found[: len(moved)] = moved @ vectors[:, : -D - 1 : -1].astype(np.float32)
    return found


def chapter(settings: Settings, options: Options) -> Iterator[Row]:
    """Both sides, in turns."""
    with settings.workers() as (connection, engine):
        collection = fashion_store(engine, settings)
        n = collection.splits["train"]
        codes = codes_of(training_pixels(collection), collection.n)
        path = str(settings.directory / "codes")
        zarr.create_array(path, data=codes, chunks=(collection.chunk_rows, D), overwrite=True)
        source = FeatureCollection(collection, path, str(time.time()), D)
        inside = collection.read("split", 0, collection.n) == 0
        drive(nearest_neighbours(source, inside, K, "train"), source, engine)  # compiles
        from sklearn.neighbors import NearestNeighbors

        mine, others = [], []
        for _ in range(options.repeats):
            found, took = once(lambda: drive(nearest_neighbours(source, inside, K, "train"), source, engine))
            mine.append(took)
            brute = NearestNeighbors(n_neighbors=K + 1, algorithm="brute")
            theirs, took = once(lambda brute=brute: brute.fit(codes[:n]).kneighbors(codes[:n]))
            others.append(took)
        peak = most_memory(connection)
    first = theirs[1][:, 0] == np.arange(n)
    same = float((theirs[1][first, 1:] == found.neighbours[first]).mean())
    # Where images are copies of each other, which of them is named is either side's choice: distances tell.
    apart = [
        np.linalg.norm(codes[:n, None].astype(np.float64)[first] - codes[near[first]], axis=2)
        for near in (found.neighbours[:n], theirs[1][:, 1:])
    ]
    close = bool(np.allclose(*apart, atol=1e-3))
    yield beside_peer(
        f"{K} nearest neighbours by {D} components, {fashion_name(settings)}",
        Timed.of(mine),
        "scikit-learn",
        "NearestNeighbors, brute, in memory",
        Timed.of(others),
        n,
        agrees=close,
        remark=f"a worker {peak:.0f} MB; {same:.6f} of the neighbours are the same",
    )


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "neighbours")
