"""A single photograph as a raster collection: one image, chunked in tiles, so that any part of it can be read alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.files import read_json, read_manifest
from fmnist_dask.collection.layout import FORMAT_VERSION, INGEST, MANIFEST
from fmnist_dask.collection.lease import LEASE
from fmnist_dask.collection.place import bytes_below, place_of, zarr_store
from fmnist_dask.collection.tiles import read_pixels
from fmnist_dask.errors import CollectionError
from fmnist_dask.typing import UInt8Array

if TYPE_CHECKING:
    import xarray

    from fmnist_dask.collection.sources.photo import PhotoSource

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
        Changes with any pixel; does not depend on the tiles.
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
            There is none, or its ingest has not ended.
        """
        place = place_of(path)
        manifest = read_manifest(place / MANIFEST) or {}
        if manifest.get("kind") != RASTER:
            if is_begun(place):
                raise CollectionError(
                    f"the photograph {place} is incomplete: its ingest has not ended ({MANIFEST} is missing)",
                    "run the same ingest or run command again; it goes on where it stopped",
                )
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
        """Pixels of a part of the photograph, shape (y, x) or (y, x, channel); all of it by default.

        Raises
        ------
        CollectionError
            A tile is missing or damaged.
        """
        rows = slice(*slice(top, bottom).indices(self.image_shape[0]))
        columns = slice(*slice(left, right).indices(self.image_shape[1]))
        return read_pixels(self.path, self.image_shape, self.tile, (rows, columns))

    def tiles(self) -> list[tuple[slice, slice]]:
        """Rows and columns of every chunk, row by row."""
        rows, columns = (
            [slice(at, min(at + step, side)) for at in range(0, side, step)]
            for side, step in zip(self.image_shape, self.tile, strict=False)
        )
        return [(y, x) for y in rows for x in columns]

    @property
    def n_tiles(self) -> int:
        """Chunks of the photograph."""
        return -(-self.image_shape[0] // self.tile[0]) * -(-self.image_shape[1] // self.tile[1])

    def stored_bytes(self) -> int:
        """Bytes of all files, but for the lease that a run holds while it writes them."""
        return bytes_below(place_of(self.path), without=LEASE)

    def to_xarray(self) -> xarray.Dataset:
        """The photograph as a lazy :class:`xarray.Dataset`, backed by Dask arrays of the tiles."""
        import xarray

        found: xarray.Dataset = xarray.open_zarr(zarr_store(self.path), consolidated=False)
        return found


def is_raster(path: str | Path) -> bool:
    """Whether a photograph is stored at a place."""
    return (read_manifest(place_of(path) / MANIFEST) or {}).get("kind") == RASTER


def is_begun(path: str | Path) -> bool:
    """Whether a photograph is being stored at a place, or was before a kill."""
    return (read_manifest(place_of(path) / INGEST) or {}).get("kind") == RASTER


def existing_raster(photo: PhotoSource, path: str | Path) -> Raster | None:
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
            f"{place} holds the photograph {found.source.get('path')} ({found.name}); {photo.location} ({photo.name}) "
            "is another one, or has changed",
            "choose another store, or delete this one",
        )
    there = place.exists() and any(not item.name.startswith(".") for item in place.iterdir())
    if there and (read_json(place / INGEST) or {}).get("kind") != RASTER:
        raise CollectionError(f"{place} exists and is no photograph", "choose another path for the store, or empty it")
    return None
