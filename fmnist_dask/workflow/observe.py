"""What a run tells while it works. The command line prints it; a notebook may do otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmnist_dask.collection.raster import Raster
    from fmnist_dask.collection.sources.base import Source
    from fmnist_dask.collection.sources.photo import PhotoSource
    from fmnist_dask.collection.store import Collection
    from fmnist_dask.passes.protocol import PassProgress
    from fmnist_dask.workflow.inputs import Stored
    from fmnist_dask.workflow.rundir import RunDirectory


class Observer:
    """Hears what happens in a run; this one keeps quiet."""

    def connecting(self, cluster: str) -> None:
        """A cluster is about to be started, or connected to."""

    def connected(self, dashboard: str, cluster: dict[str, Any]) -> None:
        """A cluster is there."""

    def waiting(self, reason: str) -> None:
        """Another run makes the collection; this one waits until it is there."""

    def lost(self, error: Exception) -> None:
        """The cluster is gone; it is about to be started, or connected to, once more."""

    def ingesting(self, source: Source | PhotoSource, store: Path) -> None:
        """Raw images are about to be turned into a collection, or a photograph is about to be stored."""

    def collection(self, collection: Collection) -> None:
        """The collection is there."""

    def raster(self, raster: Raster) -> None:
        """A photograph is stored."""

    def progress(self, names: list[str], progress: PassProgress) -> None:
        """A pass that these steps share, or tasks of one of them, went on."""

    def step_done(self, name: str, record: dict[str, Any]) -> None:
        """A step's result is published."""

    def steps_failed(self, names: list[str], error: Exception) -> None:
        """Steps failed together, by one cause; others go on."""

    def ended(self, run: RunDirectory) -> None:
        """The run has ended and its report is written."""


def tell_stored(observer: Observer, stored: Stored) -> None:
    """Say that what a run reads is there."""
    from fmnist_dask.collection.lines import Lines
    from fmnist_dask.collection.store import Collection

    if isinstance(stored, Lines):
        observer.raster(stored.raster)
    elif isinstance(stored, Collection):
        observer.collection(stored)
