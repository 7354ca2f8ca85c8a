"""Making a collection or storing a photograph on an engine: for a run that needs it, and for ``ingest`` alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fmnist_dask.collection.appending import (
    AppendPlan,
    begin_append,
    settle_copies,
    settled_copies,
    staging_place,
)
from fmnist_dask.collection.joined import Joined, fit_of
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.raster_writing import begin_raster, commit_raster, plan_raster, write_band
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import InUseError
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Call, Engine, ProgressCallback, Tasks
from fmnist_dask.workflow.steps.append import attach, copies
from fmnist_dask.workflow.steps.ingest import all_rows, existing, ingest

#: Seconds between two looks whether another run has made the collection.
WAIT_PAUSE = 0.5


def make_collection(
    engine: Engine, source: Source, store: Path, progress: ProgressCallback | None = None
) -> Collection:
    """Ingest a source on an engine."""
    plan = plan_ingest(source, store)
    # Looking for copies reads what has been written so far.
    return drive(ingest(plan), all_rows(plan), engine, progress)


def make_photograph(
    engine: Engine, photo: PhotoSource, store: Path, progress: ProgressCallback | None = None
) -> Raster:
    """Store a photograph in tiles on an engine; what an ingest that was killed has left is kept."""
    plan = plan_raster(photo, store)
    calls = tuple(Call(write_band, band, band[1] - band[0]) for band in begin_raster(plan))
    engine.tasks(Tasks("ingest", calls, task_bytes=plan.task_bytes, unit="lines", shared=plan), progress)
    return commit_raster(plan)


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
def right_to_make(store: Path, find: Callable[[], object | None], waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to make what is not there; where another process makes it, wait for its end.

    Parameters
    ----------
    find
        What was made, once it is there.
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
