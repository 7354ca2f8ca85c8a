"""Equal content hashes of a whole collection, one partition of the hash space at a time. Runs on workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from fmnist_dask.kernels.hashing import repeated_hashes
from fmnist_dask.passes.protocol import ColumnArray, Readable
from fmnist_dask.typing import AnyArray, IntArray, UInt64Array

#: Rows of arrays with one value a row that are read at a time: each read takes a while, however short it is.
SPAN_ROWS = 1 << 19
#: Leading bits of hashes by which most are told from those that are looked for.
TABLE_BITS = 22


class HashReader:
    """Reads content hashes: those that the collection stores, or a column that a pass has written."""

    def __init__(self, source: Readable, column: ColumnArray | None = None) -> None:
        self.source = source
        self.column = column

    @property
    def stored(self) -> bool:
        """Whether the collection stores its hashes."""
        try:
            self.source.read("content_hash", 0, 1)
        except KeyError:
            return False
        return True

    def read(self, start: int, stop: int) -> UInt64Array:
        """Hashes of rows ``start`` to ``stop``, shape (rows, 2)."""
        if self.column is not None:
            return self.column[start:stop]
        return self.source.read("content_hash", start, stop)


def repeated_in_partition(
    reader: HashReader, part: int, parts: int, split: int | None, before: int = 0, members: IntArray | None = None
) -> tuple[IntArray, IntArray, AnyArray, AnyArray]:
    """Rows whose hash occurs more than once, in one of ``parts`` equal slices of the hash space.

    The hash column is read twice: first 8 bytes a row are kept, to find which leading halves repeat at all, then the
    rows of these few. Where rows were appended since an earlier search, only new hashes and those that were repeated
    already can be repeated now, and the column is read once.

    Parameters
    ----------
    before
        Rows that an earlier search has seen.
    members : int64 array
        Those of them, ascending, whose hashes it found more than once.

    Returns
    -------
    rows, groups : int64 arrays, shape (members,)
    label : int16 array, shape (members,)
    split : int8 array, shape (members,)
    """
    source = reader.source
    length = span_rows(source)
    spans = [(start, min(start + length, source.n)) for start in range(0, source.n, length)]

    def inside(start: int, stop: int) -> tuple[UInt64Array, AnyArray]:
        hashes = reader.read(start, stop)
        chosen = np.ones(len(hashes), dtype=bool)
        if parts > 1:
            chosen = (hashes[:, 0] >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32) == part
        if split is not None:
            chosen &= source.read("split", start, stop) == split
        return hashes, chosen

    if before:
        known = np.zeros((0, 2), np.uint64) if members is None else rows_at(reader.read, source, members)
        new = [hashes[chosen, 0] for hashes, chosen in (inside(max(a, before), b) for a, b in spans if b > before)]
        repeated = np.unique(np.concatenate([known[:, 0], *new]))
    else:
        halves = np.concatenate([hashes[chosen, 0] for hashes, chosen in (inside(*span) for span in spans)])
        halves.sort()
        repeated = np.unique(halves[1:][halves[1:] == halves[:-1]])
        del halves
    found: list[tuple[IntArray, UInt64Array]] = []
    for start, stop in spans if len(repeated) else []:
        hashes, chosen = inside(start, stop)
        index = _positions_of(repeated, hashes[:, 0], chosen)
        found.append((index + start, hashes[index]))
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty.astype(np.int16), empty.astype(np.int8)
    rows, groups = repeated_hashes(np.concatenate([h for _, h in found]), np.concatenate([r for r, _ in found]))
    return rows, groups, values_at(source, "label", rows), values_at(source, "split", rows)


def span_rows(source: Readable) -> int:
    """Rows of an array with one value each that are read at a time: a multiple of the chunks."""
    return max(1, SPAN_ROWS // source.chunk_rows) * source.chunk_rows


def _positions_of(wanted: UInt64Array, halves: UInt64Array, chosen: AnyArray) -> IntArray:
    """Where wanted values (ascending) stand among others; most are told from them by their leading bits."""
    table = np.zeros(1 << TABLE_BITS, dtype=bool)
    shift = np.uint64(64 - TABLE_BITS)
    table[wanted >> shift] = True
    index = np.flatnonzero(table[halves >> shift] & chosen)
    at = np.minimum(np.searchsorted(wanted, halves[index]), len(wanted) - 1)
    found: IntArray = index[wanted[at] == halves[index]]
    return found


def values_at(source: Readable, name: str, rows: IntArray) -> AnyArray:
    """Values of a per-row array at some rows, in their order; each chunk is read once."""
    return rows_at(lambda start, stop: source.read(name, start, stop), source, rows)


def rows_at(read: Callable[[int, int], AnyArray], source: Readable, rows: IntArray) -> AnyArray:
    """The same of whatever has a value for each row of the source."""
    values: AnyArray = read(0, min(1, source.n))[:0]
    parts, positions = [values], [np.zeros(0, dtype=np.int64)]
    length = span_rows(source)
    chunk_of = rows // length
    order = np.argsort(chunk_of, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(chunk_of[order]) != 0, True]) if len(rows) else np.zeros(1, np.int64)
    for low, high in itertools.pairwise(edges):
        members = order[low:high]
        start = int(chunk_of[members[0]]) * length
        chunk = read(start, min(start + length, source.n))
        parts.append(chunk[rows[members] - start])
        positions.append(members)
    joined = np.concatenate(parts)
    result = np.empty_like(joined)
    result[np.concatenate(positions)] = joined
    return result
