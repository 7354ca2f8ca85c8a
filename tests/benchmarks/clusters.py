"""Mixtures and spectral clustering of Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's.

On the codes of a PCA: ours reads them from Zarr, scikit-learn has them in memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FeatureCollection
from fmnist_dask.models.gaussian_mixture import gaussian_mixture
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions
from fmnist_dask.models.pca import PCAOptions, pca
from fmnist_dask.models.spectral import SpectralOptions, spectral
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.codes import Codes
from fmnist_dask.passes.reductions.gaussians import GaussiansParameter
from fmnist_dask.passes.reductions.members import labels_by
from tests.benchmarks.common import fashion_store, median_seconds, show

N = 60_000


def main() -> None:
    """Both sides, each part in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("parts", nargs="*", default=["mixture", "spectral"])
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    config = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(config) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        collection = fashion_store(engine, given.directory, given.data)
        for part in given.parts:
            {"mixture": mixtures, "spectral": spectra}[part](engine, collection, given.repeats)
        peak = max(state["peak_bytes"] for state in connection.worker_states().values())
    print(f"  most memory of a worker: {peak / 1e6:.0f} MB")


def codes_of(engine: DistributedEngine, collection: Collection, k: int) -> FeatureCollection:
    """The collection seen through its first ``k`` principal components."""
    model = drive(pca(collection, N, PCAOptions(k), "train"), collection, engine)
    column = Codes(ArrayParameter(model.mean), ArrayParameter(np.ascontiguousarray(model.directions(False) / 255)))
    written = drive(_write(column), collection, engine)
    return FeatureCollection(collection, written.path, str(k), k)


def _write(column: Codes) -> Algorithm[Any]:
    found = yield Scan({}, {"codes": column})
    return found["codes"]["codes"]


def agreement(labels: Any, classes: Any) -> str:
    """NMI in words."""
    from sklearn.metrics import normalized_mutual_info_score

    return f"NMI {normalized_mutual_info_score(classes, labels):.3f}"


def once(work: Callable[..., Any]) -> tuple[Any, float]:
    """A result and its time."""
    begun = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begun


def mixtures(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """Ten Gaussians of 10 and of 50 components."""
    for k in (10, 50):
        mixture_of(engine, codes_of(engine, collection, k), repeats)


def mixture_of(engine: DistributedEngine, view: FeatureCollection, repeats: int) -> None:
    """Both sides from as many seeds as repeats."""
    from sklearn.mixture import GaussianMixture

    classes, codes = view.read("label", 0, N), view.read("features", 0, N).astype(np.float64)
    rows: list[tuple[str, float, str]] = []
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for seed in range(repeats):
        options = GaussianMixtureOptions(10, seed=seed)
        model, took = once(lambda given=options: drive(gaussian_mixture(view, N, given, "train"), view, engine))
        times["ours"].append(took)
        labels = labels_by(view.block(0, N), GaussiansParameter.of(model.gaussians))
        remark = f"log-likelihood {model.history[-1]:.3f}, {agreement(labels, classes)}"
        rows.append(("ours, ten starts", took, f"{remark}, {len(model.history)} passes"))
    for seed in range(repeats):
        estimator = GaussianMixture(10, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, took = once(lambda given=estimator: given.fit(codes))
        times["theirs"].append(took)
        remark = f"log-likelihood {found.score(codes):.3f}, {agreement(found.predict(codes), classes)}"
        rows.append(("scikit-learn, one start", took, remark))
    ours, theirs = (float(np.median(took)) for took in times.values())
    rows.append(("medians", ours, f"{ours / theirs:.2f} × scikit-learn's {theirs:.2f} s"))
    show(f"mixture of ten Gaussians, full covariances, {view.n_features} principal components, 60,000 images", rows)


def spectra(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """Ten clusters of 10 components; silhouettes in this space, of all images."""
    from sklearn.cluster import SpectralClustering

    from fmnist_dask.models.silhouette import silhouette

    classes = collection.read("label", 0, N)
    view = codes_of(engine, collection, 10)
    codes = view.read("features", 0, N).astype(np.float64)
    models: list[Any] = []

    def run() -> None:
        models.append(drive(spectral(view, N, SpectralOptions(10), "train"), view, engine))

    def fit(labels: Any) -> str:
        padded = np.full(collection.n, -1, np.int32)
        padded[:N] = labels
        mean = drive(silhouette(view, padded, 10, "train"), view, engine).mean
        return f"silhouette {mean:.3f}, {agreement(labels, classes)}"

    seconds, _ = median_seconds(run, repeats)
    labels = labels_by(view.block(0, N), models[0].labelling)
    rows = [("ours, 1,000 landmarks", seconds, fit(labels))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nearest = SpectralClustering(10, affinity="nearest_neighbors", random_state=0, n_jobs=-1)
        theirs, took = once(lambda: nearest.fit_predict(codes))
    rows.append(("scikit-learn, ten nearest neighbours", took, f"{fit(theirs)}; ours {seconds / took:.3f} × its time"))
    show("ten spectral clusters, 10 principal components, 60,000 images", rows)


if __name__ == "__main__":
    main()
