"""Ten numbers of clusters of Fashion-MNIST's 60,000 training images, by two workers: at once, and one after the other.

On ten codes of a PCA, which ours reads from Zarr and scikit-learn has in memory. Both sides score each number by
Davies-Bouldin and Calinski-Harabasz, neither by silhouettes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from tests.benchmarks.clusters import codes_of
from tests.benchmarks.common import fashion_name, fashion_store
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, once, timed
from tests.benchmarks.settings import Options, Settings, alone

FIRST = "at once, 4 searches"


@dataclass(frozen=True)
class KSweepBenchmark(Options):
    """Numbers of clusters, and images whose silhouettes are taken."""

    ks: tuple[int, ...] = (2, 4, 6, 8, 10, 12, 15, 20, 25, 30)
    silhouette: int = 2000


BY_SIZE = {"tiny": KSweepBenchmark(1, (2, 4, 6), 100), "usual": KSweepBenchmark()}


def chapter(settings: Settings, options: KSweepBenchmark) -> Iterator[Row]:
    """All sides."""
    with settings.workers() as (_, engine):
        codes: Any = codes_of(engine, fashion_store(engine, settings), 10)
        ks, found = options.ks, dict[str, tuple[Timed | float, str]]()
        inertia: dict[str, list[float]] = {}
        ways = {
            FIRST: KSweepOptions(ks, 4),
            "at once, 10 searches": KSweepOptions(ks, 10),
            f"and silhouettes of {options.silhouette:,}": KSweepOptions(ks, 4, silhouette=options.silhouette),
            "and full mixtures": KSweepOptions(ks, 4, mixture="full"),
        }
        # Compiled functions are loaded before time is taken.
        at_once(codes, KSweepOptions((2, 3), 1, silhouette=10, mixture="full"), engine)
        for name, chosen in ways.items():
            sweep = at_once(codes, chosen, engine)
            seconds = timed(partial(at_once, codes, chosen, engine), options.repeats)
            inertia[name] = [one.inertia for one in sweep.found.values()]
            found[name] = (seconds, f"{sweep.passes} passes")
        for starts in (4, 10):
            before, name = engine.statistics.passes, f"one after the other, {starts} starts"
            search = partial(one_by_one, codes, ks, starts, engine)
            inertia[name], seconds = once(search)
            found[name] = (seconds, f"{engine.statistics.passes - before} passes")
        n = codes.splits["train"]
        table = codes.read("features", 0, n)
    (inertia["scikit-learn"], theirs) = once(lambda: their_loop(table, ks))
    best = np.min(list(inertia.values()), axis=0)
    over = {name: 100 * float(np.max(values / best - 1)) for name, values in inertia.items()}
    near = f"at most {{:.3f}} % above the least inertia, theirs {over['scikit-learn']:.3f} %, one run of theirs"
    what = f"{len(ks)} numbers of clusters, 10 components, {fashion_name(settings)}"
    for name, (seconds, told) in found.items():
        remark = f"{told}; {near.format(over[name])}"
        yield beside_peer(f"{what}: {name}", seconds, "scikit-learn", "KMeans, 10 starts", theirs, n, remark=remark)
    for name in list(found)[1:]:
        yield beside_base(f"{what}: {name}", found[name][0], FIRST, found[FIRST][0], n)


def at_once(source: Any, options: KSweepOptions, engine: DistributedEngine) -> KSweep:
    """All numbers of clusters together."""
    return drive(k_sweep(source, source.splits["train"], options, "train"), source, engine)


def one_by_one(source: Any, ks: tuple[int, ...], starts: int, engine: DistributedEngine) -> list[float]:
    """One after the other; their inertia."""
    return [drive(alone_with(source, KMeansOptions(k, n_init=starts)), source, engine) for k in ks]


def alone_with(source: Any, options: KMeansOptions) -> Algorithm[float]:
    """What a step ``kmeans`` does of this: clusters, their sums, their scores; the inertia."""
    model = yield from kmeans(source, source.splits["train"], options, "train")
    sums = (yield Scan({"sums": ClusterSums(model.parameter, model.grid)}, split="train"))["sums"]
    yield from cluster_scores(NearestCentre(model.parameter), means_of(model, sums), "train")
    return model.inertia_of(sums)


def their_loop(table: Any, ks: tuple[int, ...]) -> list[float]:
    """scikit-learn's, with the same scores; the inertia."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    found = []
    for k in ks:
        model = KMeans(k, n_init=10, random_state=0).fit(table)
        davies_bouldin_score(table, model.labels_)
        calinski_harabasz_score(table, model.labels_)
        found.append(float(model.inertia_))
    return found


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "k_sweep")
