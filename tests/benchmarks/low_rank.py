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

import argparse
import importlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.collection.masked import MaskedImages
from fmnist_dask.kernels.masking import hidden_pixels
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import fashion_store, garments_store, show, training_pixels

N = 60_000
FRACTION, SEED = 0.2, 1234


def main() -> None:
    """The parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("parts", nargs="*", default=["h2o", "ranks", "batches", "scale"])
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--all-iterations", type=int, default=3)
    parser.add_argument("--ranks", type=int, nargs="*", default=[64, 128, 256, 500])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    for part in given.parts:
        {"h2o": against_h2o, "ranks": by_rank, "batches": by_engine, "scale": by_size}[part](given)


@contextmanager
def cluster(given: argparse.Namespace) -> Iterator[tuple[DistributedEngine, Callable[[], int]]]:
    """Two workers: an engine on them, and what asks for the most memory that they have had together."""
    config = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    with connect(config) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        yield engine, lambda: sum(state["peak_bytes"] for state in connection.worker_states().values())


def against_h2o(given: argparse.Namespace) -> None:
    """Both sides, in turn."""
    h2o = importlib.import_module("h2o")
    with cluster(given) as (engine, peak_bytes):
        collection = fashion_store(engine, given.directory, given.data)
        image = collection.read("image", 0, N).reshape(N, -1)
        plain, masked = MaskedImages.over(collection), MaskedImages.over(collection, FRACTION, SEED)
        complete = LowRankOptions(2, regularization="none")
        two, two_seconds = timed(engine, plain, complete, given.repeats)
        holed, holed_seconds = timed(engine, masked, LowRankOptions(64), given.repeats)
        peak = peak_bytes()
    h2o.init(nthreads=-1, max_mem_size="12G", bind_to_localhost=True)
    h2o.no_progress()
    try:
        theirs_two = glrm(h2o, given.directory, image.astype(np.float32), 2, 100, transform="NONE")
        hidden = hidden_pixels(SEED, np.arange(N), 784, FRACTION)
        some = np.where(hidden, np.nan, image).astype(np.float32)
        theirs = glrm(h2o, given.directory, some[: given.rows], 64, given.iterations, transform="NORMALIZE")
        filled = theirs["model"].reconstruct(theirs["frame"], reverse_transform=True).as_data_frame().to_numpy()
        whole = glrm(h2o, given.directory, some, 64, given.all_iterations, transform="NORMALIZE")
        part = whole["frame"][: given.rows, :]
        filled_by_all = whole["model"].reconstruct(part, reverse_transform=True).as_data_frame().to_numpy()
    finally:
        h2o.cluster().shutdown()
    slower = theirs_two["seconds"] / two_seconds
    at_this_rate = theirs["seconds"] * N / given.rows / holed_seconds
    ours_wrong = error(fill_in(holed, image[: given.rows], hidden[: given.rows]), image, hidden[: given.rows])
    theirs_wrong = error(filled, image, hidden[: given.rows])
    show(
        "low-rank models, all 60,000 images",
        [
            ("ours, rank 2, complete", two_seconds, f"objective {two.objective[-1]:,.0f}"),
            (
                "H2O, rank 2, complete",
                theirs_two["seconds"],
                f"{slower:.0f} × as long; objective {theirs_two['objective']:,.0f}; {theirs_two['peak'] / 1e6:,.0f} MB",
            ),
            (
                "ours, rank 64, a fifth hidden",
                holed_seconds,
                f"error {ours_wrong:.4f}; both workers {peak / 1e6:,.0f} MB",
            ),
            (
                f"H2O, the same of {given.rows:,} images",
                theirs["seconds"],
                f"at most {given.iterations} iterations; error {theirs_wrong:.4f}; for all, at this rate, "
                f"{at_this_rate:.0f} × as long",
            ),
            (
                f"H2O, all images, {given.all_iterations} iterations",
                whole["seconds"],
                f"{whole['seconds'] / holed_seconds:.0f} × as long; error "
                f"{error(filled_by_all, image, hidden[: given.rows]):.4f}; "
                f"{whole['peak'] / 1e6:,.0f} MB, {whole['peak'] / peak:.1f} × ours",
            ),
        ],
    )


def by_rank(given: argparse.Namespace) -> None:
    """Time and error of each rank."""
    rows = []
    with cluster(given) as (engine, peak_bytes):
        collection = fashion_store(engine, given.directory, given.data)
        image, hidden = training_pixels(collection), hidden_pixels(SEED, np.arange(N), 784, FRACTION)
        masked = MaskedImages.over(collection, FRACTION, SEED)
        for rank in given.ranks:
            model, seconds = timed(engine, masked, LowRankOptions(rank), 1)
            wrong = [
                np.square(error(fill_in(model, image[at], hidden[at]), image[at], hidden[at])) * hidden[at].sum()
                for at in (slice(start, start + 5000) for start in range(0, N, 5000))
            ]
            found = float(np.sqrt(sum(wrong) / hidden.sum()))
            rows.append((f"rank {rank}", seconds, f"error {found:.4f}; both workers {peak_bytes() / 1e6:,.0f} MB"))
    show("our models, a fifth hidden, all 60,000 images", rows)


def by_engine(given: argparse.Namespace) -> None:
    """The estimator's engines: passes until it has converged, batches that are read once."""
    # Workers import this module, and need no scikit-learn.
    from fmnist_dask import LowRankModel

    with cluster(given) as (engine, _):
        image = training_pixels(fashion_store(engine, given.directory, given.data))
    hidden = hidden_pixels(SEED, np.arange(N), 784, FRACTION)
    rows = []
    turns: dict[str, Any] = {"init": "random", "random_state": 0}
    for name, options in (
        ("pairs", {"max_iter": 5, "tol": 1e-3}),
        ("pairs, batches of 2,000", {"batch_size": 2000}),
        ("codes", turns | {"max_iter": 15}),
        ("codes, batches of 2,000", turns | {"batch_size": 2000}),
    ):
        begun = time.perf_counter()
        model = LowRankModel(64, **options).fit(image, missing=hidden)
        seconds = time.perf_counter() - begun
        wrong = 0.0
        for at in (slice(start, start + 5000) for start in range(0, N, 5000)):
            filled = model.impute(image[at], missing=hidden[at], min_value=0, max_value=255)
            wrong += float(np.square(((filled - image[at]) / 255)[hidden[at]]).sum())
        rows.append((name, seconds, f"error {np.sqrt(wrong / hidden.sum()):.5f}; {model.n_iter_} passes or batches"))
    show("engines of the estimator, rank 64, a fifth hidden, threads of one process", rows)


def by_size(given: argparse.Namespace) -> None:
    """Ten times the images: ten times as long, in the same memory. Each in a cluster of its own."""
    rows: list[tuple[str, float, str]] = []
    with cluster(given) as (engine, _):
        for n in (N, 10 * N):
            garments_store(engine, given.directory, n)
    for n in (N, 10 * N):
        with cluster(given) as (engine, peak_bytes):
            masked = MaskedImages.over(garments_store(engine, given.directory, n), FRACTION, SEED)
            options = LowRankOptions(64, max_iter=2, tol=0.0)
            seconds = []
            for _ in range(given.repeats + 1):
                begun = time.perf_counter()
                drive(low_rank(masked, n, options), masked, engine)
                seconds.append(time.perf_counter() - begun)
            rows.append((f"{n:,} garments", statistics.median(seconds[1:]), f"both {peak_bytes() / 1e6:,.0f} MB"))
    rows.append(("ratio", rows[1][1] / rows[0][1], "(not seconds)"))
    show("rank 64, a fifth hidden, three passes", rows)


def timed(
    engine: DistributedEngine, source: MaskedImages, options: LowRankOptions, repeats: int
) -> tuple[FittedLowRank, float]:
    """The model, and the median of the seconds that it takes."""
    seconds = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        model = drive(low_rank(source, N, options, "train"), source, engine)
        seconds.append(time.perf_counter() - begun)
    return model, statistics.median(seconds[1:])  # workers import what they need the first time


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
    return {"model": model, "frame": frame, "seconds": seconds, "objective": model.objective(), "peak": peak}


def _high_water(process: int) -> int:
    """Most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    return 0


if __name__ == "__main__":
    main()
