"""Ten numbers of clusters of Fashion-MNIST's 60,000 training images, by two workers: at once, and one after the other.

On ten codes of a PCA, which ours reads from Zarr and scikit-learn has in memory. Both sides score each number by
Davies-Bouldin and Calinski-Harabasz, neither by silhouettes.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from fmnist_dask.models.cluster_scores import cluster_scores
from fmnist_dask.models.clusters import means_of
from fmnist_dask.models.k_sweep import KSweep, KSweepOptions, k_sweep
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import NearestCentre
from tests.benchmarks.clusters import N, codes_of
from tests.benchmarks.common import arguments, fashion_store, median_seconds, show, two_workers

KS = (2, 4, 6, 8, 10, 12, 15, 20, 25, 30)


def main() -> None:
    """All sides."""
    parser = arguments(__doc__)
    given = parser.parse_args()
    with two_workers(given.directory) as (_, engine):
        codes: Any = codes_of(engine, fashion_store(engine, given.directory, given.data), 10)
        rows = []
        inertia = {}
        options = {
            "at once, 4 searches": KSweepOptions(KS, 4),
            "at once, 10 searches": KSweepOptions(KS, 10),
            "and silhouettes of 2,000": KSweepOptions(KS, 4, silhouette=2000),
            "and full mixtures": KSweepOptions(KS, 4, mixture="full"),
        }
        # Compiled functions are loaded before time is taken.
        drive(k_sweep(codes, N, KSweepOptions((2, 3), 1, silhouette=10, mixture="full"), "train"), codes, engine)
        for name, chosen in options.items():
            sweep = at_once(codes, chosen, engine)
            seconds, _ = median_seconds(partial(at_once, codes, chosen, engine), given.repeats)
            inertia[name] = [found.inertia for found in sweep.found.values()]
            rows.append((name, seconds, f"{sweep.passes} passes"))
        for starts in (4, 10):
            before, begun, found = engine.statistics.passes, time.perf_counter(), []
            for k in KS:
                found.append(drive(alone(codes, KMeansOptions(k, n_init=starts)), codes, engine))
            name = f"one after the other, {starts} starts"
            inertia[name] = found
            rows.append((name, time.perf_counter() - begun, f"{engine.statistics.passes - before} passes"))
        table = codes.read("features", 0, N)
    rows.append(("scikit-learn, 10 starts", *theirs(table, inertia)))
    show("k-means of ten numbers of clusters, 60,000 rows of ten codes", rows)
    best = np.min(list(inertia.values()), axis=0)
    for name, values in inertia.items():
        over = " ".join(f"{100 * (value / least - 1):.3f}" for value, least in zip(values, best, strict=True))
        print(f"  {name}: % above the least inertia, by k: {over}")


def at_once(source: Any, options: KSweepOptions, engine: DistributedEngine) -> KSweep:
    """All numbers of clusters together."""
    return drive(k_sweep(source, N, options, "train"), source, engine)


def alone(source: Any, options: KMeansOptions) -> Algorithm[float]:
    """What a step ``kmeans`` does of this: clusters, their sums, their scores; the inertia."""
    model = yield from kmeans(source, N, options, "train")
    sums = (yield Scan({"sums": ClusterSums(model.parameter, model.grid)}, split="train"))["sums"]
    yield from cluster_scores(NearestCentre(model.parameter), means_of(model, sums), "train")
    return model.inertia_of(sums)


def theirs(table: Any, inertia: dict[str, list[float]]) -> tuple[float, str]:
    """scikit-learn's loop."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    begun, found = time.perf_counter(), []
    for k in KS:
        model = KMeans(k, n_init=10, random_state=0).fit(table)
        davies_bouldin_score(table, model.labels_)
        calinski_harabasz_score(table, model.labels_)
        found.append(float(model.inertia_))
    inertia["scikit-learn"] = found
    return time.perf_counter() - begun, "10 fits"


if __name__ == "__main__":
    main()
