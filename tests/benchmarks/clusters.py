"""Ways to cluster Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's.

On the codes of a PCA: ours reads them from Zarr, scikit-learn has them in memory. And how time and memory grow with ten
times the images (garments).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FeatureCollection
from fmnist_dask.models.agglomerative import AgglomerativeOptions, agglomerative
from fmnist_dask.models.gaussian_mixture import gaussian_mixture
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions
from fmnist_dask.models.pca import PCAOptions, pca
from fmnist_dask.models.silhouette import silhouette
from fmnist_dask.models.spectral import SpectralOptions, spectral
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.probe import reset_peak, resident_bytes
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.codes import Codes
from fmnist_dask.passes.reductions.gaussians import GaussiansParameter
from fmnist_dask.passes.reductions.members import labels_by
from tests.benchmarks.common import fashion_name, fashion_store, garments_store
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, once, timed
from tests.benchmarks.settings import Options, Settings, alone, most_memory, parts


@dataclass(frozen=True)
class ClusterBenchmark(Options):
    """Parts, components of the mixtures, garments of the growth."""

    parts: tuple[str, ...] = parts("mixture", "spectral", "growth")
    components: tuple[int, ...] = (10, 50)
    images: tuple[int, ...] = (60_000, 600_000, 1_200_000)


BY_SIZE = {"tiny": ClusterBenchmark(1, components=(10,), images=(2500, 5000)), "usual": ClusterBenchmark()}


def chapter(settings: Settings, options: ClusterBenchmark) -> Iterator[Row]:
    """Both sides, each part in turn."""
    with settings.workers() as (connection, engine):
        collection = fashion_store(engine, settings)
        for part in options.parts:
            work = {"mixture": mixtures, "spectral": spectra, "growth": growth}[part]
            yield from work(settings, engine, collection, options)
        print(f"  most memory of a worker: {most_memory(connection):.0f} MB", flush=True)


def codes_of(engine: DistributedEngine, collection: Collection, k: int, split: str = "train") -> FeatureCollection:
    """The collection seen through its first ``k`` principal components, which are those of a split."""
    n = collection.n if split == "all" else collection.splits[split]
    model = drive(pca(collection, n, PCAOptions(k), split), collection, engine)
    column = Codes(ArrayParameter(model.mean), ArrayParameter(np.ascontiguousarray(model.directions(False) / 255)))
    written = drive(_write(column), collection, engine)
    return FeatureCollection(collection, written.path, f"{collection.n}-{k}", k)


def _write(column: Codes) -> Algorithm[Any]:
    found = yield Scan({}, {"codes": column})
    return found["codes"]["codes"]


def agreement(labels: Any, classes: Any) -> str:
    """NMI in words."""
    from sklearn.metrics import normalized_mutual_info_score

    return f"NMI {normalized_mutual_info_score(classes, labels):.3f}"


def mixtures(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: ClusterBenchmark
) -> Iterator[Row]:
    """Ten Gaussians of 10 and of 50 components."""
    for k in options.components:
        name = f"mixture of ten Gaussians, {k} components, {fashion_name(settings)}"
        yield from mixture_of(engine, codes_of(engine, collection, k), name, options.repeats)


def mixture_of(engine: DistributedEngine, view: FeatureCollection, name: str, repeats: int) -> Iterator[Row]:
    """Both sides from as many seeds as repeats: one start each, and ten starts of ours."""
    from sklearn.mixture import GaussianMixture

    n = view.splits["train"]
    classes, codes = view.read("label", 0, n), view.read("features", 0, n).astype(np.float64)
    times: dict[str, list[float]] = {"one start": [], "ten starts": [], "theirs": []}
    told: dict[str, list[str]] = {name: [] for name in times}
    for seed in range(repeats):
        for way, starts in (("one start", 1), ("ten starts", 10)):
            chosen = GaussianMixtureOptions(10, n_init=starts, seed=seed)
            model, took = once(lambda given=chosen: drive(gaussian_mixture(view, n, given, "train"), view, engine))
            times[way].append(took)
            labels = labels_by(view.block(0, n), GaussiansParameter.of(model.gaussians))
            told[way].append(f"{model.history[-1]:.3f} ({agreement(labels, classes)}, {len(model.history)} passes)")
        estimator = GaussianMixture(10, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, took = once(lambda given=estimator: given.fit(codes))
        times["theirs"].append(took)
        scores = f"{agreement(found.predict(codes), classes)}, {found.n_iter_} iterations"
        told["theirs"].append(f"{found.score(codes):.3f} ({scores})")
    for way in ("one start", "ten starts"):
        remark = f"log-likelihood by seed {', '.join(told[way])}; theirs {', '.join(told['theirs'])}"
        ours, theirs = Timed.of(times[way]), Timed.of(times["theirs"])
        by = "GaussianMixture, one start"
        yield beside_peer(f"{name}, {way}", ours, "scikit-learn", by, theirs, n, remark=remark)


def growth(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: ClusterBenchmark
) -> Iterator[Row]:
    """Every method on ever more garments, with as many passes: time and memory."""
    before: dict[str, tuple[Timed, float]] = {}
    for at, n in enumerate(options.images):
        garments = garments_store(engine, settings, n)
        view = codes_of(engine, garments, 10, "all")
        for name, work in methods(garments, view).items():
            source = garments if name == "k-means of pixels" else view
            engine.client.run(reset_peak)
            seconds = timed(lambda work=work, source=source: drive(work(), source, engine), options.repeats)
            peak = max(engine.client.run(resident_bytes, True).values()) / 1e6
            if name in before:
                base, what = f"{options.images[at - 1]:,} garments", f"{name}, {n:,} garments"
                yield beside_base(what, seconds, base, before[name][0], n)
                memory = f"{what}: memory of a worker"
                yield beside_base(memory, peak, base, before[name][1], n, unit="MB")
            before[name] = (seconds, peak)


def methods(garments: Collection, view: FeatureCollection) -> dict[str, Callable[[], Algorithm[Any]]]:
    """Algorithms that take as many passes whatever the images."""
    n, d = garments.n, garments.n_features
    start = np.random.default_rng(0).uniform(0, 255, (10, d))
    begun = (
        np.full(10, 0.1),
        np.random.default_rng(0).normal(0, 1, (10, 10)),
        np.broadcast_to(np.eye(10), (10, 10, 10)),
    )
    return {
        "k-means of pixels": lambda: kmeans(garments, n, KMeansOptions(10, start, max_iter=10, tol=0)),
        "mixture": lambda: gaussian_mixture(view, n, GaussianMixtureOptions(10, max_iter=10, tol=0, start=begun)),
        "spectral": lambda: spectral(view, n, SpectralOptions(10, max_iter=5)),
        "Ward": lambda: agglomerative(view, n, AgglomerativeOptions()),
        "silhouettes of 2,000": lambda: silhouette(
            view, np.arange(n, dtype=np.int32) % 10, 10, sample=min(2000, n // 2)
        ),
    }


def spectra(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: ClusterBenchmark
) -> Iterator[Row]:
    """Ten clusters of 10 components; silhouettes in this space, of all images."""
    from sklearn.cluster import SpectralClustering

    n = collection.splits["train"]
    classes = collection.read("label", 0, n)
    view = codes_of(engine, collection, 10)
    codes = view.read("features", 0, n).astype(np.float64)
    models: list[Any] = []

    def run() -> None:
        models.append(drive(spectral(view, n, SpectralOptions(10), "train"), view, engine))

    def fit(labels: Any) -> str:
        padded = np.full(collection.n, -1, np.int32)
        padded[:n] = labels
        mean = drive(silhouette(view, padded, 10, "train"), view, engine).mean
        return f"silhouette {mean:.3f}, {agreement(labels, classes)}"

    seconds = timed(run, options.repeats)
    labels = labels_by(view.block(0, n), models[0].labelling)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nearest = SpectralClustering(10, affinity="nearest_neighbors", random_state=0, n_jobs=-1)
        theirs, took = once(lambda: nearest.fit_predict(codes))
    yield beside_peer(
        f"ten spectral clusters, 1,000 landmarks, 10 components, {fashion_name(settings)}",
        seconds,
        "scikit-learn",
        "SpectralClustering, ten nearest neighbours",
        took,
        n,
        remark=f"{fit(labels)}; theirs {fit(theirs)}, one run",
    )


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "clusters")
