"""Low-rank models against H2O's GLRM (extra ``bench``, and Java), on Fashion-MNIST's 60,000 training images.

``h2o``: two ranks, 2 of complete images, raw pixels, and 64 with a fifth of the pixels hidden. Ours is timed with the
cluster running, from the first pass to the model, both reading the collection; of H2O's, training alone, its frame in
memory. H2O needs hours for rank 64 on all images: it gets the first ``--rows`` of them and ``--iterations``, and its
time is what that takes; and once all of them, for ``--all-iterations``. The errors of both are of hidden pixels of
these rows, ours by a model of all.

``ranks``: time and error of our models of a fifth hidden, by rank, all hidden pixels. ``batches``: the engines of the
estimator side by side. ``scale``: 600,000 garments against 60,000.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fmnist_dask.collection.masked import MaskedImages
from fmnist_dask.kernels.masking import hidden_pixels
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_name, fashion_store, garments_store, training_pixels
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, once, timed
from tests.benchmarks.settings import Options, Settings, alone, parts

FRACTION, SEED = 0.2, 1234
#: Rows whose hidden pixels are compared at a time.
STEP = 5000


@dataclass(frozen=True)
class LowRankBenchmark(Options):
    """Parts; rows and iterations of H2O's; ranks of ours; garments of the growth."""

    parts: tuple[str, ...] = parts("h2o", "ranks", "batches", "scale")
    rows: int = 2000
    iterations: int = 50
    all_iterations: int = 3
    ranks: tuple[int, ...] = (64, 128, 256, 500)
    images: int = 60_000


BY_SIZE = {
    "tiny": LowRankBenchmark(1, rows=200, iterations=3, all_iterations=1, ranks=(8, 16), images=300),
    "usual": LowRankBenchmark(),
}


def chapter(settings: Settings, options: LowRankBenchmark) -> Iterator[Row]:
    """The parts that are asked for."""
    for part in options.parts:
        yield from {"h2o": against_h2o, "ranks": by_rank, "batches": by_engine, "scale": by_size}[part](
            settings, options
        )


@contextmanager
def cluster(settings: Settings) -> Iterator[tuple[DistributedEngine, Callable[[], float]]]:
    """Two workers: an engine on them, and what asks for the most MB that they have had together."""
    with settings.workers(fresh=not settings.tiny) as (connection, engine):
        yield engine, lambda: sum(state["peak_bytes"] for state in connection.worker_states().values()) / 1e6


def against_h2o(settings: Settings, options: LowRankBenchmark) -> Iterator[Row]:
    """Both sides, in turn."""
    if not settings.has("h2o"):
        return
    h2o = importlib.import_module("h2o")
    rows, name = options.rows, fashion_name(settings)
    with cluster(settings) as (engine, peak_mb):
        collection = fashion_store(engine, settings)
        n = collection.splits["train"]
        image = collection.read("image", 0, n).reshape(n, -1)
        plain, masked = MaskedImages.over(collection), MaskedImages.over(collection, FRACTION, SEED)
        complete = LowRankOptions(2, regularization="none")
        two, two_seconds = fitted(engine, plain, complete, options.repeats)
        holed, holed_seconds = fitted(engine, masked, LowRankOptions(64), options.repeats)
        peak = peak_mb()
    h2o.init(nthreads=-1, max_mem_size="12G", bind_to_localhost=True)
    h2o.no_progress()
    try:
        directory, iterations = settings.directory, options.iterations
        theirs_two = glrm(h2o, directory, image.astype(np.float32), 2, 2 * iterations, transform="NONE")
        hidden = hidden_pixels(SEED, np.arange(n), 784, FRACTION)
        some = np.where(hidden, np.nan, image).astype(np.float32)
        theirs = glrm(h2o, directory, some[:rows], 64, iterations, transform="NORMALIZE")
        filled = theirs["model"].reconstruct(theirs["frame"], reverse_transform=True).as_data_frame().to_numpy()
        whole = glrm(h2o, directory, some, 64, options.all_iterations, transform="NORMALIZE")
        part = whole["frame"][:rows, :]
        filled_by_all = whole["model"].reconstruct(part, reverse_transform=True).as_data_frame().to_numpy()
    finally:
        h2o.cluster().shutdown()
    best = bool(two.objective[-1] <= theirs_two["objective"])
    told = f"objective {two.objective[-1]:,.0f}; theirs {theirs_two['objective']:,.0f}, {theirs_two['peak']:,.0f} MB"
    what, by = f"rank 2 of complete images, {name}", f"GLRM, {2 * iterations} iterations"
    yield beside_peer(what, two_seconds, "h2o", by, theirs_two["seconds"], n, agrees=best, remark=told)
    wrong = error(fill_in(holed, image[:rows], hidden[:rows]), image, hidden[:rows])
    theirs_wrong, all_wrong = (error(found, image, hidden[:rows]) for found in (filled, filled_by_all))
    at_this_rate = theirs["seconds"] * n / rows
    what = f"rank 64, a fifth hidden, {name}"
    told = f"error {wrong:.4f}, both workers {peak:,.0f} MB"
    remark = f"{told}; theirs of {rows:,} images {theirs['seconds']:.1f} s, error {theirs_wrong:.4f}"
    by = f"GLRM, at most {iterations} iterations, {rows:,} images, times {n / rows:.0f}"
    yield beside_peer(what, holed_seconds, "h2o", by, at_this_rate, n, remark=remark)
    remark = f"{told}; theirs {all_wrong:.4f}, {whole['peak']:,.0f} MB"
    by = f"GLRM, all images, {options.all_iterations} iterations"
    yield beside_peer(what, holed_seconds, "h2o", by, whole["seconds"], n, remark=remark)
    yield beside_peer(f"{what}: memory", peak, "h2o", by, whole["peak"], n, unit="MB")


def by_rank(settings: Settings, options: LowRankBenchmark) -> Iterator[Row]:
    """Time and error of each rank, beside the first."""
    first: Timed | None = None
    with cluster(settings) as (engine, peak_mb):
        collection = fashion_store(engine, settings)
        image = training_pixels(collection)
        n = len(image)
        hidden = hidden_pixels(SEED, np.arange(n), 784, FRACTION)
        masked = MaskedImages.over(collection, FRACTION, SEED)
        for rank in options.ranks:
            model, seconds = fitted(engine, masked, LowRankOptions(rank), 1)
            wrong = [
                np.square(error(fill_in(model, image[at], hidden[at]), image[at], hidden[at])) * hidden[at].sum()
                for at in (slice(start, start + STEP) for start in range(0, n, STEP))
            ]
            told = f"error {np.sqrt(sum(wrong) / hidden.sum()):.4f}; both workers {peak_mb():,.0f} MB"
            first = first or seconds
            what, base = f"rank {rank}, a fifth hidden, {fashion_name(settings)}", f"rank {options.ranks[0]}"
            yield beside_base(what, seconds, base, first, n, remark=told)


def by_engine(settings: Settings, options: LowRankBenchmark) -> Iterator[Row]:
    """The estimator's engines: passes until it has converged, batches that are read once."""
    # Workers import this module, and need no scikit-learn.
    from fmnist_dask import LowRankModel

    with cluster(settings) as (engine, _):
        image = training_pixels(fashion_store(engine, settings))
    n, rank = len(image), min(options.ranks)
    hidden = hidden_pixels(SEED, np.arange(n), 784, FRACTION)
    turns: dict[str, Any] = {"init": "random", "random_state": 0}
    batch = min(2000, n // 2)
    first = None
    for name, chosen in (
        ("pairs", {"max_iter": 5, "tol": 1e-3}),
        (f"pairs, batches of {batch:,}", {"batch_size": batch}),
        ("codes", turns | {"max_iter": 15}),
        (f"codes, batches of {batch:,}", turns | {"batch_size": batch}),
    ):
        estimator = LowRankModel(rank, **chosen)
        model, seconds = once(lambda made=estimator: made.fit(image, missing=hidden))
        wrong = 0.0
        for at in (slice(start, start + STEP) for start in range(0, n, STEP)):
            filled = model.impute(image[at], missing=hidden[at], min_value=0, max_value=255)
            wrong += float(np.square(((filled - image[at]) / 255)[hidden[at]]).sum())
        told = f"error {np.sqrt(wrong / hidden.sum()):.5f}; {model.n_iter_} passes or batches"
        first = first or seconds
        what = f"estimator, rank {rank}, a fifth hidden, threads of one process: {name}"
        yield beside_base(what, seconds, "pairs, in passes", first, n, remark=told)


def by_size(settings: Settings, options: LowRankBenchmark) -> Iterator[Row]:
    """Ten times the images: ten times as long, in the same memory. Each in a cluster of its own."""
    sizes = (options.images, 10 * options.images)
    with cluster(settings) as (engine, _):
        for n in sizes:
            garments_store(engine, settings, n)
    found: list[tuple[Timed, float]] = []
    for n in sizes:
        with cluster(settings) as (engine, peak_mb):
            masked = MaskedImages.over(garments_store(engine, settings, n), FRACTION, SEED)
            chosen = LowRankOptions(min(options.ranks), max_iter=2, tol=0.0)

            def work(masked: MaskedImages = masked, n: int = n, chosen: LowRankOptions = chosen) -> None:
                drive(low_rank(masked, n, chosen), masked, engine)

            work()  # workers import what they need the first time
            found.append((timed(work, options.repeats), peak_mb()))
    what, base = f"rank {min(options.ranks)}, a fifth hidden, three passes, {sizes[1]:,} garments", f"{sizes[0]:,}"
    (small, small_peak), (large, large_peak) = found
    yield beside_base(what, large, f"{base} garments", small, sizes[1])
    memory = f"{what}: memory of both workers"
    yield beside_base(memory, large_peak, f"{base} garments", small_peak, sizes[1], unit="MB")


def fitted(
    engine: DistributedEngine, source: MaskedImages, options: LowRankOptions, repeats: int
) -> tuple[FittedLowRank, Timed]:
    """The model, and the seconds that it takes."""
    models: list[FittedLowRank] = []
    n = source.splits["train"]
    work = lambda: models.append(drive(low_rank(source, n, options, "train"), source, engine))  # noqa: E731
    work()  # workers import what they need the first time
    return models[-1], timed(work, repeats)


def fill_in(model: FittedLowRank, image: Any, hidden: Any) -> Any:
    """What the model expects of all pixels."""
    gaussian = model.parameter.model
    codes = gaussian.codes(gaussian.centred(image, ~hidden), (~hidden).astype(np.float32))
    return codes @ gaussian.factors / gaussian.inverse_scale + gaussian.centre


def error(filled: Any, image: Any, hidden: Any) -> float:
    """Root mean square error of hidden pixels, of brightness from 0 to 1."""
    wrong = (np.clip(filled, 0, 255) - image[: len(hidden)])[hidden] / 255
    return float(np.sqrt(np.square(wrong).mean()))


def glrm(h2o: Any, directory: Path, table: Any, rank: int, iterations: int, transform: str) -> dict[str, Any]:
    """Train H2O's model on a table; NaN is missing."""
    estimator = importlib.import_module("h2o.estimators").H2OGeneralizedLowRankEstimator
    path = directory / "pixels.csv"
    np.savetxt(path, table, fmt="%.0f", delimiter=",")
    path.write_text(path.read_text().replace("nan", ""))
    frame = h2o.import_file(str(path), header=-1)
    model = estimator(
        k=rank, loss="quadratic", transform=transform, max_iterations=iterations, seed=123, ignore_const_cols=False
    )
    begun = time.perf_counter()
    model.train(training_frame=frame)
    seconds = time.perf_counter() - begun
    java = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "java"]
    peak = max((_high_water(process.pid) for process in java), default=0)
    return {"model": model, "frame": frame, "seconds": seconds, "objective": model.objective(), "peak": peak / 1e6}


def _high_water(process: int) -> int:
    """Most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    return 0


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "low_rank")
