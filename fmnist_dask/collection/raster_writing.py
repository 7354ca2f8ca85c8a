"""Storing a photograph in three acts: begin, write a band of lines (idempotent, in any order), commit (refuses gaps).

A band is a row of tiles. Sources that can give any lines alone are written by a task for each band; what decoders give
as a whole is written by one task. A task leaves a small file when its tiles are on disk: an ingest that was killed goes
on with those that are missing.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import make_directory, read_json, write_json
from fmnist_dask.collection.layout import FORMAT_VERSION, INGEST, MANIFEST, PARTS
from fmnist_dask.collection.place import open_group, place_of, read_many, remove_tree
from fmnist_dask.collection.raster import RASTER, Raster
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.collection.tiles import IMAGE, LEAST_HEIGHT, tile_of
from fmnist_dask.errors import CollectionError, RunError, SourceError, UsageError
from fmnist_dask.typing import UInt8Array

#: Lines that have a digest together: tiles are a multiple of it in height, so that fingerprints do not depend on them.
PANEL = LEAST_HEIGHT


@dataclass(frozen=True)
class RasterPlan:
    """How a photograph is stored: where, in which tiles, in which bands. Sent to the workers."""

    path: str
    photo: PhotoSource
    tile: tuple[int, int]

    @property
    def bands(self) -> tuple[tuple[int, int], ...]:
        """First line, and the line after the last one, of what each task writes."""
        height = self.photo.image_shape[0]
        step = self.tile[0] if self.photo.in_bands else height
        return tuple((start, min(start + step, height)) for start in range(0, height, step))

    def report_file(self, band: tuple[int, int]) -> Path:
        """The file that says a band is written."""
        return place_of(self.path, PARTS) / f"{band[0]:09d}-{band[1]:09d}.json"

    @property
    def task_bytes(self) -> int:
        """Memory of one task: its lines, what the source needs to give them, and tiles on their way to disk."""
        start, stop = self.bands[0]
        line = math.prod(self.photo.image_shape[1:])
        lines = (stop - start) * line
        tile = self.tile[0] * self.tile[1] * self.photo.n_channels
        return lines + self.photo.read_bytes(stop - start) + 4 * tile


def plan_raster(photo: PhotoSource, path: str | Path, tile_height: int | None = None) -> RasterPlan:
    """Cut a photograph into tiles.

    Parameters
    ----------
    tile_height
        Lines of a tile, a multiple of 64; by default 512, or fewer of very wide photographs.
    """
    if tile_height is not None and (tile_height < PANEL or tile_height % PANEL):
        raise UsageError(f"tiles of {tile_height} lines", f"take a multiple of {PANEL}")
    return RasterPlan(str(place_of(path)), photo, tile_of(photo.image_shape, tile_height))


def begin_raster(plan: RasterPlan) -> list[tuple[int, int]]:
    """Create the store, or find what an earlier ingest of the same photograph left; the bands that are missing."""
    place = place_of(plan.path)
    identity = {"kind": RASTER, "source": plan.photo.provenance(), "tile": list(plan.tile)}
    parts = place / PARTS
    if read_json(place / INGEST) != identity:
        # The list of bands goes first: a kill in between must not leave one of another photograph.
        remove_tree(parts)
        write_json(make_directory(place) / INGEST, identity)
    if not parts.exists():
        _create_array(plan)
        make_directory(parts)
    written = {file.name for file in parts.iterdir()} if parts.exists() else set()
    return [band for band in plan.bands if plan.report_file(band).name not in written]


def _create_array(plan: RasterPlan) -> None:
    from zarr.codecs import ZstdCodec

    shape = plan.photo.image_shape
    group = open_group(plan.path, "a")
    group.attrs.update(source=plan.photo.provenance(), format_version=FORMAT_VERSION)
    group.create_array(
        IMAGE,
        shape=shape,
        chunks=(*plan.tile, *shape[2:]),
        dtype=np.uint8,
        compressors=[ZstdCodec(level=1)],
        dimension_names=("y", "x", "channel")[: len(shape)],
        attributes={"long_name": "pixel value"},
        fill_value=0,
        # A tile of zeros is written like any other: a missing file is always a fault.
        config={"write_empty_chunks": True},
        overwrite=True,
    )


def write_band(plan: RasterPlan, start: int, stop: int) -> dict[str, Any]:
    """Write lines ``start`` to ``stop``; on a worker. Doing it twice does no harm.

    Returns
    -------
    dict
        ``rows`` and ``bytes`` written.
    """
    configure_zarr()
    shape = plan.photo.image_shape
    pixels = plan.photo.lines(start, stop)
    if pixels.shape != (stop - start, *shape[1:]) or pixels.dtype != np.uint8:
        raise SourceError(
            f"lines {start:,} to {stop:,} of {plan.photo.location} are {pixels.dtype} of shape {pixels.shape}; "
            f"uint8 of shape {(stop - start, *shape[1:])} were announced",
            "run the same command again; the file may have changed",
        )
    try:
        image: Any = open_group(plan.path, "r+")[IMAGE]
        for top in range(start, stop, plan.tile[0]):
            bottom = min(top + plan.tile[0], stop)
            image[top:bottom] = pixels[top - start : bottom - start]
        digests = [digest_lines(pixels[at : at + PANEL]) for at in range(0, stop - start, PANEL)]
        write_json(plan.report_file((start, stop)), {"digests": b"".join(digests).hex()})
    except OSError as error:
        raise RunError(
            f"cannot write the photograph {plan.path}: {error.strerror or error}",
            "free some space or choose another place with --store; the same command goes on where it stopped",
        ) from error
    return {"rows": stop - start, "bytes": pixels.nbytes}


def digest_lines(pixels: UInt8Array) -> bytes:
    """Digest of some lines, 16 bytes."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def commit_raster(plan: RasterPlan) -> Raster:
    """Write the manifest; from here on the photograph is stored.

    Raises
    ------
    CollectionError
        A band is missing; the photograph has changed.
    """
    place, photo = place_of(plan.path), plan.photo
    reports = read_many(plan.report_file(band) for band in plan.bands)
    missing = [band for band, report in zip(plan.bands, reports, strict=True) if report is None]
    if missing:
        raise CollectionError(
            f"{plan.path} lacks {len(missing)} of {len(reports)} bands, the first begins at line {missing[0][0]:,}",
            "run the ingest again",
        )
    if photo.has_changed():
        raise CollectionError(
            f"{photo.location} has changed while it was ingested", "run the same command again, when it is at rest"
        )
    description = json.dumps({"kind": RASTER, "image_shape": list(photo.image_shape)}).encode()
    digest = hashlib.blake2b(description, digest_size=16)
    for report in reports:
        if report is not None:
            digest.update(bytes.fromhex(json.loads(report)["digests"]))
    manifest = {
        "format_version": FORMAT_VERSION,
        "kind": RASTER,
        "image_shape": list(photo.image_shape),
        "tile": list(plan.tile),
        "fingerprint": digest.hexdigest(),
        "height": photo.original_size[0],
        "width": photo.original_size[1],
        "source": photo.provenance(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(place / MANIFEST, manifest)
    (place / INGEST).unlink(missing_ok=True)
    remove_tree(place / PARTS)
    return Raster.open(place)


def store_raster(photo: PhotoSource, path: str | Path, tile_height: int | None = None) -> Raster:
    """Store a photograph in this process, band by band."""
    plan = plan_raster(photo, path, tile_height)
    for start, stop in begin_raster(plan):
        write_band(plan, start, stop)
    return commit_raster(plan)
