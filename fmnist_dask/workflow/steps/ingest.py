"""Ingest: from a source to a collection, in parts that any worker may write; resumed where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_dask.collection.packing import LeftOut, Packing, pack_chunk
from fmnist_dask.collection.parts import check_rejected, write_part
from fmnist_dask.collection.planning import IngestPlan
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import begin, commit, reports_of
from fmnist_dask.errors import CollectionError
from fmnist_dask.models.duplicates import surplus_rows
from fmnist_dask.passes.protocol import Algorithm, Call, Tasks


def ingest(plan: IngestPlan) -> Algorithm[Collection]:
    """Write the parts that are missing, leave out what is to be left out, then commit."""
    missing = begin(plan)
    n, rows = plan.source.n, plan.chunk_rows
    yield Tasks(
        "ingest",
        tuple(Call(write_part, (part,), min(part.stop_chunk * rows, n) - part.first_chunk * rows) for part in missing),
        task_bytes=plan.task_bytes,
        unit="images",
        shared=plan,
    )
    left_out = LeftOut.load(plan)
    if left_out is None:
        left_out = yield from _left_out(plan)
        left_out.save(plan)
    gone = left_out.rows
    if 0 < len(gone) < n:
        packing = Packing.of(plan, gone)
        yield Tasks(
            "leave rows out",
            tuple(
                Call(pack_chunk, (chunk,), min((chunk + 1) * rows, packing.n) - chunk * rows)
                for chunk in packing.begin()
            ),
            task_bytes=packing.task_bytes,
            unit="images",
            shared=packing,
        )
    return commit(plan, left_out)


def _left_out(plan: IngestPlan) -> Algorithm[LeftOut]:
    """Rows that could not be read and, if asked for, those that repeat an earlier one of their split and label."""
    reports = reports_of(plan)
    check_rejected(sum(len(report.rejected) for report in reports), [e for r in reports for e in r.rejected[:1]][:1])
    rejected = np.array(sorted(entry[0] for report in reports for entry in report.rejected), dtype=np.int64)
    duplicates = np.zeros(0, dtype=np.int64)
    if plan.source.drop_duplicates:
        duplicates = yield from surplus_rows(all_rows(plan), rejected)
    return LeftOut(rejected, duplicates)


def all_rows(plan: IngestPlan) -> Collection:
    """What is written so far, as a collection to read."""
    source = plan.source
    return Collection(
        path=plan.path,
        n=source.n,
        image_shape=source.image_shape,
        chunk_rows=plan.chunk_rows,
        class_names=source.class_names,
        splits=source.splits,
        fingerprint=source.fingerprint,
    )


def default_store(source: Source | PhotoSource) -> Path:
    """Where the collection of a source is kept, or a photograph: shared by all workflows that read it."""
    return Path("collections") / f"{source.name}-{source.fingerprint[:8]}.zarr"


def existing(path: Path, source: Source) -> Collection | None:
    """The collection at ``path`` if it was made from this very source.

    Raises
    ------
    CollectionError
        Another collection is there.
    """
    try:
        collection = Collection.open(path)
    except CollectionError:
        return None
    if collection.appended and collection.source.get("fingerprint") == source.fingerprint:
        rows = sum(entry["n"] for entry in collection.appended)
        raise CollectionError(
            f"to {path}, made from {source.location}, {rows:,} rows have been appended since",
            f"to work on all {collection.n:,} give the collection as the source ({path}); for {source.name} alone "
            "choose another store",
        )
    if collection.source.get("fingerprint") != source.fingerprint:
        raise CollectionError(
            f"{path} holds a collection made from {collection.source.get('path')} ({collection.name}); "
            f"the source now is {source.location} ({source.name}), or its files have changed",
            "choose another store, or delete this one",
        )
    return collection
