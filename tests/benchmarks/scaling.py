"""How runs grow: steps of the shipped workflows on ever more garments, two workers, and k-means of 8.1 million.

``growth``: each step alone, by the product's runner, on two workers that have run it once before: seconds an image,
beside fewer images; 1 is linear. Silhouettes are of some images against all, as those of all pairs grow otherwise; left
out for the same reason are steps that compare all pairs, and those that take a fixed number of images.

``speedup``: the statistics pass, and k-means of a set number of passes, by one worker and by two, files in the page
cache; the results must be the same. A worker that works on one block while it reads the next keeps more than a core
busy: the one worker is kept to one core, and left free beside that.

``mnist8m``: k-means of as many images as MNIST8m has, k = 256, 20 iterations, beside faiss on what fits into memory.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fmnist_dask
from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.probe import reset_peak
from tests.benchmarks import kmeans_many
from tests.benchmarks.common import garments_store
from tests.benchmarks.on_workers import clusters_of, keep_to_one_core, seconds_here, statistics_of
from tests.benchmarks.rows import Row, Timed, beside_base, timed
from tests.benchmarks.settings import Options, Settings, alone, parts

#: Workflow.step, each after what it needs.
STEPS = (
    "explore.duplicates", "explore.pixels", "explore.properties", "explore.pca", "explore.clusters",
    "cluster.unique", "cluster.pca", "cluster.kmeans", "cluster.mixture", "cluster.hierarchy", "cluster.spectral",
    "cluster.sweep", "lowrank.plane", "lowrank.filled",
)  # fmt: skip
#: Steps that would measure silhouettes of all pairs.
SILHOUETTES = ("kmeans", "mixture", "hierarchy", "spectral")
#: The time of faiss on one GPU, as its authors tell it.
PUBLISHED = "published by faiss's authors for MNIST8m, k = 256, 20 iterations, on one Titan X GPU: 140.6 s"


@dataclass(frozen=True)
class ScalingBenchmark(Options):
    """Parts, and sizes of each.

    Attributes
    ----------
    images
        Garments of the growth, ascending.
    steps
        Steps of the growth.
    speedup_images, many_images
        Garments of the other parts.
    """

    parts: tuple[str, ...] = parts("growth", "speedup", "mnist8m")
    images: tuple[int, ...] = (60_000, 600_000)
    steps: tuple[str, ...] = field(default=STEPS, metadata={"choices": STEPS, "flag": True})
    silhouette: int = 2000
    speedup_images: int = 600_000
    many_images: int = 600_000
    clusters: int = 256
    iterations: int = 20


BY_SIZE = {
    "tiny": ScalingBenchmark(1, images=(700, 1400), steps=("explore.pixels", "explore.pca"),
                             silhouette=100, speedup_images=3000, many_images=3000, clusters=16, iterations=5),
    "usual": ScalingBenchmark(),
    "large": ScalingBenchmark(images=(60_000, 600_000, 6_000_000), many_images=8_100_000),
}  # fmt: skip


def chapter(settings: Settings, options: ScalingBenchmark) -> Iterator[Row]:
    """The parts that are asked for."""
    for part in options.parts:
        yield from {"growth": growth, "speedup": speedup, "mnist8m": mnist8m}[part](settings, options)


@dataclass(frozen=True)
class Ran:
    """One step on one collection: seconds, highest MB of a worker, images that it used."""

    seconds: float
    peak: float
    n: int


def growth(settings: Settings, options: ScalingBenchmark) -> Iterator[Row]:
    """Each step on ever more images."""
    found: dict[str, list[Ran]] = {step: [] for step in options.steps}
    for at, n in enumerate(options.images):
        with settings.workers(fresh=not settings.tiny) as (connection, engine):
            garments = garments_store(engine, settings, n)
            if not settings.tiny:  # workers import, and compile, what steps need
                list(run_steps(connection, garments_store(engine, settings, 2000), settings, options))
            for step, ran in run_steps(connection, garments, settings, options):
                found[step].append(ran)
                if at:
                    yield from grown(step, found[step], options.images)


def run_steps(
    connection: Any, collection: Collection, settings: Settings, options: ScalingBenchmark
) -> Iterator[tuple[str, Ran]]:
    """Each step by the runner, in a run directory that has what it needs."""
    outs: dict[str, Path] = {}
    for step in options.steps:
        workflow, _, name = step.partition(".")
        if workflow not in outs:
            outs[workflow] = settings.directory / f"growth-{workflow}"
            shutil.rmtree(outs[workflow], ignore_errors=True)
        # What an earlier pass has kept would be taken in place of reading.
        shutil.rmtree(Path(collection.path) / "states", ignore_errors=True)
        connection.client.run(reset_peak)
        chosen = [f"{one}.silhouette={options.silhouette}" for one in SILHOUETTES] if workflow == "cluster" else []
        address = connection.client.scheduler.address
        run = fmnist_dask.run(
            workflow, source=collection.path, cluster=address, out=outs[workflow], settings=chosen, only=[name]
        )
        told = run.manifest["steps"][name]
        # The manifest's own peak is that of all steps whose results are there.
        peak = max(work["peak_worker_bytes"] for work in run.manifest["work"] if name in work["steps"])
        yield step, Ran(told["seconds"], peak / 1e6, collection.n)


def grown(step: str, ran: list[Ran], sizes: tuple[int, ...]) -> Iterator[Row]:
    """One step at one size, beside the size before."""
    before, now = ran[-2:]
    exponent = exponent_of(before, now)
    told = f"{now.seconds:.2f} s, before {before.seconds:.2f} s; time grows as images to the power of {exponent:.2f}"
    if len(ran) > 2:
        told += f", over all sizes {exponent_of(ran[0], now):.2f}"
    each, each_before = (1e6 * one.seconds / one.n for one in (now, before))
    what, base = f"{step}, {now.n:,} garments", f"{before.n:,} garments"
    yield beside_base(f"{what}: µs an image", each, base, each_before, now.n, unit="µs", remark=told)
    yield beside_base(f"{what}: memory of a worker", now.peak, base, before.peak, now.n, unit="MB")


def exponent_of(small: Ran, large: Ran) -> float:
    """Slope of seconds over images, both logarithmic."""
    return math.log(large.seconds / small.seconds) / math.log(large.n / small.n)


@dataclass(frozen=True)
class Speed:
    """Seconds, a digest of the result, and how many cores the workers kept busy."""

    seconds: Timed
    result: Any
    cores: float


def speedup(settings: Settings, options: ScalingBenchmark) -> Iterator[Row]:
    """One worker kept to one core, one left free, and two; then what the machine gives: both, unscheduled."""
    n = options.speedup_images
    works: dict[str, tuple[Any, ...]] = {
        "statistics pass": (statistics_of,),
        f"k-means, {options.iterations} passes": (clusters_of, options.iterations),
    }
    found: list[dict[str, Speed]] = []
    for count, kept in ((1, True), (1, False), (2, False)):
        with settings.workers(count) as (connection, engine):
            garments = garments_store(engine, settings, n)
            if kept:
                connection.client.run(keep_to_one_core)
            found.append(
                {name: speed(connection.client, engine, garments, options, *work) for name, work in works.items()}
            )
            if count == 2:
                machine = {name: unscheduled(connection.client, garments, *work) for name, work in works.items()}
    for name in works:
        one, free, two = (speeds[name] for speeds in found)
        single, both = machine[name]
        told = (
            f"{one.seconds.value / two.seconds.value:.2f} times as fast, {two.cores:.2f} cores busy with it; "
            f"this machine gives {2 * single / both:.2f}"
        )
        yield beside_base(f"{name}, {n:,} garments, two workers", two.seconds, "one worker on one core", one.seconds, n,
                          agrees=one.result == two.result, remark=told)  # fmt: skip
        told = f"it reads ahead on the other core: {free.cores:.2f} cores busy"
        yield beside_base(f"{name}, one worker that may use both cores", free.seconds, "one worker on one core",
                          one.seconds, n, agrees=one.result == free.result, remark=told)  # fmt: skip
        told = f"twice the work: both cores do {2 * single / both:.2f} times what one does"
        yield beside_base(f"{name}, all of it in each of two processes at once, unscheduled", both, "in one, alone",
                          single, n, remark=told)  # fmt: skip


def speed(
    client: Any,
    engine: DistributedEngine,
    collection: Collection,
    options: ScalingBenchmark,
    work: Any,
    *arguments: Any,
) -> Speed:
    """Of some work, done once before."""
    result = work(collection, engine, *arguments)
    before = sum(client.run(time.process_time).values())
    seconds = timed(lambda: work(collection, engine, *arguments), options.repeats)
    busy = sum(client.run(time.process_time).values()) - before
    return Speed(seconds, result, busy / sum(seconds.runs))


def unscheduled(client: Any, collection: Collection, *work: Any) -> tuple[float, float]:
    """Seconds of the same work in one worker while the other has nothing to do, and in both at once."""
    first, second = client.scheduler_info(n_workers=-1)["workers"]

    def at_once(*workers: str) -> float:
        asked = [
            client.submit(seconds_here, str(collection.path), *work, workers=[worker], pure=False) for worker in workers
        ]
        return max(client.gather(asked))

    at_once(first, second)  # both compile
    return at_once(first), at_once(first, second)


def mnist8m(settings: Settings, options: ScalingBenchmark) -> Iterator[Row]:
    """As the chapter ``kmeans_many`` has it, of more images."""
    asked = kmeans_many.ManyBenchmark(1, options.many_images, options.clusters, options.iterations)
    for row in kmeans_many.chapter(settings, asked):
        yield replace(row, remark=f"{row.remark}; {PUBLISHED}") if row.peer else row


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "scaling")
