"""A workflow's source as a run sees it: images to be ingested, a photograph to be stored, or either as it is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.place import place_of
from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.raster import Raster, existing_raster
from fmnist_dask.collection.raster_writing import plan_raster
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_images
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import Collection, split_code
from fmnist_dask.collection.views import no_embedding
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.protocol import Engine, ProgressCallback, Readable
from fmnist_dask.workflow.ingesting import make_collection, make_photograph
from fmnist_dask.workflow.load import INPUTS
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.planned import PlannedCollection, PlannedIngest
from fmnist_dask.workflow.registry import PHOTOGRAPH, all_steps, find_step
from fmnist_dask.workflow.steps.ingest import default_store, existing


class Stored(Readable, Protocol):
    """What a run reads: a collection, or the lines of a photograph."""

    @property
    def path(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """Short name of the source."""

    @property
    def fingerprint(self) -> str:
        """Changes with any pixel."""

    @property
    def source(self) -> dict[str, Any]:
        """Where it comes from."""

    @property
    def row_dim(self) -> str:
        """``sample``, or ``y`` where samples are the lines of a photograph."""

    @property
    def n_images(self) -> int:
        """Images, or 1 for a photograph."""

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of an image, or of the photograph."""

    @property
    def n_quarantined(self) -> int:
        """Items that could not be read."""

    @property
    def missing_pixels(self) -> int:
        """Pixels whose value is not known."""

    @property
    def embedding_width(self) -> int:
        """Values of the users' own vector of each image."""

    def split_code(self, split: str) -> int | None:
        """Code of a split."""

    def stored_bytes(self) -> int:
        """Bytes of all files."""


class Input(ABC):
    """A workflow's source.

    Attributes
    ----------
    name, fingerprint, location, kind
        For manifests.
    n_images
        Images before any is left out; 1 for a photograph.
    splits
        Samples of each split.
    has_embedding
        Whether users gave vectors.
    is_photograph
        Whether samples are the lines of one photograph.
    """

    name: str
    fingerprint: str
    location: str
    kind: str
    n_images: int
    splits: dict[str, int]
    has_embedding: bool = False
    is_photograph: bool = False

    @abstractmethod
    def place(self, store: str | Path | None) -> Path:
        """Where it is or goes, by default or as asked for."""

    @abstractmethod
    def existing(self, place: Path) -> Stored | None:
        """What was made of it at a place; ``None`` if that is still to be done."""

    @abstractmethod
    def make(self, engine: Engine, place: Path, progress: ProgressCallback | None = None) -> Stored:
        """Ingest it."""

    @abstractmethod
    def planned(self, place: Path) -> PlannedIngest:
        """What ingesting it takes."""

    @property
    @abstractmethod
    def raw(self) -> Source | PhotoSource:
        """What is ingested."""


class ImagesInput(Input):
    """Images that are to become a collection."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name, self.fingerprint, self.location = source.name, source.fingerprint, source.location
        self.kind, self.n_images, self.splits = source.kind, source.n, source.splits
        self.has_embedding = source.embedding is not None

    @property
    def raw(self) -> Source:
        """The source of images."""
        return self.source

    def place(self, store: str | Path | None) -> Path:
        """As asked for, or shared by all workflows."""
        return place_of(store if store is not None else default_store(self.source))

    def existing(self, place: Path) -> Collection | None:
        """See :func:`~fmnist_dask.workflow.steps.ingest.existing`."""
        return existing(place, self.source)

    def make(self, engine: Engine, place: Path, progress: ProgressCallback | None = None) -> Collection:
        """See :func:`~fmnist_dask.workflow.ingesting.make_collection`."""
        return make_collection(engine, self.source, place, progress)

    def planned(self, place: Path) -> PlannedIngest:
        """A task for each part."""
        source = self.source
        plan = plan_ingest(source, place)
        width = 0 if source.embedding is None else source.embedding.width
        target = PlannedCollection(
            source.n, source.image_shape, plan.chunk_rows, source.class_names, source.splits, width, raw=source
        )
        return PlannedIngest(len(plan.parts), plan.parts[-1].stop_chunk, plan.task_bytes, target, plan)


class PhotographInput(Input):
    """A photograph that is to be stored in tiles."""

    is_photograph = True
    n_images = 1

    def __init__(self, photo: PhotoSource) -> None:
        self.photo = photo
        self.name, self.fingerprint, self.location = photo.name, photo.fingerprint, photo.location
        self.kind, self.splits = photo.kind, photo.splits

    @property
    def raw(self) -> PhotoSource:
        """The photograph."""
        return self.photo

    def place(self, store: str | Path | None) -> Path:
        """As asked for, or shared by all workflows."""
        return place_of(store if store is not None else default_store(self.photo))

    def existing(self, place: Path) -> Lines | None:
        """See :func:`~fmnist_dask.collection.raster.existing_raster`."""
        raster = existing_raster(self.photo, place)
        return None if raster is None else Lines(raster)

    def make(self, engine: Engine, place: Path, progress: ProgressCallback | None = None) -> Lines:
        """See :func:`~fmnist_dask.workflow.ingesting.make_photograph`."""
        return Lines(make_photograph(engine, self.photo, place, progress))

    def planned(self, place: Path) -> PlannedIngest:
        """A task for each row of tiles, or one for all."""
        plan = plan_raster(self.photo, place)
        height, *line = self.photo.image_shape
        target = PlannedCollection(height, tuple(line), plan.tile[0], (), self.photo.splits, row_dim=Lines.row_dim)
        return PlannedIngest(len(plan.bands), -(-height // plan.tile[0]), plan.task_bytes, target, self.photo)


class StoredInput(Input):
    """A collection, or a photograph, that is there."""

    def __init__(self, stored: Collection | Lines) -> None:
        self.stored = stored
        self.name, self.fingerprint, self.location = stored.name, stored.fingerprint, stored.path
        self.kind, self.n_images, self.splits = str(stored.source.get("kind")), stored.n_images, stored.splits
        self.has_embedding = bool(stored.embedding_width)
        self.is_photograph = isinstance(stored, Lines)

    @property
    def raw(self) -> Source | PhotoSource:
        """There is nothing left to ingest."""
        raise AssertionError(f"{self.location} is ingested")

    def place(self, store: str | Path | None) -> Path:
        """Where it is."""
        return place_of(self.stored.path)

    def existing(self, place: Path) -> Collection | Lines:
        """Itself."""
        return self.stored

    def make(self, engine: Engine, place: Path, progress: ProgressCallback | None = None) -> Stored:
        """There is nothing left to ingest."""
        return self.stored

    def planned(self, place: Path) -> PlannedIngest:
        """There is nothing left to ingest."""
        raise AssertionError(f"{self.location} is ingested")


def open_input(spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Input:
    """Find out what a workflow's source is, and open it; see :func:`~.detect.open_images`."""
    found = open_images(spec, options)
    if isinstance(found, Source):
        return ImagesInput(found)
    if isinstance(found, PhotoSource):
        return PhotographInput(found)
    return StoredInput(Lines(found) if isinstance(found, Raster) else found)


def check_input(workflow: Workflow, chosen: Iterable[str], given: Input) -> None:
    """Refuse what steps cannot work on, before any work.

    Parameters
    ----------
    chosen
        Steps that are to run.

    Raises
    ------
    UsageError
        A split or vectors that the source has not; a photograph, for a step that takes none.
    """
    for spec in workflow.steps.values():
        split_code(given, spec.split)
        if spec.on == "embedding" and not given.has_embedding:
            raise no_embedding(f"the source {given.name}")
    if not given.is_photograph:
        return
    for name in chosen:
        spec = workflow.steps[name]
        step = f"the step {name}" if name == spec.uses else f"the step {name} ({spec.uses})"
        if PHOTOGRAPH not in find_step(spec.uses).accepts:
            able = [other for other, known in all_steps().items() if PHOTOGRAPH in known.accepts]
            others = f"; steps for photographs: {', '.join(able)}" if able else ""
            raise UsageError(
                f"{step} works on collections of images, and the source {given.name} is one photograph "
                f"({given.location})",
                f"give a directory of images, or choose other steps with --only{others}",
            )
        if spec.mask is not None:
            raise UsageError(f"{step} hides pixels of images (mask), and the source {given.name} is one photograph",
                             "take mask away")  # fmt: skip
        if spec.on not in INPUTS:
            raise UsageError(
                f'{step} works on "{spec.on}", but of a photograph ({given.name}) steps read the pixels',
                'take "on" away',
            )
