"""Writing one part of a collection, on a worker: idempotent, and reported in a small file once its chunks are there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import write_json
from fmnist_dask.collection.layout import EMBEDDING, MISSING, SAMPLE_ARRAYS
from fmnist_dask.collection.place import open_group, read_many
from fmnist_dask.collection.planning import IngestPlan, Part, batch_rows
from fmnist_dask.collection.sources.base import Rows, Source
from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.errors import CollectionError, RunError, SourceError
from fmnist_dask.kernels.hashing import content_hashes, content_sum, panel_digests
from fmnist_dask.typing import AnyArray

#: Rows that can be left out; their list is held in memory.
MOST_REJECTED = 1_000_000


def write_part(plan: IngestPlan, part: Part) -> dict[str, Any]:
    """Write one part's chunks; on a worker. Doing it twice does no harm.

    Returns
    -------
    dict
        ``rows`` and ``bytes`` written.
    """
    configure_zarr()
    group = open_group(plan.path, "r+")
    names = ["image", "source_name", "content_hash", *SAMPLE_ARRAYS, *plan.source.extra_arrays]
    names += [MISSING] if plan.source.may_miss else []
    names += [EMBEDDING] if plan.source.embedding is not None else []
    arrays: dict[str, Any] = {name: group[name] for name in names}
    n = plan.source.n
    start, stop = part.first_chunk * plan.chunk_rows, min(part.stop_chunk * plan.chunk_rows, n)
    batches = _source_rows(plan.source, start, stop)
    report = PartReport()
    pending: tuple[int, Rows] | None = None
    try:
        for chunk_start in range(start, stop, plan.chunk_rows):
            chunk_stop = min(chunk_start + plan.chunk_rows, stop)
            columns, rejected, pending = _fill_chunk(plan.source, batches, pending, chunk_stop - chunk_start)
            columns["content_hash"] = content_hashes(columns["image"])
            if plan.source.embedding is not None:
                columns[EMBEDDING], wrong = plan.source.embedding.read(chunk_start, chunk_stop)
                rejected = {**wrong, **rejected}
            for name, values in columns.items():
                arrays[name][chunk_start:chunk_stop] = values
            report.take(chunk_start, columns, rejected)
            del columns, values  # or this chunk would live on while the next one is gathered
        # Asking once more reads a stream to its end, where its checksum is compared.
        if pending is not None or next(batches, None) is not None:
            raise CollectionError(f"{plan.source.name} yielded more rows than it announced ({n:,})")
        report.write(plan.report_file(part))
    except OSError as error:
        raise RunError(
            f"cannot write the collection {plan.path}: {error.strerror or error}",
            "free some space or choose another place with --store or --out; the same command goes on where it stopped",
        ) from error
    return {"rows": stop - start, "bytes": (stop - start) * math.prod(plan.source.image_shape)}


@dataclass
class PartReport:
    """What is known of the rows of a part once they are written.

    Attributes
    ----------
    digests
        Of panels of 256 rows; see :func:`~fmnist_dask.kernels.hashing.panel_digests`.
    content
        See :func:`~fmnist_dask.kernels.hashing.content_sum`.
    missing
        Pixels that are missing.
    rejected
        Row, name, split code and reason of each row that could not be read.
    """

    digests: list[bytes] = field(default_factory=list)
    content: tuple[int, int] = (0, 0)
    missing: int = 0
    rejected: list[tuple[int, str, int, str]] = field(default_factory=list)

    def take(self, start: int, columns: dict[str, AnyArray], rejected: dict[int, str]) -> None:
        """Rows from ``start`` on have been written."""
        hashes, label, split = columns["content_hash"], columns["label"], columns["split"]
        self.digests += panel_digests(start, hashes, label, split, *embedding_hashes(columns))
        self.content = added(self.content, content_sum(hashes, label, split))
        self.missing += int(columns[MISSING].sum()) if MISSING in columns else 0
        names = columns["source_name"]
        self.rejected += [(start + at, str(names[at]), int(split[at]), reason) for at, reason in rejected.items()]
        check_rejected(len(self.rejected), self.rejected[:1])

    def write(self, path: Path) -> None:
        """The rows count as written from here on."""
        value = {
            "digests": b"".join(self.digests).hex(),
            "content": list(self.content),
            "missing": self.missing,
            "rejected": self.rejected,
        }
        write_json(path, value)

    @classmethod
    def read(cls, path: Path) -> PartReport | None:
        """The report of a part; ``None`` if it is not written."""
        return cls.read_all([path])[0]

    @classmethod
    def read_all(cls, paths: Iterable[Path]) -> list[PartReport | None]:
        """The reports of parts; ``None`` for those that are not written."""
        return [None if content is None else cls._of(json.loads(content)) for content in read_many(paths)]

    @classmethod
    def _of(cls, found: dict[str, Any]) -> PartReport:
        whole = bytes.fromhex(found["digests"])
        digests = [whole[at : at + 16] for at in range(0, len(whole), 16)]
        rejected = [(row, name, split, reason) for row, name, split, reason in found["rejected"]]
        return cls(digests, (found["content"][0], found["content"][1]), found["missing"], rejected)


def check_rejected(count: int, first: list[tuple[int, str, int, str]]) -> None:
    """Whether so many rows may be left out.

    Raises
    ------
    SourceError
        They are so many that the source is not what it seems to be.
    """
    if count > MOST_REJECTED:
        _, name, _, reason = first[0]
        raise SourceError(
            f"{count:,} items or more cannot be read, the first of them {name}: {reason}; the limit is "
            f"{MOST_REJECTED:,}",
            "see whether the source is complete, and whether its options fit",
        )


def embedding_hashes(columns: dict[str, AnyArray]) -> tuple[AnyArray, ...]:
    """Hashes of the vectors, if there are any: a fingerprint covers them too."""
    return (content_hashes(columns[EMBEDDING]),) if EMBEDDING in columns else ()


def added(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """Sum of two content digests."""
    return (left[0] + right[0]) % 2**64, (left[1] + right[1]) % 2**64


def _source_rows(source: Source, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
    """Rows ``start`` to ``stop`` over all partitions, as (split code, batch)."""
    codes = {name: code for code, name in enumerate(source.splits)}
    first = 0
    for index, partition in enumerate(source.partitions):
        low, high = max(start - first, 0), min(stop - first, partition.rows)
        if low < high:
            for rows in source.read(index, low, high, batch_rows(source)):
                yield codes[partition.split], rows
        first += partition.rows


def _fill_chunk(
    source: Source, batches: Iterator[tuple[int, Rows]], pending: tuple[int, Rows] | None, size: int
) -> tuple[dict[str, AnyArray], dict[int, str], tuple[int, Rows] | None]:
    """Gather ``size`` rows into arrays; also which of them were rejected, and what the last batch has beyond them."""
    columns: dict[str, AnyArray] = {"image": np.empty((size, *source.image_shape), dtype=np.uint8)}
    columns |= {name: np.empty(size, dtype) for name, (dtype, _) in {**SAMPLE_ARRAYS, **source.extra_arrays}.items()}
    columns["source_name"] = np.empty(size, dtype=object if source.named_rows else np.int64)
    if source.may_miss:
        columns[MISSING] = np.zeros((size, *source.image_shape[:2]), dtype=bool)
    rejected: dict[int, str] = {}
    filled = 0
    while filled < size:
        batch = pending or next(batches, None)
        if batch is None:
            raise CollectionError(f"{source.name} yielded fewer rows than it announced ({source.n:,})")
        split, rows = batch
        take = min(len(rows.image), size - filled)
        into = slice(filled, filled + take)
        columns["image"][into] = rows.image[:take]
        columns["label"][into] = -1 if rows.label is None else rows.label[:take]
        columns["split"][into] = split
        if rows.size is None:
            columns["height"][into], columns["width"][into] = source.image_shape[:2]
        else:
            columns["height"][into], columns["width"][into] = rows.size[:take].T
        columns["source_name"][into] = rows.source_name[:take]
        if rows.missing is not None:
            columns[MISSING][into] = rows.missing[:take]
        for name in source.extra_arrays:
            columns[name][into] = rows.extra[name][:take]
        rejected |= {filled + at: reason for at, reason in rows.rejected.items() if at < take}
        pending = None if take == len(rows.image) else (split, _after(rows, take))
        filled += take
    return columns, rejected, pending


def _after(rows: Rows, take: int) -> Rows:
    """The rows of a batch beyond those taken."""

    def rest(values: AnyArray | None) -> AnyArray | None:
        return None if values is None else values[take:]

    return Rows(
        rows.image[take:],
        rest(rows.label),
        rows.source_name[take:],
        {name: values[take:] for name, values in rows.extra.items()},
        rest(rows.size),
        rest(rows.missing),
        {at - take: reason for at, reason in rows.rejected.items() if at >= take},
    )
