"""Maps of Fashion-MNIST's 60,000 training images by t-SNE and UMAP, and of ever more garments placed among landmarks.

On 50 principal components, perplexity 30, 750 iterations. Ours reads codes from Zarr and has two workers; openTSNE
called directly and scikit-learn's ``TSNE`` have them in memory and two threads. All maps are measured alike:
trustworthiness (15 neighbours) and the accuracy of ten neighbours on the map. UMAP is seeded on both sides, and so
works on one thread.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FeatureCollection
from fmnist_dask.kernels.neighbours import Measure, Samples, look_for
from fmnist_dask.models.map_quality import map_quality
from fmnist_dask.models.map_rows import images_to_place
from fmnist_dask.models.neighbours import measure_of
from fmnist_dask.models.tsne import TSNEModel, TSNEOptions, tsne
from fmnist_dask.models.umap import UMAPModel, UMAPOptions, umap
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.map_places import BATCH_ROWS, PLACING, Landmarks, MapPlaces, place_by
from tests.benchmarks.clusters import N, codes_of, forget_peak, once, peak_bytes
from tests.benchmarks.common import arguments, fashion_store, garments_store, show, two_workers

D = 50
#: Garments of the map of all, and among which the rest is placed.
SUBSET, LANDMARKS = 60_000, 100_000


def main() -> None:
    """Each part in turn."""
    parser = arguments(__doc__)
    parser.add_argument("parts", nargs="*", default=["all", "sample", "placing", "umap"])
    given = parser.parse_args()
    with two_workers(given.directory) as (_, engine):
        collection = fashion_store(engine, given.directory, given.data)
        for part in given.parts:
            PARTS[part](engine, collection, given.repeats)


def ours(engine: DistributedEngine, view: FeatureCollection, n: int, options: TSNEOptions, split: str) -> TSNEModel:
    """A map as the step makes it."""
    sample = drive(images_to_place(view, n, options, split), view, engine)
    return drive(tsne(view, sample, n, options, split), view, engine)


def quality(engine: DistributedEngine, view: FeatureCollection, rows: Any, places: Any, split: str) -> str:
    """Of any map of these rows, in words."""
    labels = view.read("label", 0, view.n)[rows]
    found = drive(map_quality(view, rows, labels, places, 0, split), view, engine)
    return f"trustworthiness {found.trustworthiness:.4f}, accuracy {found.knn_accuracy:.4f}"


def direct(codes: np.ndarray) -> np.ndarray:
    """openTSNE with the same perplexity and iterations, its own choice of neighbours."""
    import openTSNE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(openTSNE.TSNE(perplexity=30, n_jobs=2, random_state=0).fit(codes), dtype=np.float32)


def scikit_learn(codes: np.ndarray) -> np.ndarray:
    """Its ``TSNE``, with as many iterations."""
    from sklearn.manifold import TSNE

    return np.asarray(TSNE(perplexity=30, max_iter=750, n_jobs=2, random_state=0).fit_transform(codes))


def map_of_all(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """60,000 images: ours and openTSNE in turns, scikit-learn once."""
    view = codes_of(engine, collection, D)
    codes, rows = view.read("features", 0, N).astype(np.float64), np.arange(N)
    times: dict[str, list[float]] = {"ours": [], "openTSNE": []}
    for _ in range(repeats):
        model, took = once(lambda: ours(engine, view, N, TSNEOptions(), "train"))
        times["ours"].append(took)
        other, took = once(lambda: direct(codes))
        times["openTSNE"].append(took)
    third, theirs = once(lambda: scikit_learn(codes))
    mine, directly = (float(np.median(took)) for took in times.values())
    told = [quality(engine, view, rows, places, "train") for places in (model.embedding, other, third)]
    table = [
        ("ours, exact neighbours", mine, told[0]),
        ("openTSNE called directly", directly, f"{told[1]}; ours {mine / directly:.2f} × its time"),
        ("scikit-learn, one run", theirs, f"{told[2]}; ours {mine / theirs:.2f} × its time"),
    ]
    show("t-SNE of Fashion-MNIST's 60,000 training images", table)


def map_of_sample(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """10,000 of them: ours and scikit-learn."""
    view = codes_of(engine, collection, D)
    model, took = once(lambda: ours(engine, view, N, TSNEOptions(images=10_000), "train"))
    codes = view.read("features", 0, N)[model.rows].astype(np.float64)
    other, theirs = once(lambda: scikit_learn(codes))
    table = [
        ("ours", took, quality(engine, view, model.rows, model.embedding, "train")),
        ("scikit-learn", theirs, quality(engine, view, model.rows, other, "train")),
    ]
    show("t-SNE of 10,000 of them, one run each", table)


def placing(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """Garments placed among landmarks: time, memory and quality; a part of them all fitted beside it."""
    directory = Path(collection.path).parent
    rows: list[tuple[str, float, str]] = []
    view = codes_of(engine, garments_store(engine, directory, 600_000), D, "all")
    model, took = once(lambda: ours(engine, view, view.n, TSNEOptions(landmarks=LANDMARKS), "all"))
    found = np.arange(view.n)
    rows.append((f"600,000 among {LANDMARKS:,} landmarks", took, quality(engine, view, found, model.embedding, "all")))
    placed = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(~model.fitted))[:SUBSET])
    told = quality(engine, view, placed, model.embedding[placed], "all")
    rows.append((f"{SUBSET:,} placed ones of that map by themselves", float("nan"), told))
    options = replace(TSNEOptions(), images=SUBSET)
    fitted, took = once(lambda: ours(engine, view, view.n, options, "all"))
    rows.append((f"{SUBSET:,} all fitted", took, quality(engine, view, fitted.rows, fitted.embedding, "all")))
    show("garments, t-SNE of 50 components", rows)
    column = column_of(engine, view, model)
    show("where a worker's time goes as it places", shares(view, model, column))
    grown(engine, directory, column)


def column_of(engine: DistributedEngine, view: FeatureCollection, model: TSNEModel) -> MapPlaces:
    """What places other images on a map."""
    landmarks = model.rows[model.fitted]
    measure = drive(measure_of(view, "all"), view, engine)
    known = Landmarks(
        ArrayParameter(landmarks),
        ArrayParameter(view.read("features", 0, view.n)[landmarks].astype(np.float64)),
        ArrayParameter(model.embedding[model.fitted].astype(np.float64)),
        ArrayParameter(model.neighbours[0 : view.n][landmarks]),
        ArrayParameter(model.distances[0 : view.n][landmarks]),
    )
    everyone = ArrayParameter(np.full(-(-1_200_000 // 8), 255, np.uint8))
    return MapPlaces(known, everyone, ArrayParameter(measure.shift), measure.scale, 250)


def shares(view: FeatureCollection, model: TSNEModel, column: MapPlaces) -> list[tuple[str, float, str]]:
    """One thread, one chunk: the whole, its parts, and openTSNE's own transform of the same."""
    from threadpoolctl import threadpool_limits

    block = view.block(0, view.chunk_rows)
    features, known = block.features[~model.fitted[: len(block)]], column.landmarks
    measure, times = Measure(column.shift.values, column.scale), {"search": 0.0, "moves": 0.0}
    with threadpool_limits(1):
        column.compute(view.block(0, 256))  # compiles, and prepares the landmarks' grid
        _, whole = once(lambda: column.compute(block))
        theirs = own_transform(column, features)
        for start in range(0, len(features), BATCH_ROWS):
            part = features[start : start + BATCH_ROWS]
            samples = Samples(part, np.arange(len(part)))
            near, took = once(lambda samples=samples: look_for(samples, known.features.values, PLACING, measure))
            times["search"] += took
            times["moves"] += once(lambda near=near: place_by(known.places, *near, column.n_iter))[1]
    n = f"{len(features):,}"
    return [
        (f"{n} images, one thread", whole, f"{1000 * whole / len(features):.3f} ms an image"),
        ("nearest landmarks, exact", times["search"], f"{times['search'] / whole:.0%}"),
        ("openTSNE's affinities and moves", times["moves"], f"{times['moves'] / whole:.0%}"),
        ("openTSNE's own transform of the same", theirs, f"ours {whole / theirs:.2f} × its time"),
    ]


def own_transform(column: MapPlaces, features: np.ndarray) -> float:
    """Seconds that openTSNE takes to place them by itself, its index of the landmarks not counted."""
    import openTSNE
    from openTSNE.affinity import PerplexityBasedNN

    known = column.landmarks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        affinities = PerplexityBasedNN(known.features.values, perplexity=30, n_jobs=1, random_state=0)
        fitted = openTSNE.TSNEEmbedding(known.places.values, affinities, negative_gradient_method="fft", n_jobs=1)
        fitted.prepare_interpolation_grid()
        return once(lambda: fitted.transform(features, n_iter=column.n_iter))[1]


def grown(engine: DistributedEngine, directory: Path, column: MapPlaces) -> None:
    """The same landmarks, ever more images: time and memory."""
    rows: list[tuple[str, float, str]] = []
    before: tuple[float, int] | None = None
    for n in (300_000, 600_000, 1_200_000):
        view = codes_of(engine, garments_store(engine, directory, n), D, "all")
        engine.client.run(forget_peak)
        forget_peak()
        begun = time.perf_counter()
        drive(_place(column), view, engine)
        took = time.perf_counter() - begun
        peak = max(engine.client.run(peak_bytes).values())
        told = f"{1e6 * took / n:.0f} µs an image; a worker {peak / 1e6:.0f} MB, driver {peak_bytes() / 1e6:.0f} MB"
        if before:
            told += f"; {took / before[0]:.2f} times as long, memory {peak / before[1]:.2f} times"
        before = (took, peak)
        rows.append((f"{n:,} garments", took, told))
    show(f"the pass that places them among {LANDMARKS:,} landmarks, once each", rows)


def _place(column: MapPlaces) -> Algorithm[Any]:
    found = yield Scan(columns={"places": column})
    return found["places"]


def by_umap(engine: DistributedEngine, collection: Collection, repeats: int) -> None:
    """60,000 images by UMAP: ours and umap-learn in turns, and ours among 10,000 landmarks."""
    import umap as umap_learn

    view = codes_of(engine, collection, D)
    codes, rows = view.read("features", 0, N), np.arange(N)

    def mine(landmarks: int) -> UMAPModel:
        options = UMAPOptions(landmarks=landmarks)
        sample = drive(images_to_place(view, N, options, "train"), view, engine)
        return drive(umap(view, sample, N, options, "train"), view, engine)

    def theirs() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(umap_learn.UMAP(init="pca", random_state=0).fit_transform(codes))

    mine(5000), theirs()  # compile
    times: dict[str, list[float]] = {"all": [], "some": [], "theirs": []}
    for _ in range(repeats):
        fitted, took = once(lambda: mine(N))
        times["all"].append(took)
        among, took = once(lambda: mine(10_000))
        times["some"].append(took)
        other, took = once(theirs)
        times["theirs"].append(took)
    medians = {name: float(np.median(took)) for name, took in times.items()}
    told = [quality(engine, view, rows, places, "train") for places in (fitted.embedding, among.embedding, other)]
    table = [
        (
            "ours, all fitted",
            medians["all"],
            f"{told[0]}; {medians['all'] / medians['theirs']:.2f} × umap-learn's time",
        ),
        ("ours, 10,000 landmarks", medians["some"], told[1]),
        ("umap-learn called directly", medians["theirs"], told[2]),
    ]
    show("UMAP of Fashion-MNIST's 60,000 training images", table)


PARTS = {"all": map_of_all, "sample": map_of_sample, "placing": placing, "umap": by_umap}

if __name__ == "__main__":
    main()
