"""What statistics cost after an append of one row in a hundred, against reading everything.

A collection of garments grows by 1 %; the statistics pass (counts, histograms by class and split, Gram matrix) runs
over it once with the states that a pass over the rows of before has left, and once without.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.store import Collection
from fmnist_dask.models.duplicates import Duplicates, find_duplicates
from fmnist_dask.models.known_groups import KnownGroups
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.scatter import Scatter
from fmnist_dask.workflow.ingesting import append_rows, make_collection
from tests.benchmarks.rows import Row, Timed, beside_base, once
from tests.benchmarks.settings import Options, Settings, alone


@dataclass(frozen=True)
class AppendBenchmark(Options):
    """How many garments before the append; a hundredth of them is appended."""

    images: int = 700_000


BY_SIZE = {"tiny": AppendBenchmark(1, 3000), "usual": AppendBenchmark(), "large": AppendBenchmark(images=7_000_000)}


def passes_over(
    engine: DistributedEngine, collection: Collection, known: KnownGroups | None
) -> tuple[tuple[float, float], int, Duplicates]:
    """Seconds of the statistics pass and of the search for duplicates, and the bytes that both read."""
    scan = Scan({"census": Census(), "histogram": PixelHistogram(), "scatter": Scatter()})
    begun, before = time.perf_counter(), engine.statistics.bytes_read
    engine.scan(collection, {"statistics": scan})
    scanned = time.perf_counter()
    found = drive(find_duplicates(collection, known=known), collection, engine)
    return (scanned - begun, time.perf_counter() - scanned), engine.statistics.bytes_read - before, found


def chapter(settings: Settings, options: AppendBenchmark) -> Iterator[Row]:
    """Both sides, in turn."""
    place, few = settings.directory / "growing.zarr", options.images // 100
    full, after, appends, read = list[tuple[float, ...]](), list[tuple[float, ...]](), list[float](), set[float]()
    with settings.workers() as (_, engine):
        shutil.rmtree(place, ignore_errors=True)
        collection = make_collection(engine, Garments({"n": options.images}), place)
        for number in range(options.repeats):
            KeptStates.of(collection).forget()  # type: ignore[union-attr]
            seconds, all_bytes, found = passes_over(engine, collection, None)
            full.append(seconds)
            known = KnownGroups(collection.n, found.rows, found.groups, found.examples)
            new = Garments({"n": few, "seed": number + 1})
            collection, took = once(lambda of=collection, new=new: append_rows(engine, of, new))
            appends.append(took)
            seconds, new_bytes, found = passes_over(engine, collection, known)
            after.append(seconds)
            read.add(new_bytes / all_bytes)
        # The groups of the last round, found by reading all rows: as those that were carried on.
        again = drive(find_duplicates(collection), collection, engine)
        same = again.rows.tolist() == found.rows.tolist() and again.groups.tolist() == found.groups.tolist()
    told = f"bytes read, of those of all rows: {', '.join(f'{share:.1%}' for share in sorted(read))}"
    n = collection.n
    for at, what in enumerate(("statistics", "duplicates")):
        whole, part = (Timed.of([one[at] for one in side]) for side in (full, after))
        agrees = same if what == "duplicates" else None
        title = f"{what} after an append of {few:,} to {options.images:,}"
        yield beside_base(title, part, "all rows", whole, n, agrees=agrees, remark=told)
    whole, part = (Timed.of([sum(one) for one in side]) for side in (full, after))
    yield beside_base("both after the append", part, "all rows", whole, n, remark=told)
    yield beside_base("the append itself (drawing included)", Timed.of(appends), "both passes over all rows", whole, n)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "append")
