"""Ingest of encoded images on two workers, against a loop over them with Pillow in a single process.

Fashion-MNIST's 70,000 images as a tree of PNG files, as Parquet, and as tar shards. Ours opens the source (listing,
headers, labels), decodes, hashes, compresses and writes the collection, and commits it; the cluster runs already. The
loop lists, decodes into one array in memory, and takes labels from folders or columns; nothing is written. The files
are in the page cache on both sides. Ours has the extra ``fast``, unless ``--pillow``. Beside the ratios: what decoding
alone takes on the same two workers.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.workflow.ingesting import make_collection
from tests.benchmarks.common import all_pixels, arrays_of, fashion_name, fashion_source
from tests.benchmarks.on_workers import decoding_alone, encoded_parquet, leave_out_extra
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer
from tests.benchmarks.settings import Options, Settings, alone, most_memory

KINDS = ("folder", "parquet", "tar")


@dataclass(frozen=True)
class IngestBenchmark(Options):
    """Formats, and whether Pillow decodes on our side, too."""

    repeats: int = 5
    kinds: tuple[str, ...] = field(default=KINDS, metadata={"choices": KINDS, "flag": True})
    pillow: bool = field(default=False, metadata={"help": "as without the extra fast"})


BY_SIZE = {"tiny": IngestBenchmark(1), "usual": IngestBenchmark()}


def chapter(settings: Settings, options: IngestBenchmark) -> Iterator[Row]:
    """Both sides in turn."""
    settings.directory.mkdir(parents=True, exist_ok=True)
    places = write_sources(settings)
    for kind in options.kinds:
        # A cluster for each kind: what one has imported is not to count for the next.
        with settings.workers(fresh=not settings.tiny or options.pillow) as (connection, engine):
            if options.pillow:
                connection.client.run(leave_out_extra)
            yield from measured(kind, places, connection, engine, settings, options)


def write_sources(settings: Settings) -> dict[str, Path]:
    """Fashion-MNIST in each format; made once."""
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from source_files import written

    source = fashion_source(settings)
    name = "fashion-mnist" if settings.data is not None else f"garments-{source.n}"
    places = {kind: settings.directory / f"{name}-{kind}" for kind in KINDS}
    if missing := [kind for kind, place in places.items() if not place.exists()]:
        splits = arrays_of(source)
        for kind in missing:
            pending = settings.directory / f"pending-{kind}"
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


ENCODED: dict[str, Callable[[Path], Iterator[tuple[bytes, int]]]] = {
    "folder": encoded_folder,
    "parquet": encoded_parquet,
    "tar": encoded_tar,
}


def pillow_loop(kind: str, root: Path, n: int) -> np.ndarray:
    """The plain way: everything into one array, one image after the other."""
    image, label = np.empty((n, 28, 28), np.uint8), np.empty(n, np.int16)
    row = -1
    for row, (data, number) in enumerate(ENCODED[kind](root)):
        image[row], label[row] = np.asarray(Image.open(io.BytesIO(data))), number
    assert row == n - 1, row
    return image


def measured(
    kind: str,
    places: dict[str, Path],
    connection: Any,
    engine: DistributedEngine,
    settings: Settings,
    options: IngestBenchmark,
) -> Iterator[Row]:
    """Both sides and the floor of one format, alternating."""
    store, place = settings.directory / "ingested.zarr", places[kind]
    seconds: dict[str, list[float]] = {"opening": [], "ours": [], "loop": [], "decoding": []}
    for repeat in range(options.repeats + 1):
        shutil.rmtree(store, ignore_errors=True)
        begun = time.perf_counter()
        source = open_source(place)
        assert isinstance(source, Source)
        opened = time.perf_counter()
        collection = make_collection(engine, source, store)
        made = time.perf_counter()
        if repeat == 0:  # imports, and files into the page cache; the memory of a first ingest is what counts
            peak = most_memory(connection)
            task, tasks = plan_ingest(source, store).task_bytes / 1e6, engine.statistics.tasks
        before = time.perf_counter()
        image = pillow_loop(kind, place, collection.n)
        looped = time.perf_counter()
        alone_ = [connection.client.submit(decoding_alone, places["parquet"], half, pure=False) for half in (0, 1)]
        floor = max(connection.client.gather(alone_))
        if repeat:
            for name, value in zip(seconds, (opened - begun, made - begun, looped - before, floor), strict=True):
                seconds[name].append(value)
    # Rows of the collection stand in order of splits and names, as the loop's do but for the order of splits.
    same = sorted(map(bytes, all_pixels(collection))) == sorted(map(bytes, image.reshape(len(image), -1)))
    times = {name: Timed.of(values) for name, values in seconds.items()}
    ours, n = times["ours"], collection.n
    ratios = [loop / own for loop, own in zip(seconds["loop"], seconds["ours"], strict=True)]
    fast = not options.pillow and importlib.util.find_spec("imagecodecs") is not None
    planned, idle = engine.planned_worker_bytes / 1e6, connection.workers.baseline / 1e6
    told = (
        f"{statistics.median(ratios):.2f} × its speed ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"{n / ours.value / 2:,.0f} images/s a core; {tasks} tasks, load {os.getloadavg()[0]:.1f}; "
        f"worker {peak:.0f} MB, planned {planned:.0f} MB (of it {idle:.0f} MB idle, {task:.0f} MB a task)"
    )
    decoder = "extra fast" if fast else "without the extra fast"
    what = f"ingest of {fashion_name(settings)}, {kind}, {decoder}, 2 workers"
    by = "a loop in a single process, nothing written"
    yield beside_peer(what, ours, "Pillow", by, times["loop"], n, agrees=same, remark=told)
    yield beside_base(f"{kind}: opening the source", times["opening"], "the ingest", ours, n)
    yield beside_base(f"{kind}: decoding alone by Pillow, 2 workers", times["decoding"], "the ingest", ours, n)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "ingest")
