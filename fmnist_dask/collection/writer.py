"""Writing a collection in three acts: begin, write part i (idempotent, in any order), commit (refuses gaps).

The manifest is written last; a store without it is incomplete. A part leaves a small file when all its chunks are on
disk, so that an ingest which was killed goes on with the parts that are missing. Rows that are to be left out (what
cannot be read, copies) are only known then: see ``packing``.
"""

from __future__ import annotations

import collections
import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import make_directory, read_json, write_bytes, write_json
from fmnist_dask.collection.layout import (
    DIGESTS,
    EMBEDDING,
    FORMAT_VERSION,
    INGEST,
    MANIFEST,
    MISSING,
    PARTS,
    SAMPLE_ARRAYS,
    image_dimensions,
)
from fmnist_dask.collection.packing import LeftOut, Packing
from fmnist_dask.collection.parts import PartReport, added
from fmnist_dask.collection.place import open_group, place_of, remove_tree, zarr_store
from fmnist_dask.collection.planning import IngestPlan, Part
from fmnist_dask.collection.quarantine import QUARANTINE, write_quarantine
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, SourceError
from fmnist_dask.typing import IntArray


def begin(plan: IngestPlan) -> list[Part]:
    """Create the store, or find the one that an earlier ingest of the same source left; return the missing parts.

    Raises
    ------
    CollectionError
        The path holds something else.
    """
    root = place_of(plan.path)
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
    written = {file.name for file in (root / PARTS).iterdir()} if (root / PARTS).exists() else set()
    return [part for part in plan.parts if plan.report_file(part).name not in written]


def _is_ours(item: Path) -> bool:
    """Whether this is the lease, or what a killed process left of a file that it was writing."""
    return item.name == ".lease" or (item.name.startswith(".") and item.name.endswith(".pending"))


def _empty(root: Path) -> None:
    # The list of parts goes first and the mark of an ingest last, so that a kill in between leaves an ingest that has
    # to begin anew, not one that takes its parts for written.
    for item in sorted(root.iterdir(), key=lambda item: (item.name != PARTS, item.name == INGEST)):
        if item.name != ".lease":
            remove_tree(item) if item.is_dir() else item.unlink()


def _create_arrays(plan: IngestPlan) -> None:
    from zarr.codecs import ZstdCodec

    source, n = plan.source, plan.source.n
    group = open_group(plan.path, "a")
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
    if source.may_miss:
        shape = source.image_shape[:2]
        create(MISSING, np.bool_, shape, image_dimensions(shape), {"long_name": "whether the pixel's value is unknown"})
    for name, (dtype, attrs) in {**SAMPLE_ARRAYS, **source.extra_arrays}.items():
        create(name, dtype, (), ("sample",), {**attrs, **_flags(name, source)})
    if source.embedding is not None:
        create(EMBEDDING, np.float32, (source.embedding.width,), ("sample", "feature"), {"long_name": "user's vector"})
    name_type = str if source.named_rows else np.int64
    create("source_name", name_type, (), ("sample",), {"long_name": "file name or row number in the source's split"})
    create("content_hash", np.uint64, (2,), ("sample", "half"), {"long_name": "XXH3-128 of the image's bytes"})


def _flags(name: str, source: Source) -> dict[str, Any]:
    if name != "split":
        return {}
    return {"flag_values": list(range(len(source.splits))), "flag_meanings": " ".join(source.splits)}


def reports_of(plan: IngestPlan) -> list[PartReport]:
    """The reports of all parts.

    Raises
    ------
    CollectionError
        A part is missing.
    """
    found = PartReport.read_all(plan.report_file(part) for part in plan.parts)
    missing = [part.index for part, report in zip(plan.parts, found, strict=True) if report is None]
    if missing:
        raise CollectionError(
            f"{plan.path} lacks {len(missing)} of {len(found)} parts, the first is {missing[0]}", "run the ingest again"
        )
    return [report for report in found if report is not None]


def commit(plan: IngestPlan, left_out: LeftOut | None = None) -> Collection:
    """Leave rows out, if any are to be, and write the manifest; from here on the collection exists.

    Raises
    ------
    CollectionError
        A part is missing; files have changed.
    SourceError
        Nothing is left.
    """
    root, source = place_of(plan.path), plan.source
    parts = reports_of(plan)
    if source.has_changed():
        raise CollectionError(
            f"the files of {source.location} have changed while they were ingested", "run the same command again"
        )
    rejected = [entry for report in parts for entry in report.rejected]
    nothing = np.zeros(0, dtype=np.int64)
    gone = left_out or LeftOut(nothing, nothing)
    if len(gone.rows) == source.n:
        raise _nothing_left(source, rejected)
    final = Packing.of(plan, gone.rows).finish() if len(gone.rows) else parts
    content = (0, 0)
    for report in final:
        content = added(content, report.content)
    splits = _rows_left(source, gone.rows)
    digests = b"".join(digest for report in final for digest in report.digests)
    fingerprint = fingerprint_of(source.image_shape, source.class_names, splits, digests)
    manifest = {
        "format_version": FORMAT_VERSION,
        "n": source.n - len(gone.rows),
        "generation": 1,
        "fingerprint": fingerprint,
        "origin": fingerprint,
        "digests": DIGESTS.format(generation=1),
        "content": content_text(content),
        "image_shape": list(source.image_shape),
        "chunk_rows": plan.chunk_rows,
        "class_names": list(source.class_names),
        "splits": splits,
        "n_quarantined": len(rejected) + len(source.unreadable),
        "dropped_duplicates": _by_split(source, gone.duplicates) if source.drop_duplicates else None,
        "missing_pixels": sum(report.missing for report in final),
        "source": source.provenance(),
        "extra_arrays": list(source.extra_arrays),
        "embedding_width": 0 if source.embedding is None else source.embedding.width,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if source.may_miss and not manifest["missing_pixels"]:
        remove_tree(root / MISSING)
    names = list(source.splits)
    listed = [(name, "", reason) for name, reason in source.unreadable.items()]
    listed += [(name, names[split], reason) for _, name, split, reason in rejected]
    if listed:
        write_quarantine(root / QUARANTINE, listed)
    consolidate(root, n_quarantined=len(listed))
    write_bytes(root / DIGESTS.format(generation=1), digests)
    write_json(root / MANIFEST, manifest)
    (root / INGEST).unlink(missing_ok=True)
    remove_tree(root / PARTS)
    return Collection.open(root)


def consolidate(root: Path, **attributes: Any) -> None:
    """Gather the metadata of all arrays in one place, and set attributes of the group.

    It lets xarray open the store without listing it, and fixes the lengths that such a reader sees until the next
    commit.
    """
    import zarr

    with warnings.catch_warnings():
        # An extension of the format that zarr warns about when it is written.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(zarr_store(root))
    # Setting them through zarr would write the group anew without what has just been gathered.
    metadata = read_json(root / "zarr.json")
    metadata["attributes"] |= attributes
    write_json(root / "zarr.json", metadata)


def fingerprint_of(
    image_shape: Sequence[int], class_names: Sequence[str], splits: Mapping[str, int], digests: bytes
) -> str:
    """Hex digest of a collection: of its shape, classes and splits, and of all panels of its rows."""
    description = {
        "n": sum(splits.values()),
        "image_shape": list(image_shape),
        "class_names": list(class_names),
        "splits": dict(splits),
    }
    digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    digest.update(digests)
    return digest.hexdigest()


def content_text(content: tuple[int, int]) -> str:
    """Hex form of a content digest."""
    return f"{content[0]:016x}{content[1]:016x}"


def _by_split(source: Source, rows: IntArray) -> dict[str, int]:
    """How many of some rows, ascending, each split has."""
    counts = dict.fromkeys(source.splits, 0)
    first = 0
    for partition in source.partitions:
        low, high = np.searchsorted(rows, [first, first + partition.rows])
        counts[partition.split] += int(high - low)
        first += partition.rows
    return counts


def _rows_left(source: Source, left_out: IntArray) -> dict[str, int]:
    gone = _by_split(source, left_out)
    return {split: rows - gone[split] for split, rows in source.splits.items()}


def _nothing_left(source: Source, rejected: Sequence[tuple[int, str, int, str]]) -> SourceError:
    reasons = collections.Counter(reason for _, _, _, reason in rejected)
    shown = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(3))
    return SourceError(
        f"none of the {source.n:,} images of {source.location} can be read: {shown}",
        "check that the source is what its format says",
    )
