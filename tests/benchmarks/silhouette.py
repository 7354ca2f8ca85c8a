"""Exact silhouettes of Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's.

Both with the same labels (ten clusters of our k-means). Ours reads compressed Zarr; scikit-learn has float32 in memory.
"""

from __future__ import annotations

import numpy as np

from fmnist_dask.models.clusters import describe_clusters
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.models.silhouette import silhouette
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import arguments, fashion_store, median_seconds, show, training_pixels, two_workers

N = 60_000


def main() -> None:
    """Both sides."""
    parser = arguments(__doc__)
    parser.add_argument("--ours", action="store_true", help="without scikit-learn's side")
    given = parser.parse_args()
    with two_workers(given.directory) as (connection, engine):
        collection = fashion_store(engine, given.directory, given.data)
        model = drive(kmeans(collection, N, KMeansOptions(10, n_init=10), "train"), collection, engine)
        clusters = drive(describe_clusters(collection, model, "train", 0, 1.0), collection, engine)
        labels = np.asarray(clusters.columns["labels"][:])
        found = drive(silhouette(collection, labels, 10, "train"), collection, engine)
        seconds, _ = median_seconds(
            lambda: drive(silhouette(collection, labels, 10, "train"), collection, engine), given.repeats
        )
        part = drive(silhouette(collection, labels, 10, "train", sample=2000), collection, engine)
        few, _ = median_seconds(
            lambda: drive(silhouette(collection, labels, 10, "train", sample=2000), collection, engine), given.repeats
        )
        peak = max(state["peak_bytes"] for state in connection.worker_states().values())
        pixels = training_pixels(collection)
    operations = N * N * 784  # half of the pairs, a product and a sum each
    rows = [
        ("ours, exact", seconds, f"{found.mean:.6f}; {operations / seconds / 1e9:.0f} GFLOP/s; {peak / 1e6:.0f} MB"),
        ("ours, 2,000 against all", few, f"{part.mean:.4f} ± {part.interval:.4f}"),
    ]
    if not given.ours:
        from sklearn.metrics import silhouette_score

        table, own = pixels.astype(np.float32), labels[:N]
        theirs, _ = median_seconds(lambda: silhouette_score(table, own), 1)
        rows.append(
            ("scikit-learn", theirs, f"{silhouette_score(table, own):.6f}; ours {seconds / theirs:.2f} × its time")
        )
    show("silhouettes of ten clusters, 60,000 images of 784 pixels", rows)


if __name__ == "__main__":
    main()
