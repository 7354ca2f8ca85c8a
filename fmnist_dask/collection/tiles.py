"""Tiles of a photograph: how large they are, and what is in one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fmnist_dask.collection.place import patiently, place_of, reaching
from fmnist_dask.errors import CollectionError
from fmnist_dask.typing import UInt8Array

#: Side of a tile, in pixels, and the least height of those of very wide photographs.
TILE = 512
LEAST_HEIGHT = 64
#: Lines of full width that a row of tiles holds take about so many bytes at most.
BAND_BYTES = 32 * 2**20
#: The array that holds the pixels.
IMAGE = "image"


def tile_of(shape: tuple[int, ...], height: int | None = None) -> tuple[int, int]:
    """Height and width of the tiles of a photograph.

    Passes read rows of tiles at full width. Where 512 lines are more than :data:`BAND_BYTES`, tiles are lower, and
    as much wider, so that a tile has as many pixels as ever.

    Parameters
    ----------
    shape
        (y, x) or (y, x, channel).
    height
        Of a tile, where that is known; a multiple of 64.
    """
    line = math.prod(shape[1:])
    lines = height or TILE
    while height is None and lines > LEAST_HEIGHT and lines * line > BAND_BYTES:
        lines //= 2
    return min(lines, shape[0]), min(max(TILE, TILE * TILE // lines), shape[1])


def read_pixels(path: str, shape: tuple[int, ...], tile: tuple[int, int], part: tuple[slice, slice]) -> UInt8Array:
    """Pixels of a part of a stored photograph; each tile that has some of them is decoded once.

    Parameters
    ----------
    part
        Rows and columns, with whole numbers for both ends.

    Returns
    -------
    uint8 array, shape (y, x) or (y, x, channel)

    Raises
    ------
    CollectionError
        A tile is missing or damaged.
    """
    rows, columns = part
    sides = max(0, rows.stop - rows.start), max(0, columns.stop - columns.start)
    pixels = np.empty((*sides, *shape[2:]), dtype=np.uint8)
    if not pixels.size:
        return pixels
    for y in range(rows.start // tile[0], -(-rows.stop // tile[0])):
        for x in range(columns.start // tile[1], -(-columns.stop // tile[1])):
            into, out_of = zip(
                _overlap(rows, y * tile[0], tile[0]), _overlap(columns, x * tile[1], tile[1]), strict=True
            )
            # Edges are padded to whole tiles, as Zarr has it.
            pixels[into] = _read_tile(path, (y, x), (*tile, *shape[2:]))[out_of]
    return pixels


def _overlap(wanted: slice, start: int, length: int) -> tuple[slice, slice]:
    """Where a tile's lines go among those that are wanted, and which of its own they are."""
    low, high = max(wanted.start, start), min(wanted.stop, start + length)
    return slice(low - wanted.start, high - wanted.start), slice(low - start, high - start)


def tile_file(path: str, at: tuple[int, int], n_dimensions: int) -> Path:
    """The file of a tile, by its row and column among the tiles."""
    return place_of(path, IMAGE, "c", str(at[0]), str(at[1]), *["0"] * (n_dimensions - 2))


def _read_tile(path: str, at: tuple[int, int], shape: tuple[int, ...]) -> UInt8Array:
    """One tile. Zarr would take a missing file for one of zeros, and decode to a copy: tiles are plain zstd."""
    from numcodecs.zstd import Zstd

    file = tile_file(path, at, len(shape))

    def content() -> bytes:
        with reaching(path):
            return file.read_bytes()

    try:
        decoded = Zstd().decode(patiently(content, path))
    except FileNotFoundError:
        raise _damaged(path, f"the tile {file} is missing") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, f"the tile {file} cannot be read: {error}") from error
    if len(decoded) != math.prod(shape):
        raise _damaged(path, f"the tile {file} has {len(decoded):,} bytes of pixels, not {math.prod(shape):,}")
    return np.frombuffer(decoded, dtype=np.uint8).reshape(shape)


def _damaged(path: str, reason: str) -> CollectionError:
    return CollectionError(
        f"the photograph {path} is damaged: {reason}", "restore the file, or delete the store and ingest again"
    )
