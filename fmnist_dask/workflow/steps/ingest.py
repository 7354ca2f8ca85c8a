"""Ingest: from a source to a collection, in parts that any worker may write; resumed where it stopped."""

from __future__ import annotations

from pathlib import Path

from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.writer import IngestPlan, begin, commit, write_part
from fmnist_dask.errors import CollectionError
from fmnist_dask.passes.protocol import Algorithm, Call, Tasks


def ingest(plan: IngestPlan) -> Algorithm[Collection]:
    """Write the parts that are missing, then commit."""
    missing = begin(plan)
    n, rows = plan.source.n, plan.chunk_rows
    yield Tasks(
        "ingest",
        tuple(Call(write_part, (part,), min(part.stop_chunk * rows, n) - part.first_chunk * rows) for part in missing),
        task_bytes=plan.task_bytes,
        unit="images",
        shared=plan,
    )
    return commit(plan)


def default_store(source: Source) -> Path:
    """Where the collection of a source is kept: shared by all workflows that read it."""
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
    if collection.source.get("fingerprint") != source.fingerprint:
        raise CollectionError(
            f"{path} holds a collection made from {collection.source.get('path')} ({collection.name}); "
            f"the source now is {source.location} ({source.name}), or its files have changed",
            "choose another store, or delete this one",
        )
    return collection
