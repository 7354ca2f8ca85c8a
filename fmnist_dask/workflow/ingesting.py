"""Making a collection: for a run that needs one, and for ``ingest`` alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.collection.appending import (
    AppendPlan,
    begin_append,
    settle_copies,
    settled_copies,
    staging_place,
)
from fmnist_dask.collection.joined import Joined, fit_of
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.place import place_of
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.raster import Raster, existing_raster, raster_bytes, write_raster
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.photo import Photo, photo_of
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import InUseError, UsageError
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Call, Engine, PassProgress, ProgressCallback, Tasks
from fmnist_dask.workflow.observe import Observer
from fmnist_dask.workflow.steps.append import attach, copies, is_appended
from fmnist_dask.workflow.steps.ingest import all_rows, default_store, existing, ingest

#: Seconds between two looks whether another run has made the collection.
WAIT_PAUSE = 0.5


def make_collection(
    engine: Engine, source: Source, store: Path, progress: ProgressCallback | None = None
) -> Collection:
    """Ingest a source on an engine."""
    plan = plan_ingest(source, store)
    # Looking for copies reads what has been written so far.
    return drive(ingest(plan), all_rows(plan), engine, progress)


def append_rows(
    engine: Engine, collection: Collection, source: Source, progress: ProgressCallback | None = None
) -> Collection:
    """Append a source to a collection, on an engine; the next generation.

    The rows become a collection of their own first, beside the arrays, so that nothing is known of them too late: what
    cannot be read, and what is a copy.

    Raises
    ------
    CollectionError
        The source's images do not fit the collection.
    """
    fit = fit_of(collection, source)
    if collection.dropped_duplicates is not None:
        source.drop_duplicates = True  # one that was to have no copies is to have none afterwards
    begin_append(collection, source)
    place = staging_place(collection)
    staged = existing(place, source)
    if staged is None:
        staged = make_collection(engine, source, place, progress)
    joined = Joined(collection, staged, fit)
    left_out = settled_copies(collection)
    if left_out is None:
        left_out = np.zeros(0, dtype=np.int64)
        if source.drop_duplicates:
            left_out = drive(copies(joined), joined, engine, progress)
        settle_copies(collection, left_out)
    return drive(attach(AppendPlan(collection, staged, fit, left_out), source), joined, engine, progress)


@contextlib.contextmanager
def right_to_make(store: Path, find: Callable[[], Collection | None], waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to make a collection that is not there; where another process makes it, wait for its end.

    Parameters
    ----------
    find
        The collection, once it is there.
    waiting
        Told once, and why.
    """
    with contextlib.ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(Lease(store, "an ingest"))
                break
            except InUseError as error:
                if not told:
                    waiting(error.message)
                told = True
                time.sleep(WAIT_PAUSE)
            if find() is not None:
                break
        yield


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
    photo = photo_of(spec, options)
    if photo is not None:
        if append:
            raise UsageError(f"{photo.location} is one photograph, which is appended to nothing", "ingest it alone")
        return _ingest_photo(photo, store, load_cluster(cluster, trust), watcher)
    source = open_source(spec, options)
    if isinstance(source, Collection):
        if append:
            raise UsageError(f"{source.path} is a collection itself", "append the source that it was made from")
        return source
    if append and store is None:
        raise UsageError("nothing says what to append to", "give the collection: ingest SOURCE STORE --append")
    place = place_of(store if store is not None else default_store(source))
    config = load_cluster(cluster, trust)
    collection = Collection.open(place) if append else existing(place, source)
    if collection is None or (append and not is_appended(collection, source)):
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        if collection is not None:
            fit_of(collection, source)  # said before a cluster is started
        watcher.connecting(config.address or config.class_name)
        with Lease(place, "an ingest"), connect(config, watcher.connected) as connection:
            watcher.ingesting(source, place)
            engine = DistributedEngine(connection.client, connection.workers, place)

            def progress(now: PassProgress) -> None:
                watcher.progress(["ingest"], now)

            if append:
                # Opened once more: another process may have appended before the lease was ours.
                collection = append_rows(engine, Collection.open(place), source, progress)
            else:
                collection = make_collection(engine, source, place, progress)
    watcher.collection(collection)
    return collection


def _ingest_photo(photo: Photo, store: str | Path | None, config: ClusterConfig, watcher: Observer) -> Raster:
    """Store a photograph in tiles, on a worker."""
    place = place_of(store or Path("collections") / f"{photo.name}-{photo.fingerprint[:8]}.zarr")
    raster = existing_raster(photo, place)
    if raster is None:
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        watcher.connecting(config.address or config.class_name)
        with Lease(place, "an ingest"), connect(config, watcher.connected) as connection:
            engine = DistributedEngine(connection.client, connection.workers, place)
            # One task: decoders give a photograph as a whole.
            call = Call(write_raster, (photo, str(place)))
            engine.tasks(Tasks("ingest", (call,), task_bytes=raster_bytes(photo), unit="photographs"))
            raster = Raster.open(place)
    watcher.raster(raster)
    return raster
