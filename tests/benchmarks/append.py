"""What statistics cost after an append of one row in a hundred, against reading everything.

A collection of garments grows by 1 %; the statistics pass (counts, histograms by class and split, Gram matrix) runs
over it once with the states that a pass over the rows of before has left, and once without.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
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
from tests.benchmarks.common import show


def timed(
    engine: DistributedEngine, collection: Collection, known: KnownGroups | None
) -> tuple[tuple[float, float], int, Duplicates]:
    """Seconds of the statistics pass and of the search for duplicates, and the bytes that both read."""
    scan = Scan({"census": Census(), "histogram": PixelHistogram(), "scatter": Scatter()})
    begun, before = time.perf_counter(), engine.statistics.bytes_read
    engine.scan(collection, {"statistics": scan})
    scanned = time.perf_counter()
    found = drive(find_duplicates(collection, known=known), collection, engine)
    return (scanned - begun, time.perf_counter() - scanned), engine.statistics.bytes_read - before, found


def main() -> None:
    """Both sides, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=700_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    place, full, after, appends, read = given.directory / "growing.zarr", [], [], [], set()
    with connect(cluster) as connection:
        engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
        shutil.rmtree(place, ignore_errors=True)
        collection = make_collection(engine, Garments({"n": given.images}), place)
        for number in range(given.repeats):
            KeptStates.of(collection).forget()  # type: ignore[union-attr]
            seconds, all_bytes, found = timed(engine, collection, None)
            full.append(seconds)
            known = KnownGroups(collection.n, found.rows, found.groups, found.examples)
            begun = time.perf_counter()
            new = Garments({"n": given.images // 100, "seed": number + 1})
            collection = append_rows(engine, collection, new)
            appends.append(time.perf_counter() - begun)
            seconds, new_bytes, _ = timed(engine, collection, known)
            after.append(seconds)
            read.add(new_bytes / all_bytes)
    rows = []
    for at, what in enumerate(("statistics", "duplicates")):
        whole, new = (statistics.median(seconds[at] for seconds in side) for side in (full, after))
        rows += [(f"{what}, all rows", whole, ""), (f"{what}, after the append", new, f"{new / whole:.1%}")]
    whole, new = (statistics.median(sum(seconds) for seconds in side) for side in (full, after))
    show(
        f"{given.images:,} garments, {given.images // 100:,} appended",
        [
            *rows,
            ("both, all rows", whole, ""),
            ("both, after the append", new, f"{new / whole:.1%}"),
            ("the append itself (drawing included)", statistics.median(appends), ""),
        ],
    )
    print(f"  bytes read after the append, of those of all rows: {', '.join(f'{share:.1%}' for share in sorted(read))}")


if __name__ == "__main__":
    main()
