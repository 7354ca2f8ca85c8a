"""Exact silhouettes of Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's.

Both with the same labels (ten clusters of our k-means). Ours reads compressed Zarr; scikit-learn has float32 in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fmnist_dask.models.clusters import describe_clusters
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.models.silhouette import silhouette
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_name, fashion_store, training_pixels
from tests.benchmarks.rows import Row, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone, most_memory


@dataclass(frozen=True)
class SilhouetteBenchmark(Options):
    """Whether scikit-learn's side is left out, and against how many images the others are sampled."""

    ours: bool = field(default=False, metadata={"help": "without scikit-learn's side"})
    sample: int = 2000


BY_SIZE = {"tiny": SilhouetteBenchmark(1, sample=200), "usual": SilhouetteBenchmark()}


def chapter(settings: Settings, options: SilhouetteBenchmark) -> Iterator[Row]:
    """Both sides."""
    with settings.workers() as (connection, engine):
        collection = fashion_store(engine, settings)
        pixels = training_pixels(collection)
        n, few = len(pixels), options.sample
        model = drive(kmeans(collection, n, KMeansOptions(10, n_init=10), "train"), collection, engine)
        clusters = drive(describe_clusters(collection, model, "train", 0, 1.0), collection, engine)
        labels = np.asarray(clusters.columns["labels"][:])
        found = drive(silhouette(collection, labels, 10, "train"), collection, engine)
        exact = timed(lambda: drive(silhouette(collection, labels, 10, "train"), collection, engine), options.repeats)
        part = drive(silhouette(collection, labels, 10, "train", sample=few), collection, engine)
        sampled = timed(
            lambda: drive(silhouette(collection, labels, 10, "train", sample=few), collection, engine), options.repeats
        )
        peak = most_memory(connection)
    rate = n * n * 784 / exact.value / 1e9  # half of the pairs, a product and a sum each
    told = f"{found.mean:.6f}; {rate:.0f} GFLOP/s; a worker {peak:.0f} MB"
    if not options.ours:
        from sklearn.metrics import silhouette_score

        scores: list[float] = []
        table, own = pixels.astype(np.float32), labels[:n]
        theirs = timed(lambda: scores.append(silhouette_score(table, own)), 1)
        yield beside_peer(
            f"exact silhouettes of ten clusters, {fashion_name(settings)}",
            exact,
            "scikit-learn",
            "silhouette_score, float32",
            theirs,
            n,
            agrees=abs(found.mean - scores[0]) < 1e-3,
            remark=f"{told}; theirs {scores[0]:.6f}, one run",
        )
    near = f"{part.mean:.4f} ± {part.interval:.4f}; {told}"
    yield beside_base(f"silhouettes, {few:,} against all", sampled, "all against all", exact, n, remark=near)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "silhouette")
