"""A rank sweep of Fashion-MNIST: what it costs against the raw-pixel forest, and the same forests on TruncatedSVD.

Ours: the step ``rank_sweep`` on two workers. Time is that of all calls together (of one processor), so that it does not
matter how well workers share them. The other side: scikit-learn's ``TruncatedSVD`` of the highest rank in each training
fold, its first columns, and the same forests (trees, leaves) on the same folds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.classifiers import ClassifierOptions, least_leaf, stratified_folds
from fmnist_dask.models.rank_sweep import FOLD_STREAM, SweepOptions, rank_sweep
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_name, fashion_store
from tests.benchmarks.rows import Row, beside_base, beside_peer
from tests.benchmarks.settings import Options, Settings, alone


@dataclass(frozen=True)
class RankSweepBenchmark(Options):
    """Ranks (0: all pixels), images, trees of forests and of boosting; whether scikit-learn's side is left out."""

    repeats: int = 1
    ranks: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 0)
    images: int = 60_000
    trees: int = ClassifierOptions().trees
    iterations: int = ClassifierOptions().iterations
    ours: bool = field(default=False, metadata={"help": "without scikit-learn's side"})


BY_SIZE = {"tiny": RankSweepBenchmark(1, (2, 8, 0), trees=5, iterations=3), "usual": RankSweepBenchmark()}


def chapter(settings: Settings, options: RankSweepBenchmark) -> Iterator[Row]:
    """Both sides, one after the other, once each."""
    like = ClassifierOptions(trees=options.trees, iterations=options.iterations)
    chosen = SweepOptions(options.ranks, images=options.images, like=like)
    with settings.workers() as (_, engine):
        collection = fashion_store(engine, settings)
        begun = time.perf_counter()
        found = drive(rank_sweep(collection, collection.splits["train"], chosen, "train"), collection, engine)
        passed = time.perf_counter() - begun
    raw, name = float(found.seconds[0, -1]), fashion_name(settings)
    for at, rank in enumerate(options.ranks[:-1]):
        forest, boosting = found.accuracy[:, at].mean(axis=1)
        told = f"forest {forest:.4f}, boosting {boosting:.4f} in {found.seconds[1, at]:.1f} s"
        seconds = float(found.seconds[0, at])
        yield beside_base(f"forest, four folds, rank {rank}, {name}", seconds, "all pixels", raw, found.n, remark=told)
    forest, boosting = found.accuracy[:, -1].mean(axis=1)
    told = f"all pixels: forest {forest:.4f}, boosting {boosting:.4f} in {found.seconds[1, -1]:.1f} s"
    forests, everything = float(found.seconds[0].sum()) + found.factor_seconds, float(found.seconds.sum())
    base = "the forest of all pixels"
    yield beside_base("forests of all ranks and pixels", forests, base, raw, found.n, remark=told)
    yield beside_base("forests and boosting", everything, base, raw, found.n)
    yield beside_base("passed, on two workers", passed, "of one processor", everything, found.n)
    if not options.ours:
        yield from reference(collection, chosen, like, found)


def reference(collection: Collection, options: SweepOptions, like: ClassifierOptions, found: Any) -> Iterator[Row]:
    """Forests on scikit-learn's decomposition, by rank, of the same images and folds."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import RandomForestClassifier

    n = collection.splits["train"]
    if options.images < n:
        print(f"  the other side takes all {n:,} images: left out")
        return
    image = collection.read("image", 0, n).reshape(n, -1).astype(np.float32)
    label = collection.read("label", 0, n)
    fold = stratified_folds(label, random_bits(like.seed, np.arange(n), FOLD_STREAM), options.folds)
    ranks = [rank for rank in options.ranks if rank]
    right, seconds = dict.fromkeys(ranks, 0), dict.fromkeys(ranks, 0.0)
    for number in range(options.folds):
        inside = fold == number
        decomposition = TruncatedSVD(max(options.ranks), random_state=0).fit(image[~inside])
        codes = decomposition.transform(image)
        for rank in ranks:
            begun = time.perf_counter()
            forest = RandomForestClassifier(
                like.trees, min_samples_leaf=least_leaf(rank, len(label)), random_state=number, n_jobs=-1
            )
            forest.fit(codes[~inside, :rank], label[~inside])
            right[rank] += int((forest.predict(codes[inside, :rank]) == label[inside]).sum())
            seconds[rank] += time.perf_counter() - begun
    for at, rank in enumerate(ranks):
        accuracy, ours = right[rank] / len(label), found.accuracy[0, at].mean()
        told = f"accuracy {accuracy:.4f}; ours {ours - accuracy:+.4f}; ours of one processor, theirs by all"
        time_of_ours, by = float(found.seconds[0, at]), "TruncatedSVD, RandomForestClassifier"
        what = f"forest, four folds, rank {rank}"
        yield beside_peer(what, time_of_ours, "scikit-learn", by, seconds[rank], n, remark=told)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "rank_sweep")
