"""Ways to cluster Fashion-MNIST's 60,000 training images, by two workers, against scikit-learn's.

On the codes of a PCA: ours reads them from Zarr, scikit-learn has them in memory. And how time and memory grow with ten
times the images (garments).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
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
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.codes import Codes
from fmnist_dask.passes.reductions.gaussians import GaussiansParameter
from fmnist_dask.passes.reductions.members import labels_by
from tests.benchmarks.common import arguments, fashion_store, garments_store, median_seconds, show, two_workers

N = 60_000


def main() -> None:
    """Both sides, each part in turn."""
    parser = arguments(__doc__)
    parser.add_argument("parts", nargs="*", default=["mixture", "spectral", "growth"])
    given = parser.parse_args()
    with two_workers(given.directory) as (connection, engine):
        collection = fashion_store(engine, given.directory, given.data)
        for part in given.parts:
            {"mixture": mixtures, "spectral": spectra, "growth": growth}[part](engine, collection, given.repeats)
        peak = max(state["peak_bytes"] for state in connection.worker_states().values())
    print(f"  most memory of a worker: {peak / 1e6:.0f} MB")


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
    """Both sides from as many seeds as repeats: one start each, and ten starts of ours."""
    from sklearn.mixture import GaussianMixture

    classes, codes = view.read("label", 0, N), view.read("features", 0, N).astype(np.float64)
    rows: list[tuple[str, float, str]] = []
    times: dict[str, list[float]] = {"one": [], "ten": [], "theirs": []}
    for seed in range(repeats):
        for name, starts in (("one", 1), ("ten", 10)):
            options = GaussianMixtureOptions(10, n_init=starts, seed=seed)
            model, took = once(lambda given=options: drive(gaussian_mixture(view, N, given, "train"), view, engine))
            times[name].append(took)
            labels = labels_by(view.block(0, N), GaussiansParameter.of(model.gaussians))
            remark = f"log-likelihood {model.history[-1]:.3f}, {agreement(labels, classes)}"
            rows.append((f"ours, starts: {name}", took, f"{remark}, {len(model.history)} passes"))
        estimator = GaussianMixture(10, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, took = once(lambda given=estimator: given.fit(codes))
        times["theirs"].append(took)
        remark = f"log-likelihood {found.score(codes):.3f}, {agreement(found.predict(codes), classes)}"
        rows.append(("scikit-learn, starts: one", took, f"{remark}, {found.n_iter_} iterations"))
    one, ten, theirs = (float(np.median(took)) for took in times.values())
    rows.append(("median, starts: one", one, f"{one / theirs:.2f} × scikit-learn's {theirs:.2f} s"))
    rows.append(("median, starts: ten", ten, f"{ten / theirs:.2f} × scikit-learn's with one"))
    show(f"mixture of ten Gaussians, full covariances, {view.n_features} principal components, 60,000 images", rows)


def growth(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """Every method on ever more garments, with as many passes: time and memory."""
    rows: list[tuple[str, float, str]] = []
    before: dict[str, tuple[float, int]] = {}
    for n in (60_000, 600_000, 1_200_000):
        garments = garments_store(engine, Path(collection.path).parent, n)
        view = codes_of(engine, garments, 10, "all")
        for name, work in methods(garments, view).items():
            source = garments if name == "k-means of pixels" else view
            engine.client.run(forget_peak)
            seconds, _ = median_seconds(lambda work=work, source=source: drive(work(), source, engine), repeats)
            peak = max(engine.client.run(peak_bytes).values())
            told = f"{n:,}: a worker {peak / 1e6:.0f} MB"
            if name in before:
                once_before, peak_before = before[name]
                told += f"; {seconds / once_before:.1f} times as long, memory {peak / peak_before:.2f} times"
            before[name] = (seconds, peak)
            rows.append((name, seconds, told))
    show("ten clusters of garments, a set number of passes", rows)


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
        "silhouettes of 2,000": lambda: silhouette(view, np.arange(n, dtype=np.int32) % 10, 10, sample=2000),
    }


def forget_peak() -> None:
    """From now on, peaks are of what follows."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Most memory that was resident."""
    return next(
        1024 * int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )


def spectra(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """Ten clusters of 10 components; silhouettes in this space, of all images."""
    from sklearn.cluster import SpectralClustering

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
