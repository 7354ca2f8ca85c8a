"""A single photograph as a raster collection: one image, chunked in tiles, so that any part of it can be read alone."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.collection.files import make_directory, read_json, read_manifest, write_json
from fmnist_dask.collection.layout import FORMAT_VERSION, INGEST, MANIFEST
from fmnist_dask.collection.place import bytes_below, open_group, place_of, reaching, zarr_store
from fmnist_dask.collection.sources.photo import Photo
from fmnist_dask.errors import CollectionError
from fmnist_dask.typing import UInt8Array

if TYPE_CHECKING:
    import xarray

#: Side of a tile, in pixels.
TILE = 512
#: What manifests of rasters call themselves.
RASTER = "raster"


@dataclass(frozen=True)
class Raster:
    """A photograph stored as a Zarr group, as its manifest commits it. Small and picklable.

    Attributes
    ----------
    path
        Directory or address of the group, whose array ``image`` has the dimensions (y, x) or (y, x, channel).
    image_shape
        Its shape.
    tile
        Height and width of a chunk.
    fingerprint
        Changes with any pixel.
    source
        Where it comes from.
    """

    path: str
    image_shape: tuple[int, ...]
    tile: tuple[int, int]
    fingerprint: str
    source: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def open(cls, path: str | Path) -> Raster:
        """Open a committed raster.

        Raises
        ------
        CollectionError
            There is none.
        """
        place = place_of(path)
        manifest = read_manifest(place / MANIFEST) or {}
        if manifest.get("kind") != RASTER:
            raise CollectionError(
                f"{place} is no photograph of fmnist-dask", f"make one: fmnist-dask ingest PHOTO {place}"
            )
        if manifest["format_version"] > FORMAT_VERSION:
            raise CollectionError(
                f"{place} has format version {manifest['format_version']}; this release reads up to {FORMAT_VERSION}",
                "upgrade fmnist-dask",
            )
        height, width = manifest["tile"]
        shape = tuple(manifest["image_shape"])
        return cls(str(place), shape, (height, width), manifest["fingerprint"], manifest["source"])

    @property
    def n_pixels(self) -> int:
        """Pixels of the photograph."""
        return self.image_shape[0] * self.image_shape[1]

    @property
    def name(self) -> str:
        """Short name of the source."""
        return str(self.source.get("name", Path(self.path).stem))

    def read(self, top: int = 0, bottom: int | None = None, left: int = 0, right: int | None = None) -> UInt8Array:
        """Pixels of a part of the photograph, shape (y, x) or (y, x, channel); all of it by default."""
        with reaching(self.path):
            image: Any = open_group(self.path, "r")["image"]
            found: UInt8Array = np.asarray(image[top:bottom, left:right])
        return found

    def tiles(self) -> list[tuple[slice, slice]]:
        """Rows and columns of every chunk, row by row."""
        rows, columns = (
            [slice(at, min(at + step, side)) for at in range(0, side, step)]
            for side, step in zip(self.image_shape, self.tile, strict=False)
        )
        return [(y, x) for y in rows for x in columns]

    def stored_bytes(self) -> int:
        """Bytes of all files."""
        return bytes_below(place_of(self.path))

    def to_xarray(self) -> xarray.Dataset:
        """The photograph as a lazy :class:`xarray.Dataset`, backed by Dask arrays of the tiles."""
        import xarray

        found: xarray.Dataset = xarray.open_zarr(zarr_store(self.path), consolidated=False)
        return found


def is_raster(path: str | Path) -> bool:
    """Whether a photograph is stored at a place."""
    return (read_manifest(place_of(path) / MANIFEST) or {}).get("kind") == RASTER


def existing_raster(photo: Photo, path: str | Path) -> Raster | None:
    """What was made of this very photograph at a place; ``None`` where it is still to be made.

    Raises
    ------
    CollectionError
        Something else is there.
    """
    place = place_of(path)
    if is_raster(place):
        found = Raster.open(place)
        if found.source.get("fingerprint") == photo.fingerprint:
            return found
        raise CollectionError(
            f"{place} holds the photograph {found.source.get('path')}; {photo.location} is another one, or has changed",
            "choose another store, or delete this one",
        )
    there = place.exists() and any(not item.name.startswith(".") for item in place.iterdir())
    if there and (read_json(place / INGEST) or {}).get("kind") != RASTER:
        raise CollectionError(f"{place} exists and is no photograph", "choose another path for the store, or empty it")
    return None


def raster_bytes(photo: Photo) -> int:
    """Memory of :func:`write_raster`."""
    return photo.read_bytes() + 2 * TILE * photo.image_shape[1] * (photo.n_channels + 1)


def write_raster(photo: Photo, path: str) -> None:
    """Decode a photograph and store it; on a worker. Doing it twice does no harm."""
    from zarr.codecs import ZstdCodec

    place = make_directory(place_of(path))
    write_json(place / INGEST, {"kind": RASTER, "source": photo.provenance()})
    pixels, size = photo.decode()
    group = open_group(path, "a")
    tile = tuple(min(TILE, side) for side in pixels.shape[:2])
    array = group.create_array(
        "image",
        shape=pixels.shape,
        chunks=(*tile, *pixels.shape[2:]),
        dtype=np.uint8,
        compressors=[ZstdCodec(level=1)],
        dimension_names=("y", "x", "channel")[: pixels.ndim],
        attributes={"long_name": "pixel value"},
        fill_value=0,
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    array[...] = pixels
    description = json.dumps({"kind": RASTER, "image_shape": pixels.shape}).encode()
    digest = hashlib.blake2b(description, digest_size=16)
    digest.update(pixels.tobytes())
    manifest = {
        "format_version": FORMAT_VERSION,
        "kind": RASTER,
        "image_shape": list(pixels.shape),
        "tile": list(tile),
        "fingerprint": digest.hexdigest(),
        "height": size[0],
        "width": size[1],
        "source": photo.provenance(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(place / MANIFEST, manifest)
    (place / INGEST).unlink(missing_ok=True)
