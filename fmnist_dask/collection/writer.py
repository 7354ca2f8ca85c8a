"""Writing a collection in three acts: begin, write part i (idempotent, in any order), commit (refuses gaps).

The manifest is written last; a store without it is incomplete. A part leaves a small file when all its chunks are on
disk, so that an ingest which was killed goes on with the parts that are missing.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import make_directory, read_json, write_json
from fmnist_dask.collection.layout import (
    FORMAT_VERSION,
    INGEST,
    MANIFEST,
    PARTS,
    ROW_MULTIPLE,
    SAMPLE_ARRAYS,
    image_dimensions,
    rows_per_chunk,
)
from fmnist_dask.collection.sources.base import Rows, Source
from fmnist_dask.collection.store import Collection, configure_zarr
from fmnist_dask.errors import CollectionError, RunError, UsageError
from fmnist_dask.kernels.hashing import content_hashes, panel_digests
from fmnist_dask.typing import AnyArray

#: Pixels asked of a source at a time: few enough that a decoder's temporaries stay small, many enough to amortize it.
BATCH_BYTES = 3 * 2**20


@dataclass(frozen=True)
class Part:
    """Consecutive chunks that one task writes."""

    index: int
    first_chunk: int
    stop_chunk: int


@dataclass(frozen=True)
class IngestPlan:
    """How a source becomes a store: where, in which chunks, in which parts. Sent to the workers."""

    path: str
    source: Source
    chunk_rows: int
    parts: tuple[Part, ...]

    @property
    def task_bytes(self) -> int:
        """Memory of one task: a chunk, its compressed form and zarr's copy of it, and the source's temporaries."""
        image_bytes = math.prod(self.source.image_shape)
        chunk = min(self.chunk_rows, self.source.n) * image_bytes
        return int(2.7 * chunk) + 2 * batch_rows(self.source) * image_bytes + self.source.read_bytes()


def batch_rows(source: Source) -> int:
    """Rows asked of a source at a time."""
    return max(1, BATCH_BYTES // math.prod(source.image_shape))


def plan_ingest(source: Source, path: str | Path, chunk_rows: int | None = None) -> IngestPlan:
    """Cut a source into chunks and parts.

    A part is one chunk where rows can be reached directly. All chunks that begin in a compressed stream are one part,
    so that the stream is decompressed once; its last chunk is filled up from the head of the next partition.
    """
    rows = chunk_rows or rows_per_chunk(source.image_shape, source.chunk_bytes)
    if rows % ROW_MULTIPLE:
        raise UsageError(f"chunks of {rows} rows", f"take a multiple of {ROW_MULTIPLE}")
    # A small collection needs no chunk of the full length: chunks are padded to it.
    rows = min(rows, -(-source.n // ROW_MULTIPLE) * ROW_MULTIPLE)
    ends = np.cumsum([partition.rows for partition in source.partitions])
    parts: list[Part] = []
    stream_of_last = -1
    for chunk in range(-(-source.n // rows)):
        partition = int(np.searchsorted(ends, chunk * rows, side="right"))
        streamed = not source.partitions[partition].seekable
        if streamed and partition == stream_of_last:
            parts[-1] = Part(parts[-1].index, parts[-1].first_chunk, chunk + 1)
        else:
            parts.append(Part(len(parts), chunk, chunk + 1))
        stream_of_last = partition if streamed else -1
    return IngestPlan(str(Path(path).resolve()), source, rows, tuple(parts))


def begin(plan: IngestPlan) -> list[Part]:
    """Create the store, or find the one that an earlier ingest of the same source left; return the missing parts.

    Raises
    ------
    CollectionError
        The path holds something else.
    """
    root = Path(plan.path)
    identity = {"source": plan.source.provenance(), "chunk_rows": plan.chunk_rows, "format_version": FORMAT_VERSION}
    previous = read_json(root / INGEST)
    if root.exists() and any(not _is_ours(item) for item in root.iterdir()):
        if (root / MANIFEST).exists():
            held = read_json(root / MANIFEST).get("source", {}).get("name", "unknown")
            raise CollectionError(
                f"{root} holds another collection already ({held})", "choose another path for the store"
            )
        if previous is None:
            raise CollectionError(
                f"{root} exists and is no collection", "choose another path for the store, or empty it"
            )
        if previous != identity:
            _empty(root)
            previous = None
    make_directory(root)
    if previous is None:
        write_json(root / INGEST, identity)
    if not (root / PARTS).exists():
        # Made last: where it is missing, an ingest was killed before all arrays were there.
        _create_arrays(plan)
        make_directory(root / PARTS)
    return [part for part in plan.parts if not _part_file(root, part).exists()]


def _is_ours(item: Path) -> bool:
    """Whether this is the lease, or what a killed process left of a file that it was writing."""
    return item.name == ".lease" or (item.name.startswith(".") and item.name.endswith(".pending"))


def _empty(root: Path) -> None:
    # The list of parts goes first and the mark of an ingest last, so that a kill in between leaves an ingest that has
    # to begin anew, not one that takes its parts for written.
    for item in sorted(root.iterdir(), key=lambda item: (item.name != PARTS, item.name == INGEST)):
        if item.name != ".lease":
            shutil.rmtree(item) if item.is_dir() else item.unlink()


def _part_file(root: Path, part: Part) -> Path:
    return root / PARTS / f"{part.first_chunk:08d}-{part.stop_chunk:08d}.json"


def _create_arrays(plan: IngestPlan) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    source, n = plan.source, plan.source.n
    group = zarr.open_group(plan.path, mode="a", zarr_format=3)
    group.attrs.update(
        class_names=list(source.class_names), source=source.provenance(), format_version=FORMAT_VERSION, n_quarantined=0
    )

    def create(name: str, dtype: Any, tail: tuple[int, ...], dims: tuple[str, ...], attrs: dict[str, Any]) -> None:
        group.create_array(
            name,
            shape=(n, *tail),
            chunks=(plan.chunk_rows, *tail),
            dtype=dtype,
            # Hashes do not compress.
            compressors=None if name == "content_hash" else [ZstdCodec(level=1)],
            dimension_names=dims,
            attributes=attrs,
            fill_value="" if dtype is str else 0,
            # A chunk of zeros is written like any other: a missing file is always a fault.
            config={"write_empty_chunks": True},
            overwrite=True,
        )

    create("image", np.uint8, source.image_shape, image_dimensions(source.image_shape), {"long_name": "pixel value"})
    for name, (dtype, attrs) in {**SAMPLE_ARRAYS, **source.extra_arrays}.items():
        create(name, dtype, (), ("sample",), {**attrs, **_flags(name, source)})
    name_type = str if source.named_rows else np.int64
    create("source_name", name_type, (), ("sample",), {"long_name": "file name or row number in the source's split"})
    create("content_hash", np.uint64, (2,), ("sample", "half"), {"long_name": "XXH3-128 of the image's bytes"})


def _flags(name: str, source: Source) -> dict[str, Any]:
    if name != "split":
        return {}
    return {"flag_values": list(range(len(source.splits))), "flag_meanings": " ".join(source.splits)}


def write_part(plan: IngestPlan, part: Part) -> dict[str, Any]:
    """Write one part's chunks; on a worker. Doing it twice does no harm.

    Returns
    -------
    dict
        ``rows`` and ``bytes`` written.
    """
    import zarr

    configure_zarr()
    group = zarr.open_group(plan.path, mode="r+", use_consolidated=False)
    names = ("image", "source_name", "content_hash", *SAMPLE_ARRAYS, *plan.source.extra_arrays)
    arrays: dict[str, Any] = {name: group[name] for name in names}
    n = plan.source.n
    start, stop = part.first_chunk * plan.chunk_rows, min(part.stop_chunk * plan.chunk_rows, n)
    batches = _source_rows(plan.source, start, stop)
    digests: list[bytes] = []
    pending: tuple[int, Rows] | None = None
    try:
        for chunk_start in range(start, stop, plan.chunk_rows):
            chunk_stop = min(chunk_start + plan.chunk_rows, stop)
            columns, pending = _fill_chunk(plan.source, batches, pending, chunk_stop - chunk_start)
            columns["content_hash"] = content_hashes(columns["image"])
            for name, values in columns.items():
                arrays[name][chunk_start:chunk_stop] = values
            digests += panel_digests(chunk_start, columns["content_hash"], columns["label"], columns["split"])
            del columns, values  # or this chunk would live on while the next one is gathered
        # Asking once more reads a stream to its end, where its checksum is compared.
        if pending is not None or next(batches, None) is not None:
            raise CollectionError(f"{plan.source.name} yielded more rows than it announced ({n:,})")
        _write_part_file(plan, part, digests)
    except OSError as error:
        raise RunError(
            f"cannot write the collection {plan.path}: {error.strerror or error}",
            "free some space or choose another place with --store or --out; the same command goes on where it stopped",
        ) from error
    return {"rows": stop - start, "bytes": (stop - start) * math.prod(plan.source.image_shape)}


def _write_part_file(plan: IngestPlan, part: Part, digests: list[bytes]) -> None:
    write_json(_part_file(Path(plan.path), part), {"digests": b"".join(digests).hex()})


def _source_rows(source: Source, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
    """Rows ``start`` to ``stop`` over all partitions, as (split code, batch)."""
    codes = {name: code for code, name in enumerate(source.splits)}
    first = 0
    for index, partition in enumerate(source.partitions):
        low, high = max(start - first, 0), min(stop - first, partition.rows)
        if low < high:
            for rows in source.read(index, low, high, batch_rows(source)):
                yield codes[partition.split], rows
        first += partition.rows


def _fill_chunk(
    source: Source, batches: Iterator[tuple[int, Rows]], pending: tuple[int, Rows] | None, size: int
) -> tuple[dict[str, AnyArray], tuple[int, Rows] | None]:
    """Gather ``size`` rows into arrays; what the last batch has beyond them is handed back."""
    columns: dict[str, AnyArray] = {"image": np.empty((size, *source.image_shape), dtype=np.uint8)}
    columns |= {name: np.empty(size, dtype) for name, (dtype, _) in {**SAMPLE_ARRAYS, **source.extra_arrays}.items()}
    columns["source_name"] = np.empty(size, dtype=object if source.named_rows else np.int64)
    filled = 0
    while filled < size:
        batch = pending or next(batches, None)
        if batch is None:
            raise CollectionError(f"{source.name} yielded fewer rows than it announced ({source.n:,})")
        split, rows = batch
        take = min(len(rows.image), size - filled)
        into = slice(filled, filled + take)
        columns["image"][into] = rows.image[:take]
        columns["label"][into] = -1 if rows.label is None else rows.label[:take]
        columns["split"][into] = split
        columns["height"][into], columns["width"][into] = source.image_shape[:2]
        columns["source_name"][into] = rows.source_name[:take]
        for name in source.extra_arrays:
            columns[name][into] = rows.extra[name][:take]
        pending = None if take == len(rows.image) else (split, _after(rows, take))
        filled += take
    return columns, pending


def _after(rows: Rows, take: int) -> Rows:
    extra = {name: values[take:] for name, values in rows.extra.items()}
    label = None if rows.label is None else rows.label[take:]
    return Rows(rows.image[take:], label, rows.source_name[take:], extra)


def commit(plan: IngestPlan) -> Collection:
    """Write the manifest; from here on the collection exists.

    Raises
    ------
    CollectionError
        A part is missing.
    """
    import zarr

    root, source = Path(plan.path), plan.source
    found = [read_json(_part_file(root, part)) for part in plan.parts]
    missing = [part.index for part, report in zip(plan.parts, found, strict=True) if report is None]
    if missing:
        raise CollectionError(
            f"{root} lacks {len(missing)} of {len(found)} parts, the first is {missing[0]}", "run the ingest again"
        )
    if source.current_fingerprint() != source.fingerprint:
        raise CollectionError(
            f"the files of {source.location} have changed while they were ingested", "run the same command again"
        )
    description = {
        "n": source.n,
        "image_shape": list(source.image_shape),
        "class_names": list(source.class_names),
        "splits": source.splits,
    }
    digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for report in found:
        digest.update(bytes.fromhex(report["digests"]))
    manifest = {
        "format_version": FORMAT_VERSION,
        "n": source.n,
        "generation": 1,
        "fingerprint": digest.hexdigest(),
        "image_shape": list(source.image_shape),
        "chunk_rows": plan.chunk_rows,
        "class_names": list(source.class_names),
        "splits": source.splits,
        "n_quarantined": 0,
        "source": source.provenance(),
        "extra_arrays": list(source.extra_arrays),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with warnings.catch_warnings():
        # Consolidated metadata is an extension that zarr warns about when it is written. It lets xarray open the store
        # without listing it, and fixes the lengths that such a reader sees until the next commit.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(root))
    write_json(root / MANIFEST, manifest)
    (root / INGEST).unlink(missing_ok=True)
    shutil.rmtree(root / PARTS)
    return Collection.open(root)
