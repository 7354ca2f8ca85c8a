"""Leaving rows out of a collection that is about to be committed: what could not be read, and copies.

Which rows these are is known once all parts are written. The rows that stay are then copied, chunk by chunk, into
arrays beside those that hold them all, which take their places at the end. A kill at any moment loses nothing: each
chunk leaves a report like a part's, and moving arrays is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import read_json, write_json
from fmnist_dask.collection.layout import PARTS
from fmnist_dask.collection.parts import PartReport
from fmnist_dask.collection.place import move_tree, open_group, place_of
from fmnist_dask.collection.planning import IngestPlan
from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.errors import RunError
from fmnist_dask.typing import AnyArray, IntArray

#: Directory of the packed arrays, in that of the parts.
PACKED = "packed"
#: Lists the rows that are left out.
LEFT_OUT = "left-out.json"
#: Says that all chunks are packed, and their arrays may move.
MOVING = "moving.json"


@dataclass(frozen=True)
class LeftOut:
    """Rows of all those a source has that do not belong to the collection.

    Attributes
    ----------
    rejected, duplicates : int64 arrays
        Ascending and disjoint.
    """

    rejected: IntArray
    duplicates: IntArray

    @property
    def rows(self) -> IntArray:
        """All of them, ascending."""
        return np.sort(np.concatenate([self.rejected, self.duplicates]))

    def save(self, plan: IngestPlan) -> None:
        """Settle them: an ingest that goes on does not look for copies again."""
        value = {"rejected": self.rejected.tolist(), "duplicates": self.duplicates.tolist()}
        write_json(place_of(plan.path, PARTS, LEFT_OUT), value)

    @classmethod
    def load(cls, plan: IngestPlan) -> LeftOut | None:
        """What an earlier ingest has settled."""
        found = read_json(place_of(plan.path, PARTS, LEFT_OUT))
        if found is None:
            return None
        return cls(*(np.array(found[kind], dtype=np.int64) for kind in ("rejected", "duplicates")))


@dataclass(frozen=True)
class Packing:
    """Copying the rows that stay. Sent to workers.

    Attributes
    ----------
    left_out : int64 array
        Rows to leave out, ascending.
    n
        Rows that stay.
    """

    plan: IngestPlan
    left_out: IntArray
    n: int

    @classmethod
    def of(cls, plan: IngestPlan, left_out: IntArray) -> Packing:
        """Without these rows."""
        return cls(plan, left_out, plan.source.n - len(left_out))

    @property
    def root(self) -> Path:
        """Where the packed arrays are gathered."""
        return place_of(self.plan.path, PARTS, PACKED)

    @property
    def task_bytes(self) -> int:
        """Memory of packing a chunk: the rows that stay, one chunk that they come from, zarr's copies of both."""
        return 2 * self.plan.task_bytes

    def chunks(self) -> list[int]:
        """All chunks of the packed arrays."""
        return list(range(-(-self.n // self.plan.chunk_rows)))

    def report_file(self, chunk: int) -> Path:
        """The file that says a chunk is packed."""
        return place_of(self.plan.path, PARTS, f"{PACKED}-{chunk:08d}.json")

    def begin(self) -> list[int]:
        """Create the arrays; the chunks that are not packed yet."""
        if place_of(self.plan.path, PARTS, MOVING).exists():
            return []
        configure_zarr()
        whole: Any = open_group(self.plan.path, "r")
        group: Any = open_group(self.root, "a")
        for name, array in whole.arrays():
            if name not in group:
                group.create_array(
                    name,
                    shape=(self.n, *array.shape[1:]),
                    chunks=array.chunks,
                    dtype=array.metadata.data_type,
                    compressors=array.compressors,
                    dimension_names=array.metadata.dimension_names,
                    attributes=dict(array.attrs),
                    fill_value=array.fill_value,
                    config={"write_empty_chunks": True},
                )
        return [chunk for chunk in self.chunks() if not self.report_file(chunk).exists()]

    def source_rows(self, start: int, stop: int) -> IntArray:
        """Where the packed rows ``start`` to ``stop`` come from."""
        kept = np.arange(start, stop, dtype=np.int64)
        # Before the kept row k, as many rows are left out as lie at or before it when those left out are taken away.
        edges = self.left_out - np.arange(len(self.left_out))
        return kept + np.searchsorted(edges, kept, side="right")

    def finish(self) -> list[PartReport]:
        """Move the packed arrays to where they belong; the reports of their chunks."""
        reports = PartReport.read_all(self.report_file(chunk) for chunk in self.chunks())
        if any(report is None for report in reports):
            raise RunError(f"{self.plan.path} is not packed yet", "run the ingest again")
        write_json(place_of(self.plan.path, PARTS, MOVING), True)
        for packed in sorted(self.root.iterdir()):
            if packed.is_dir():
                move_tree(packed, place_of(self.plan.path, packed.name))
        return [report for report in reports if report is not None]


def pack_chunk(packing: Packing, chunk: int) -> int:
    """Write one chunk of the packed arrays, on a worker; the rows in it."""
    configure_zarr()
    whole: Any = open_group(packing.plan.path, "r")
    group: Any = open_group(packing.root, "r+")
    size = packing.plan.chunk_rows
    start, stop = chunk * size, min((chunk + 1) * size, packing.n)
    rows = packing.source_rows(start, stop)
    report = PartReport()
    columns: dict[str, AnyArray] = {}
    try:
        for name, array in group.arrays():
            values = gathered(whole[name], rows, size)
            array[start:stop] = values
            if name != "image":
                columns[name] = values
            del values
    except OSError as error:
        raise RunError(
            f"cannot write the collection {packing.plan.path}: {error.strerror or error}",
            "free some space or choose another place with --store or --out; the same command goes on where it stopped",
        ) from error
    report.take(start, columns, {})
    report.write(packing.report_file(chunk))
    return stop - start


def gathered(array: Any, rows: IntArray, chunk_rows: int) -> AnyArray:
    """The given rows, ascending, of an array; each of its chunks is read once."""
    parts = []
    for chunk in range(int(rows[0]) // chunk_rows, int(rows[-1]) // chunk_rows + 1):
        inside = rows[(rows >= chunk * chunk_rows) & (rows < (chunk + 1) * chunk_rows)]
        if len(inside):
            parts.append(array[int(inside[0]) : int(inside[-1]) + 1][inside - inside[0]])
    return np.concatenate(parts)
