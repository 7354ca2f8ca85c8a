"""Maps of Fashion-MNIST's 60,000 training images by t-SNE and UMAP, and of ever more garments placed among landmarks.

On 50 principal components, perplexity 30, 750 iterations. Ours reads codes from Zarr and has two workers; openTSNE
called directly and scikit-learn's ``TSNE`` have them in memory and two threads. All maps are measured alike:
trustworthiness (15 neighbours) and the accuracy of ten neighbours on the map. UMAP is seeded on both sides, and so
works on one thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
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
from fmnist_dask.passes.probe import reset_peak, resident_bytes
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.map_places import BATCH_ROWS, PLACING, Landmarks, MapPlaces, place_by
from tests.benchmarks.clusters import codes_of
from tests.benchmarks.common import fashion_name, fashion_store, garments_store
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, once
from tests.benchmarks.settings import Options, Settings, alone, parts

D = 50


@dataclass(frozen=True)
class MapBenchmark(Options):
    """Parts, and how many images each is of.

    Attributes
    ----------
    sample
        Images of the map of some of them.
    garments, landmarks, subset
        Garments, those among which the others are placed, and those of the map on which all are fitted.
    grown
        Garments that are placed among the same landmarks, ever more.
    exaggerated, iterations
        Iterations of t-SNE: with affinities enlarged, and after that.
    umap_landmarks, epochs
        Images on which UMAP is fitted, where it is not fitted on all, and its epochs; 0 is its own choice.
    """

    parts: tuple[str, ...] = parts("all", "sample", "placing", "umap")
    sample: int = 10_000
    garments: int = 600_000
    landmarks: int = 100_000
    subset: int = 60_000
    grown: tuple[int, ...] = (300_000, 600_000, 1_200_000)
    umap_landmarks: int = 10_000
    exaggerated: int = 250
    iterations: int = 500
    epochs: int = 0

    def tsne(self, **more: Any) -> TSNEOptions:
        """Options of ours."""
        return TSNEOptions(early_exaggeration_iter=self.exaggerated, n_iter=self.iterations, **more)


TINY = MapBenchmark(
    1, sample=600, garments=1500, landmarks=600, subset=500, grown=(1500, 3000), umap_landmarks=600,
    exaggerated=20, iterations=40, epochs=30,
)  # fmt: skip
BY_SIZE = {"tiny": TINY, "usual": MapBenchmark()}


def chapter(settings: Settings, options: MapBenchmark) -> Iterator[Row]:
    """Each part in turn."""
    with settings.workers() as (_, engine):
        collection = fashion_store(engine, settings)
        for part in options.parts:
            yield from PARTS[part](settings, engine, collection, options)


def ours(engine: DistributedEngine, view: FeatureCollection, n: int, options: TSNEOptions, split: str) -> TSNEModel:
    """A map as the step makes it."""
    sample = drive(images_to_place(view, n, options, split), view, engine)
    return drive(tsne(view, sample, n, options, split), view, engine)


def quality(engine: DistributedEngine, view: FeatureCollection, rows: Any, places: Any, split: str) -> str:
    """Of any map of these rows, in words."""
    labels = view.read("label", 0, view.n)[rows]
    found = drive(map_quality(view, rows, labels, places, 0, split), view, engine)
    return f"trustworthiness {found.trustworthiness:.4f}, accuracy {found.knn_accuracy:.4f}"


def direct(codes: np.ndarray, options: MapBenchmark) -> np.ndarray:
    """openTSNE with the same perplexity and iterations, its own choice of neighbours."""
    import openTSNE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turns = {"early_exaggeration_iter": options.exaggerated, "n_iter": options.iterations}
        model = openTSNE.TSNE(perplexity=30, n_jobs=2, random_state=0, **turns)
        return np.asarray(model.fit(codes), dtype=np.float32)


def scikit_learn(codes: np.ndarray, options: MapBenchmark) -> np.ndarray:
    """Its ``TSNE``, with as many iterations."""
    from sklearn.manifold import TSNE

    turns = max(250, options.exaggerated + options.iterations)  # it refuses fewer
    return np.asarray(TSNE(perplexity=30, max_iter=turns, n_jobs=2, random_state=0).fit_transform(codes))


def map_of_all(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: MapBenchmark
) -> Iterator[Row]:
    """All images: ours and openTSNE in turns, scikit-learn once."""
    view, n = codes_of(engine, collection, D), collection.splits["train"]
    codes, rows = view.read("features", 0, n).astype(np.float64), np.arange(n)
    times: dict[str, list[float]] = {"ours": [], "openTSNE": []}
    for _ in range(options.repeats):
        model, took = once(lambda: ours(engine, view, n, options.tsne(), "train"))
        times["ours"].append(took)
        other, took = once(lambda: direct(codes, options))
        times["openTSNE"].append(took)
    third, theirs = once(lambda: scikit_learn(codes, options))
    mine, directly = (Timed.of(took) for took in times.values())
    told = [quality(engine, view, rows, places, "train") for places in (model.embedding, other, third)]
    what = f"t-SNE, exact neighbours, 2 workers, {fashion_name(settings)}"
    yield beside_peer(what, mine, "openTSNE", "called directly", directly, n, remark=f"{told[0]}; theirs {told[1]}")
    told[2] += ", one run"
    yield beside_peer(what, mine, "scikit-learn", "TSNE", theirs, n, remark=f"{told[0]}; theirs {told[2]}")


def map_of_sample(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: MapBenchmark
) -> Iterator[Row]:
    """Some of them: ours and scikit-learn, one run each."""
    view, n = codes_of(engine, collection, D), collection.splits["train"]
    model, took = once(lambda: ours(engine, view, n, options.tsne(images=options.sample), "train"))
    codes = view.read("features", 0, n)[model.rows].astype(np.float64)
    other, theirs = once(lambda: scikit_learn(codes, options))
    told = [quality(engine, view, model.rows, places, "train") for places in (model.embedding, other)]
    what, size = f"t-SNE of some of {fashion_name(settings)}", len(model.rows)
    remark = f"{told[0]}; theirs {told[1]}; one run each"
    yield beside_peer(what, took, "scikit-learn", "TSNE", theirs, size, remark=remark)


def placing(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: MapBenchmark
) -> Iterator[Row]:
    """Garments placed among landmarks: time, memory and quality; a part of them all fitted beside it."""
    view = codes_of(engine, garments_store(engine, settings, options.garments), D, "all")
    chosen = options.tsne(landmarks=options.landmarks)
    model, took = once(lambda: ours(engine, view, view.n, chosen, "all"))
    told = [quality(engine, view, np.arange(view.n), model.embedding, "all")]
    placed = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(~model.fitted))[: options.subset])
    told.append(quality(engine, view, placed, model.embedding[placed], "all"))
    some = options.tsne(images=options.subset)
    fitted, their_time = once(lambda: ours(engine, view, view.n, some, "all"))
    told.append(quality(engine, view, fitted.rows, fitted.embedding, "all"))
    yield beside_base(
        f"t-SNE of {options.garments:,} garments, {options.landmarks:,} of them landmarks",
        took,
        f"{options.subset:,} of them, all fitted",
        their_time,
        view.n,
        remark=f"{told[0]}; {len(placed):,} placed ones by themselves {told[1]}; all fitted {told[2]}",
    )
    column = column_of(engine, view, model, max(options.grown))
    yield from shares(view, model, column)
    yield from grown(settings, engine, column, options)


def column_of(engine: DistributedEngine, view: FeatureCollection, model: TSNEModel, rows: int) -> MapPlaces:
    """What places other images on a map, of so many rows at most."""
    landmarks = model.rows[model.fitted]
    measure = drive(measure_of(view, "all"), view, engine)
    known = Landmarks(
        ArrayParameter(landmarks),
        ArrayParameter(view.read("features", 0, view.n)[landmarks].astype(np.float64)),
        ArrayParameter(model.embedding[model.fitted].astype(np.float64)),
        ArrayParameter(model.neighbours[0 : view.n][landmarks]),
        ArrayParameter(model.distances[0 : view.n][landmarks]),
    )
    everyone = ArrayParameter(np.full(-(-rows // 8), 255, np.uint8))
    return MapPlaces(known, everyone, ArrayParameter(measure.shift), measure.scale, 250)


def shares(view: FeatureCollection, model: TSNEModel, column: MapPlaces) -> Iterator[Row]:
    """Where a worker's time goes as it places: one thread, one chunk, and openTSNE's own transform of the same."""
    from threadpoolctl import threadpool_limits

    block = view.block(0, min(view.chunk_rows, view.n))
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
    n, told = len(features), f"{1000 * whole / len(features):.3f} ms an image"
    what = "placing images on a map, one thread"
    yield beside_peer(what, whole, "openTSNE", "transform, approximate neighbours", theirs, n, remark=told)
    yield beside_base("of it: nearest landmarks, exact", times["search"], "placing", whole, n)
    yield beside_base("of it: openTSNE's affinities and moves", times["moves"], "placing", whole, n)


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


def grown(settings: Settings, engine: DistributedEngine, column: MapPlaces, options: MapBenchmark) -> Iterator[Row]:
    """The same landmarks, ever more images: time and memory of the pass that places them, once each."""
    before: tuple[int, float, float] | None = None
    for n in options.grown:
        view = codes_of(engine, garments_store(engine, settings, n), D, "all")
        engine.client.run(reset_peak)
        reset_peak()
        _, took = once(lambda view=view: drive(_place(column), view, engine))
        peak, driver = max(engine.client.run(resident_bytes, True).values()) / 1e6, resident_bytes(True) / 1e6
        if before:
            what, base = f"placing {n:,} garments among {options.landmarks:,}", f"{before[0]:,} garments"
            told = f"{1e6 * took / n:.0f} µs an image; driver {driver:.0f} MB"
            yield beside_base(what, took, base, before[1], n, remark=told)
            yield beside_base(f"{what}: memory of a worker", peak, base, before[2], n, unit="MB")
        before = (n, took, peak)


def _place(column: MapPlaces) -> Algorithm[Any]:
    found = yield Scan(columns={"places": column})
    return found["places"]


def by_umap(
    settings: Settings, engine: DistributedEngine, collection: Collection, options: MapBenchmark
) -> Iterator[Row]:
    """All images by UMAP: ours and umap-learn in turns, and ours among landmarks."""
    if not settings.has("umap-learn"):
        return
    import umap as umap_learn

    view, n = codes_of(engine, collection, D), collection.splits["train"]
    codes, rows = view.read("features", 0, n), np.arange(n)

    def mine(landmarks: int) -> UMAPModel:
        chosen = UMAPOptions(landmarks=landmarks, n_epochs=options.epochs or None)
        sample = drive(images_to_place(view, n, chosen, "train"), view, engine)
        return drive(umap(view, sample, n, chosen, "train"), view, engine)

    def theirs() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = umap_learn.UMAP(n_epochs=options.epochs or None, init="pca", random_state=0)
            return np.asarray(model.fit_transform(codes))

    mine(options.umap_landmarks // 2), theirs()  # compile
    times: dict[str, list[float]] = {"all": [], "some": [], "theirs": []}
    for _ in range(options.repeats):
        fitted, took = once(lambda: mine(n))
        times["all"].append(took)
        among, took = once(lambda: mine(options.umap_landmarks))
        times["some"].append(took)
        other, took = once(theirs)
        times["theirs"].append(took)
    told = [quality(engine, view, rows, places, "train") for places in (fitted.embedding, among.embedding, other)]
    they, name = Timed.of(times["theirs"]), fashion_name(settings)
    for what, way, remark in (
        ("all fitted", "all", told[0]),
        (f"{options.umap_landmarks:,} landmarks", "some", told[1]),
    ):
        remark = f"{remark}; theirs {told[2]}"
        seconds = Timed.of(times[way])
        by = "called directly, seeded"
        yield beside_peer(f"UMAP, {what}, {name}", seconds, "umap-learn", by, they, n, remark=remark)


PARTS = {"all": map_of_all, "sample": map_of_sample, "placing": placing, "umap": by_umap}

if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "maps")
