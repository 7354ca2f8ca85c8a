"""Codecs and shards for pixels: bytes stored and time to read, on grey and colour images.

Each set of images is written to a Zarr array with chunks of the length that ingest chooses, and read back whole, chunk
after chunk, by one thread, as a pass does; the files are in the page cache. Beside it what 100 scattered images take,
which is what pictures for reports are read like. Plain Zstandard is also read the way collections read it: decompressed
to where it stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.layout import rows_per_chunk
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import configure_zarr
from tests.benchmarks.common import arrays_of, fashion_name, fashion_source
from tests.benchmarks.rows import Row, Timed, beside_base, timed
from tests.benchmarks.settings import Options, Settings, alone

#: Rows of an inner chunk, where chunks are shards.
INNER_ROWS = 256
#: What collections use.
CHOSEN = "zstd 1"


@dataclass(frozen=True)
class CodecBenchmark(Options):
    """Images that are read one by one."""

    repeats: int = 5
    scattered: int = 100


BY_SIZE = {"tiny": CodecBenchmark(1, 10), "usual": CodecBenchmark()}


def chapter(settings: Settings, options: CodecBenchmark) -> Iterator[Row]:
    """All sets of images, each codec beside the one that collections use."""
    configure_zarr()
    place = settings.directory / "codecs.zarr"
    fashion = fashion_source(settings)
    sets = {fashion_name(settings): images_of(fashion)}
    if settings.data is not None and (settings.data / "mnist").is_dir():
        mnist = open_source(str(settings.data / "mnist"))
        assert isinstance(mnist, Source)
        sets["MNIST"] = images_of(mnist)
    sets["tiles of two colour photographs"] = photographs(turns=1 if settings.tiny else 4)
    for name, images in sets.items():
        yield from measured(name, images, place, options)
    shutil.rmtree(place, ignore_errors=True)


def images_of(source: Source) -> np.ndarray:
    """All images of a source."""
    return np.concatenate([image for image, _ in arrays_of(source).values()])


def photographs(side: int = 32, turns: int = 4) -> np.ndarray:
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
    turned = [np.rot90(plain, quarter, (1, 2)) for quarter in range(turns)]
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


def again(function: Any, repeats: int) -> Timed:
    """Seconds of several runs after one that does not count."""
    function()
    return timed(function, repeats)


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


def scattered(array: Any, count: int) -> None:
    """Read so many images, one by one."""
    for row in np.random.default_rng(0).integers(0, array.shape[0], count):
        array[int(row)]


@dataclass(frozen=True)
class Measured:
    """Of one codec: bytes on disk, reading all chunks, reading some images one by one, and whether all came back."""

    stored: float
    whole: Timed
    scattered: Timed | None
    same: bool


def measured(name: str, images: np.ndarray, place: Path, options: CodecBenchmark) -> Iterator[Row]:
    """The rows of one set."""
    found, repeats, one_by_one = dict[str, Measured](), options.repeats, options.scattered
    for codec, compressors in codecs().items():
        kinds = (("", False), (", sharded", True)) if codec in ("none", CHOSEN) else (("", False),)
        for suffix, sharded in kinds:
            array = written(images, place, compressors, sharded)
            stored = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
            same = np.array_equal(array[:], images)
            read = again(lambda array=array: whole(array), repeats)
            few = again(lambda array=array: scattered(array, one_by_one), min(3, repeats))
            found[codec + suffix] = Measured(stored, read, few, same)
            if codec == CHOSEN and not sharded:
                read = again(lambda array=array: straight(array, place), repeats)
                found[f"{CHOSEN}, straight"] = Measured(stored, read, None, same)
    base, n, pixels = found[CHOSEN], len(images), images.nbytes / 1e6
    for codec, one in found.items():
        told = f"{one.stored / pixels:.1%} of the pixels"
        what = f"{name}, {codec}"
        rate = f"{pixels / one.whole.value / 1e3:.2f} GB/s"
        yield beside_base(
            f"{what}: stored", one.stored, CHOSEN, base.stored, n, unit="MB", agrees=bool(one.same), remark=told
        )
        yield beside_base(f"{what}: read whole", one.whole, CHOSEN, base.whole, n, remark=rate)
        if one.scattered is not None and base.scattered is not None:
            yield beside_base(f"{what}: {one_by_one} images", one.scattered, CHOSEN, base.scattered, n)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "codecs")
