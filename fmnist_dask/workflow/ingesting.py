"""Making a collection: for a run that needs one, and for ``ingest`` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Engine, PassProgress, ProgressCallback
from fmnist_dask.workflow.observe import Observer
from fmnist_dask.workflow.steps.ingest import all_rows, default_store, existing, ingest


def make_collection(
    engine: Engine, source: Source, store: Path, progress: ProgressCallback | None = None
) -> Collection:
    """Ingest a source on an engine."""
    plan = plan_ingest(source, store)
    # Looking for copies reads what has been written so far.
    return drive(ingest(plan), all_rows(plan), engine, progress)


def ingest_source(
    spec: str | Path,
    store: str | Path | None,
    options: dict[str, Any],
    cluster: Any,
    trust: bool,
    observer: Observer | None,
) -> Collection:
    """Make the collection of a source on a cluster, unless it is there; see :func:`fmnist_dask.ingest`."""
    watcher = observer or Observer()
    source = open_source(spec, options)
    if isinstance(source, Collection):
        return source
    place = (Path(store).expanduser() if store is not None else default_store(source)).resolve()
    config = load_cluster(cluster, trust)
    collection = existing(place, source)
    if collection is None:
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        watcher.connecting(config.address or config.class_name)
        with Lease(place, "an ingest"), connect(config, watcher.connected) as connection:
            watcher.ingesting(source, place)
            engine = DistributedEngine(connection.client, connection.workers, place)

            def progress(now: PassProgress) -> None:
                watcher.progress(["ingest"], now)

            collection = make_collection(engine, source, place, progress)
    watcher.collection(collection)
    return collection
