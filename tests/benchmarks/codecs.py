"""Codecs and shards for pixels: bytes stored and time to read, on grey and colour images.

Each set of images is written to a Zarr array with chunks of the length that ingest chooses, and read back whole, chunk
after chunk, by one thread, as a pass does; the files are in the page cache. Beside it what 100 scattered images take,
which is what pictures for reports are read like. Plain Zstandard is also read the way collections read it: decompressed
to where it stays.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.layout import rows_per_chunk
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import configure_zarr
from tests.benchmarks.common import machine

#: Rows of an inner chunk, where chunks are shards.
INNER_ROWS = 256


def images_of(source: str) -> np.ndarray:
    """All images of a source."""
    opened = open_source(source)
    assert isinstance(opened, Source)
    parts = range(len(opened.partitions))
    return np.concatenate([rows.image for at in parts for rows in opened.read(at, 0, opened.partitions[at].rows, 8192)])


def photographs(side: int = 32) -> np.ndarray:
    """Colour tiles of the two photographs that scikit-learn ships, side by side, each turned and mirrored eight ways.

    They do not overlap: what lies twice in a chunk would be stored once.
    """
    from sklearn.datasets import load_sample_images

    tiles = []
    for photograph in load_sample_images().images:
        rows, columns = photograph.shape[0] // side, photograph.shape[1] // side
        cut = photograph[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
        tiles.append(cut.swapaxes(1, 2).reshape(-1, side, side, 3))
    plain = np.concatenate(tiles)
    turned = [np.rot90(plain, turns, (1, 2)) for turns in range(4)]
    return np.concatenate([*turned, *(images[:, ::-1] for images in turned)])


def codecs() -> dict[str, Any]:
    """Name → compressors of an array."""
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec
    from zarr.codecs.numcodecs import LZ4

    found: dict[str, Any] = {"none": None, "zstd 1": ZstdCodec(level=1), "zstd 3": ZstdCodec(level=3), "lz4": LZ4()}
    for name in ("zstd", "lz4"):
        for shuffle in ("noshuffle", "shuffle", "bitshuffle"):
            level = {"zstd": 3, "lz4": 5}[name]
            found[f"blosc {name} {level}, {shuffle}"] = BloscCodec(
                cname=name, clevel=level, shuffle=shuffle, typesize=1
            )
    found["gzip 5"] = GzipCodec(level=5)
    return found


def written(images: np.ndarray, place: Path, compressors: Any, sharded: bool = False) -> Any:
    """An array of the images in chunks, or in shards of chunks."""
    import zarr

    rows = min(rows_per_chunk(images.shape[1:]), -(-len(images) // INNER_ROWS) * INNER_ROWS)
    shutil.rmtree(place, ignore_errors=True)
    inner = (INNER_ROWS, *images.shape[1:])
    array = zarr.create_array(
        str(place),
        shape=images.shape,
        dtype=images.dtype,
        chunks=inner if sharded else (rows, *images.shape[1:]),
        shards=(rows, *images.shape[1:]) if sharded else None,
        compressors=compressors,
    )
    array[:] = images
    return array


def median(function: Callable[[], Any], repeats: int) -> float:
    """Seconds, the median of several runs after one that does not count."""
    taken = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def whole(array: Any) -> None:
    """Read chunk after chunk."""
    rows = (array.shards or array.chunks)[0]
    for start in range(0, array.shape[0], rows):
        array[start : start + rows]


def straight(array: Any, place: Path) -> None:
    """The same, decompressed to where it stays."""
    from numcodecs.zstd import Zstd

    for file in sorted((place / "c").rglob("*")):
        if file.is_file():
            Zstd().decode(file.read_bytes(), out=np.empty(array.chunks, array.dtype))


def scattered(array: Any) -> None:
    """Read a hundred images, one by one."""
    for row in np.random.default_rng(0).integers(0, array.shape[0], 100):
        array[int(row)]


def measure(name: str, images: np.ndarray, place: Path, repeats: int) -> None:
    """Print the table of one set."""
    print(f"\n{name}: {len(images):,} images of {' × '.join(map(str, images.shape[1:]))}, {images.nbytes / 1e6:.1f} MB")
    print(f"  {'codec':28} {'stored':>9} {'of pixels':>9} {'read whole':>11} {'GB/s':>6} {'100 images':>11}")
    for codec, compressors in codecs().items():
        kinds = (("", False), (", sharded", True)) if codec in ("none", "zstd 1") else (("", False),)
        for suffix, sharded in kinds:
            array = written(images, place, compressors, sharded)
            stored = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            row(codec + suffix, images, stored, median(lambda array=array: whole(array), repeats), array)
            if codec == "zstd 1" and not sharded:
                row(
                    "zstd 1, straight",
                    images,
                    stored,
                    median(lambda array=array: straight(array, place), repeats),
                    None,
                )


def row(name: str, images: np.ndarray, stored: int, seconds: float, array: Any) -> None:
    """Print one line."""
    few = f"{median(lambda: scattered(array), 3):9.3f} s" if array is not None else ""
    print(
        f"  {name:28} {stored / 1e6:6.1f} MB {stored / images.nbytes:9.1%} {seconds:9.3f} s "
        f"{images.nbytes / seconds / 1e9:6.2f} {few:>11}"
    )


def main() -> None:
    """Measure all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, required=not data)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    configure_zarr()
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        for name in ("fashion-mnist", "mnist"):
            measure(name, images_of(str(given.data / name)), Path(place) / "x.zarr", given.repeats)
        measure("tiles of two colour photographs", photographs(), Path(place) / "x.zarr", given.repeats)


if __name__ == "__main__":
    main()
