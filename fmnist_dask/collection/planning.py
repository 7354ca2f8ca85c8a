"""How a source becomes a store: in which chunks, and in which parts that one task each writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_dask.collection.layout import CHUNK_BYTES, PARTS, ROW_MULTIPLE, rows_per_chunk
from fmnist_dask.collection.place import place_of
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.errors import UsageError

#: Pixels asked of a source at a time: few enough that a decoder's temporaries stay small, many enough to amortize it.
BATCH_BYTES = 3 * 2**20
#: Sources that take long to read have at least about so many chunks, unless these would get smaller than so many bytes.
SHARED_CHUNKS = 16
SHARED_BYTES = 2 * 2**20
MOST_BATCH_ROWS = 1 << 14
#: Memory of a row beside its pixels: name, hash, labels, and what was wrong with it.
ROW_BYTES = 256
#: Memory of one value of a vector, as it is in its file, as float32, compressed.
VECTOR_BYTES = 24


@dataclass(frozen=True)
class Part:
    """Consecutive chunks that one task writes."""

    index: int
    first_chunk: int
    stop_chunk: int


@dataclass(frozen=True)
class IngestPlan:
    """How a source becomes a store: where, in which chunks, in which parts. Sent to the workers."""

    path: str
    source: Source
    chunk_rows: int
    parts: tuple[Part, ...]

    def report_file(self, part: Part) -> Path:
        """The file that says a part is written."""
        return place_of(self.path, PARTS) / f"{part.first_chunk:08d}-{part.stop_chunk:08d}.json"

    @property
    def task_bytes(self) -> int:
        """Memory of one task: a chunk, its compressed form and zarr's copy, and the source's temporaries."""
        image_bytes = math.prod(self.source.image_shape)
        rows = min(self.chunk_rows, self.source.n)
        chunk = int(2.7 * rows * image_bytes) + ROW_BYTES * rows
        vectors = 0 if self.source.embedding is None else VECTOR_BYTES * rows * self.source.embedding.width
        return chunk + vectors + 2 * batch_rows(self.source) * image_bytes + self.source.read_bytes()


def batch_rows(source: Source) -> int:
    """Rows asked of a source at a time."""
    return min(max(1, BATCH_BYTES // math.prod(source.image_shape)), MOST_BATCH_ROWS)


def _default_rows(source: Source) -> int:
    """Rows of a chunk; of sources that take long to read fewer, where workers would have too few chunks to share."""
    rows = rows_per_chunk(source.image_shape, source.chunk_bytes)
    if source.costly and source.chunk_bytes == CHUNK_BYTES:
        fewest = rows_per_chunk(source.image_shape, SHARED_BYTES)
        share = -(-source.n // SHARED_CHUNKS // ROW_MULTIPLE) * ROW_MULTIPLE
        rows = min(rows, max(fewest, share))
    return rows


def plan_ingest(source: Source, path: str | Path, chunk_rows: int | None = None) -> IngestPlan:
    """Cut a source into chunks and parts.

    A part is one chunk where rows can be reached directly. All chunks that begin in a compressed stream are one part,
    so that the stream is decompressed once; its last chunk is filled up from the head of the next partition.
    """
    rows = chunk_rows or _default_rows(source)
    if rows % ROW_MULTIPLE:
        raise UsageError(f"chunks of {rows} rows", f"take a multiple of {ROW_MULTIPLE}")
    # A small collection needs no chunk of the full length: chunks are padded to it.
    rows = min(rows, -(-source.n // ROW_MULTIPLE) * ROW_MULTIPLE)
    ends = np.cumsum([partition.rows for partition in source.partitions])
    parts: list[Part] = []
    stream_of_last = -1
    for chunk in range(-(-source.n // rows)):
        partition = int(np.searchsorted(ends, chunk * rows, side="right"))
        streamed = not source.partitions[partition].seekable
        if streamed and partition == stream_of_last:
            parts[-1] = Part(parts[-1].index, parts[-1].first_chunk, chunk + 1)
        else:
            parts.append(Part(len(parts), chunk, chunk + 1))
        stream_of_last = partition if streamed else -1
    return IngestPlan(str(place_of(path)), source, rows, tuple(parts))
