"""A rank sweep of Fashion-MNIST: what it costs against the raw-pixel forest, and the same forests on TruncatedSVD.

Ours: the step ``rank_sweep`` on two workers. Time is that of all calls together (of one processor), so that it does not
matter how well workers share them. The other side: scikit-learn's ``TruncatedSVD`` of the highest rank in each training
fold, its first columns, and the same forests (trees, leaves) on the same folds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.classifiers import ClassifierOptions, least_leaf, stratified_folds
from fmnist_dask.models.rank_sweep import FOLD_STREAM, SweepOptions, rank_sweep
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_store, show

RANKS = (2, 4, 8, 16, 32, 64, 128, 256, 0)


def main() -> None:
    """Both sides, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--ours", action="store_true", help="without scikit-learn's side")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    options = SweepOptions(RANKS, images=given.images)
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(cluster) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        collection = fashion_store(engine, given.directory, given.data)
        begun = time.perf_counter()
        found = drive(rank_sweep(collection, 60_000, options, "train"), collection, engine)
        passed = time.perf_counter() - begun
    rows = []
    for at, rank in enumerate(RANKS):
        ours = found.accuracy[:, at].mean(axis=1)
        remark = f"forest {ours[0]:.4f}, boosting {ours[1]:.4f} in {found.seconds[1, at]:.1f} s"
        rows.append((f"rank {rank}" if rank else "all pixels", float(found.seconds[0, at]), remark))
    raw = float(found.seconds[0, -1])
    forests, everything = float(found.seconds[0].sum()) + found.factor_seconds, float(found.seconds.sum())
    rows.append(("forests of all ranks and pixels", forests, f"{forests / raw:.1f} × that of all pixels"))
    rows.append(("forests and boosting", everything, f"{everything / raw:.1f} × the forest of all pixels"))
    rows.append(("passed, on two workers", passed, f"{found.n:,} images"))
    show("rank sweep of Fashion-MNIST, four folds", rows)
    if not given.ours:
        theirs, seconds = reference(collection, options)
        rows = [
            (f"rank {rank}", seconds[rank], f"{accuracy:.4f}; ours {found.accuracy[0, at].mean() - accuracy:+.4f}")
            for at, (rank, accuracy) in enumerate(theirs.items())
        ]
        show("the same forests on scikit-learn's TruncatedSVD", rows)


def reference(collection: object, options: SweepOptions) -> tuple[dict[int, float], dict[int, float]]:
    """Accuracy of forests on scikit-learn's decomposition, by rank, and the seconds of the forests."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import RandomForestClassifier

    assert options.images >= 60_000, "the other side takes all images"
    like = ClassifierOptions()
    image = collection.read("image", 0, 60_000).reshape(60_000, -1).astype(np.float32)  # type: ignore[attr-defined]
    label = collection.read("label", 0, 60_000)  # type: ignore[attr-defined]
    fold = stratified_folds(label, random_bits(like.seed, np.arange(60_000), FOLD_STREAM), options.folds)
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
    return {rank: count / len(label) for rank, count in right.items()}, seconds


if __name__ == "__main__":
    main()
