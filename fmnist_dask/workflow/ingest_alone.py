"""What the command ``ingest`` does: make a collection, append to one, store a photograph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.collection.joined import fit_of
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.protocol import Engine, PassProgress
from fmnist_dask.workflow.ingesting import append_rows
from fmnist_dask.workflow.inputs import ImagesInput, Input, Stored, StoredInput, open_input
from fmnist_dask.workflow.observe import Observer, tell_stored
from fmnist_dask.workflow.steps.append import is_appended


def ingest_source(
    spec: str | Path | Mapping[str, Any],
    store: str | Path | None,
    options: dict[str, Any],
    cluster: Any,
    trust: bool,
    observer: Observer | None,
    append: bool = False,
) -> Collection | Raster:
    """Make the collection of a source on a cluster, or append to one; see :func:`fmnist_dask.ingest`."""
    watcher = observer or Observer()
    given = open_input(spec, options)
    if append:
        _check_append(given, store)
    if isinstance(given, StoredInput):
        return _plain(given.stored)
    place = given.place(store)
    config = load_cluster(cluster, trust)
    found: Stored | None = Collection.open(place) if append else given.existing(place)
    if found is None or (append and not _is_appended(found, given)):
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        if isinstance(found, Collection) and isinstance(given, ImagesInput):
            fit_of(found, given.source)  # said before a cluster is started
        watcher.connecting(config.address or config.class_name)
        with Lease(place, "an ingest"), connect(config, watcher.connected) as connection:
            watcher.ingesting(given.raw, place)
            engine = DistributedEngine(connection.client, connection.workers, place)
            found = _carried_out(engine, given, place, watcher, append)
    tell_stored(watcher, found)
    return _plain(found)


def _carried_out(engine: Engine, given: Input, place: Path, watcher: Observer, append: bool) -> Stored:
    def progress(now: PassProgress) -> None:
        watcher.progress(["ingest"], now)

    if append and isinstance(given, ImagesInput):
        # Opened once more: another process may have appended before the lease was ours.
        return append_rows(engine, Collection.open(place), given.source, progress)
    return given.make(engine, place, progress)


def _check_append(given: Input, store: str | Path | None) -> None:
    if given.is_photograph:
        raise UsageError(f"{given.location} is one photograph, which is appended to nothing", "ingest it alone")
    if isinstance(given, StoredInput):
        raise UsageError(f"{given.location} is a collection itself", "append the source that it was made from")
    if store is None:
        raise UsageError("nothing says what to append to", "give the collection: ingest SOURCE STORE --append")


def _is_appended(found: Stored, given: Input) -> bool:
    return isinstance(found, Collection) and isinstance(given, ImagesInput) and is_appended(found, given.source)


def _plain(stored: Stored) -> Collection | Raster:
    """What users of Python get: the photograph rather than its lines."""
    if isinstance(stored, Lines):
        return stored.raster
    assert isinstance(stored, Collection)
    return stored
