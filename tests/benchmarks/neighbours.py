"""Ten nearest neighbours of Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's brute force.

Both on the first 50 principal components in float32. Ours reads Zarr; scikit-learn has them in memory, and two threads.
"""

from __future__ import annotations

import time

import numpy as np
import zarr

from fmnist_dask.collection.views import FeatureCollection
from fmnist_dask.models.neighbours import nearest_neighbours
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import arguments, fashion_store, show, training_pixels, two_workers

N, D, K = 60_000, 50, 10


def codes_of(pixels: np.ndarray, n: int) -> np.ndarray:
    """Coordinates along the first principal components, float32; zeros for further rows."""
    moved = pixels.astype(np.float32) / 255
    moved -= moved.mean(axis=0)
    _, vectors = np.linalg.eigh((moved.T @ moved).astype(np.float64))
    found = np.zeros((n, D), np.float32)
    found[: len(moved)] = moved @ vectors[:, : -D - 1 : -1].astype(np.float32)
    return found


def main() -> None:
    """Both sides, in turns."""
    parser = arguments(__doc__)
    given = parser.parse_args()
    with two_workers(given.directory) as (connection, engine):
        collection = fashion_store(engine, given.directory, given.data)
        codes = codes_of(training_pixels(collection), collection.n)
        path = str(given.directory / "codes")
        zarr.create_array(path, data=codes, chunks=(collection.chunk_rows, D), overwrite=True)
        source = FeatureCollection(collection, path, str(time.time()), D)
        inside = collection.read("split", 0, collection.n) == 0
        drive(nearest_neighbours(source, inside, K, "train"), source, engine)  # compiles
        from sklearn.neighbors import NearestNeighbors

        durations = []
        for _ in range(given.repeats):
            begun = time.perf_counter()
            found = drive(nearest_neighbours(source, inside, K, "train"), source, engine)
            between = time.perf_counter()
            theirs = NearestNeighbors(n_neighbors=K + 1, algorithm="brute").fit(codes[:N]).kneighbors(codes[:N])
            durations.append((between - begun, time.perf_counter() - between))
        peak = max(state["peak_bytes"] for state in connection.worker_states().values())
    first = theirs[1][:, 0] == np.arange(N)
    same = float((theirs[1][first, 1:] == found.neighbours[first]).mean())
    ours, other = np.median(durations, axis=0)
    rows = [
        ("ours, exact", float(ours), f"{peak / 1e6:.0f} MB a worker; {same:.6f} of the neighbours are the same"),
        ("scikit-learn, brute", float(other), f"ours {ours / other:.2f} × its time"),
    ]
    show(f"{K} nearest neighbours of {N:,} images by {D} components", rows)


if __name__ == "__main__":
    main()
