"""A run whose step ``low_rank`` has filled in missing pixels: its images, to become a collection like any other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import read_json
from fmnist_dask.collection.sources.base import Partition, Rows, Source, take_options
from fmnist_dask.collection.store import Collection, configure_zarr
from fmnist_dask.errors import SourceError, UsageError, nearest

MANIFEST = "manifest.json"
#: The array of a step's results that holds its images.
IMPUTED = "imputed"
DONE = ("SUCCEEDED", "REUSED")


class Filled(Source):
    """Images of a run's collection, with their missing and hidden pixels as a step has filled them in.

    Labels, splits and names are those of the collection that the run worked on.
    """

    kind = "images filled in by a run"

    def __init__(self, run: Path, options: dict[str, Any] | None = None) -> None:
        wanted = take_options("run", dict(options or {}), step=(str, ""))["step"]
        manifest = read_json(run / MANIFEST)
        steps = [
            name
            for name, step in manifest["steps"].items()
            if step.get("status") in DONE and (run / "results.zarr" / name / IMPUTED).is_dir()
        ]
        if not steps:
            raise SourceError(
                f"no step of the run {run} has images for others",
                "a step low_rank fills in missing pixels; run one, with impute=true, to its end",
            )
        if wanted and wanted not in steps:
            raise UsageError(f'no step "{wanted}" of {run} has images for others', nearest(wanted, steps))
        if not wanted and len(steps) > 1:
            raise UsageError(f"{len(steps)} steps of {run} have images: {', '.join(steps)}", "say which: step=NAME")
        self.step = wanted or steps[0]
        self.base = self._collection(run, manifest["source"])
        self.array = str((run / "results.zarr" / self.step / IMPUTED).resolve())
        self._check_type(run)
        self.filled_by = str(manifest["steps"][self.step]["fingerprint"])
        self.name = f"{self.base.name}-{self.step}"
        self.location = str(run.resolve())
        self.description = f"{self.base.name}, with missing pixels filled in by the step {self.step} of a run."
        self.synthetic = bool(manifest["source"].get("synthetic"))
        self.image_shape = self.base.image_shape
        self.class_names = self.base.class_names
        self.named_rows = not np.issubdtype(self.base.read("source_name", 0, 1).dtype, np.integer)
        self._cut()

    def _check_type(self, run: Path) -> None:
        import zarr

        dtype = zarr.open_array(self.array, mode="r").dtype
        if dtype != np.uint8:
            raise SourceError(
                f"the filled images of the step {self.step} of {run} are {dtype}; a collection holds whole numbers",
                "run it with impute=true, or open them with fmnist_dask.open_run",
            )

    @staticmethod
    def _collection(run: Path, source: dict[str, Any]) -> Collection:
        """What the run worked on, if it is still the same."""
        collection = Collection.open(source["collection"])
        if collection.fingerprint != source["collection_fingerprint"]:
            raise SourceError(
                f"the collection {collection.path} has changed since the run {run}", "run the workflow again"
            )
        return collection

    def _cut(self) -> None:
        """Cut the rows where their split changes; those of one split together."""
        split = np.asarray(self.base.read("split", 0, self.base.n))
        edges = [0, *(np.flatnonzero(np.diff(split)) + 1).tolist(), len(split)]
        parts = [(int(split[low]), low, high) for low, high in itertools.pairwise(edges)]
        parts.sort()
        names = list(self.base.splits)
        self.first = [low for _, low, _ in parts]
        self.partitions = tuple(Partition(names[code], high - low) for code, low, high in parts)

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Read filled images, and all else from the collection; see :meth:`Source.read`."""
        import zarr

        configure_zarr()
        array: Any = zarr.open_array(self.array, mode="r")
        first = self.first[partition]
        for at in range(first + start, first + stop, batch_rows):
            end = min(first + stop, at + batch_rows)
            yield Rows(
                image=np.asarray(array[at:end]),
                label=self.base.read("label", at, end) if self.class_names else None,
                source_name=self.base.read("source_name", at, end),
                size=np.stack([self.base.read(name, at, end) for name in ("height", "width")], axis=1),
            )

    def read_bytes(self) -> int:
        """One chunk of the filled images, which may be longer than those that are made of it."""
        return 2 * self.base.chunk_rows * self.base.image_bytes

    def identity(self) -> dict[str, Any]:
        """What decides the images: the collection, and the step that has filled it in."""
        return {"collection": self.base.fingerprint, "step": self.filled_by}


def is_run(path: Path) -> bool:
    """Whether a directory is that of a run."""
    manifest = path / MANIFEST
    return (path / "results.zarr").is_dir() and manifest.is_file() and "steps" in (read_json(manifest) or {})
