"""Ingest of encoded images on two workers, against a loop over them with Pillow in a single process.

Fashion-MNIST's 70,000 images as a tree of PNG files, as Parquet, and as tar shards. Ours opens the source (listing,
headers, labels), decodes, hashes, compresses and writes the collection, and commits it; the cluster runs already. The
loop lists, decodes into one array in memory, and takes labels from folders or columns; nothing is written. The files
are in the page cache on both sides. Ours has the extra ``fast``, unless ``--pillow``. Beside the ratios: what decoding
alone takes on the same two workers.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import connect
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.workflow.ingesting import make_collection
from tests.benchmarks.common import show

KINDS = ("folder", "parquet", "tar")


def write_sources(data: Path, directory: Path) -> dict[str, Path]:
    """Fashion-MNIST in each format; made once."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from source_files import written

    places = {kind: directory / f"fashion-mnist-{kind}" for kind in KINDS}
    if missing := [kind for kind, place in places.items() if not place.exists()]:
        source = open_source(str(data))
        assert isinstance(source, Source)
        splits = {}
        for number, part in enumerate(source.partitions):
            batches = list(source.read(number, 0, part.rows, 4096))
            splits[part.split] = tuple(
                np.concatenate([getattr(rows, field) for rows in batches]) for field in ("image", "label")
            )
        for kind in missing:
            pending = directory / f"pending-{kind}"
            shutil.rmtree(pending, ignore_errors=True)
            written(kind, pending, splits).rename(places[kind])
    return places


def encoded_folder(root: Path) -> Iterator[tuple[bytes, int]]:
    """Bytes and label of each file of a tree."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as file:
                yield file.read(), int(os.path.basename(folder))


def encoded_parquet(root: Path) -> Iterator[tuple[bytes, int]]:
    """Bytes and label of each row of Parquet files."""
    import pyarrow.parquet as pq

    for path in sorted(root.iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(1024):
            for row in batch.to_pylist():
                yield row["image"]["bytes"], row["label"]


def encoded_tar(root: Path) -> Iterator[tuple[bytes, int]]:
    """Bytes and label of each sample of tar shards, of which the image comes first."""
    for path in sorted(root.iterdir()):
        with tarfile.open(path) as tar:
            for member in tar:
                content: Any = tar.extractfile(member)
                if member.name.endswith(".png"):
                    data = content.read()
                else:
                    yield data, int(content.read())


ENCODED: dict[str, Callable[[Path], Iterator[tuple[bytes, int]]]] = {
    "folder": encoded_folder,
    "parquet": encoded_parquet,
    "tar": encoded_tar,
}


def pillow_loop(kind: str, root: Path, n: int) -> None:
    """The plain way: everything into one array, one image after the other."""
    image, label = np.empty((n, 28, 28), np.uint8), np.empty(n, np.int16)
    row = -1
    for row, (data, number) in enumerate(ENCODED[kind](root)):
        image[row], label[row] = np.asarray(Image.open(io.BytesIO(data))), number
    assert row == n - 1, row


def decoding_alone(root: Path, half: int) -> float:
    """Seconds to decode every second image, already in memory; on a worker."""
    encoded = [data for at, (data, _) in enumerate(encoded_parquet(root)) if at % 2 == half]
    begun = time.perf_counter()
    for data in encoded:
        np.asarray(Image.open(io.BytesIO(data)))
    return time.perf_counter() - begun


def leave_out_extra() -> None:
    """On a worker: as if the extra ``fast`` were not installed."""
    import sys

    sys.modules["imagecodecs"] = None  # type: ignore[assignment]


def main() -> None:
    """Run both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pillow", action="store_true", help="as without the extra fast")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    places = write_sources(given.data, given.directory)
    cluster = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=2)
    for kind in given.kinds:
        # A cluster for each kind: what one has imported is not to count for the next.
        with connect(cluster) as connection:
            if given.pillow:
                connection.client.run(leave_out_extra)
            engine = DistributedEngine(connection.client, connection.workers, given.directory / "columns")
            measure(kind, places[kind], places["parquet"], connection, engine, given)


def measure(kind: str, place: Path, parquet: Path, connection: Any, engine: DistributedEngine, given: Any) -> None:
    """Both sides and the floor, alternating; prints the table of one format."""
    store = given.directory / "ingested.zarr"
    seconds: dict[str, list[float]] = {"opening": [], "ours": [], "loop": [], "decoding": []}
    for repeat in range(given.repeats + 1):
        shutil.rmtree(store, ignore_errors=True)
        begun = time.perf_counter()
        source = open_source(place)
        assert isinstance(source, Source)
        opened = time.perf_counter()
        collection = make_collection(engine, source, store)
        made = time.perf_counter()
        if repeat == 0:  # imports, and files into the page cache; the memory of a first ingest is what counts
            peak = max(state["peak_bytes"] for state in connection.worker_states().values())
            task, tasks = plan_ingest(source, store).task_bytes, engine.statistics.tasks
        pillow_loop(kind, place, collection.n)
        looped = time.perf_counter()
        alone = [connection.client.submit(decoding_alone, parquet, half, pure=False) for half in (0, 1)]
        floor = max(connection.client.gather(alone))
        if repeat:
            for name, value in zip(seconds, (opened - begun, made - begun, looped - made, floor), strict=True):
                seconds[name].append(value)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [loop / ours for loop, ours in zip(seconds["loop"], seconds["ours"], strict=True)]
    n, rounded = collection.n, {name: np.round(values, 2) for name, values in seconds.items()}
    by = "Pillow" if given.pillow else "Pillow and the extra fast"
    show(
        f"ingest of {n:,} images by {by}: {source.kind}, {tasks} tasks, load {os.getloadavg()[0]:.1f}",
        [
            (
                "Pillow, single process, nothing written",
                median["loop"],
                f"{n / median['loop']:,.0f} images/s; {rounded['loop']}",
            ),
            (
                "ours, 2 workers",
                median["ours"],
                f"{statistics.median(ratios):.2f} × its speed ({min(ratios):.2f} to {max(ratios):.2f}); "
                f"{n / median['ours'] / 2:,.0f} images/s a core; {rounded['ours']}",
            ),
            ("of it: opening the source", median["opening"], f"{rounded['opening']}"),
            (
                "decoding alone by Pillow on these workers",
                median["decoding"],
                f"{median['decoding'] / median['ours']:.0%} of ours; {rounded['decoding']}",
            ),
        ],
    )
    print(f"  worker: {peak / 1e6:.0f} MB at most, planned {engine.planned_worker_bytes / 1e6:.0f} MB "
          f"(of it {connection.workers.baseline / 1e6:.0f} MB idle, {task / 1e6:.0f} MB a task)")  # fmt: skip


if __name__ == "__main__":
    main()
