"""Appending rows to a collection, in acts like those of an ingest: begin, attach chunk i, commit.

The rows to be appended are a collection of their own by then, made beside the arrays. Full chunks are never touched;
the last one, where it is not full, is replaced by the same rows with new ones behind them. The manifest is written
last: until then readers see the rows that it commits, whatever lies behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import make_directory, read_json, write_bytes, write_json
from fmnist_dask.collection.joined import Fit
from fmnist_dask.collection.layout import APPEND, APPEND_PARTS, DIGESTS, EMBEDDING, MANIFEST, MISSING
from fmnist_dask.collection.packing import gathered
from fmnist_dask.collection.parts import PartReport, added, embedding_hashes
from fmnist_dask.collection.place import open_group, place_of, remove_tree
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine_rows, write_quarantine
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.store import Collection, configure_zarr
from fmnist_dask.collection.writer import consolidate, content_text, fingerprint_of
from fmnist_dask.errors import CollectionError, RunError
from fmnist_dask.kernels.hashing import PANEL_ROWS, content_sum, panel_digests
from fmnist_dask.typing import AnyArray, IntArray

STAGED = "staged.zarr"
LEFT_OUT = "left-out.json"


@dataclass(frozen=True)
class AppendPlan:
    """Rows on their way into a collection. Sent to the workers.

    Attributes
    ----------
    collection
        As it is committed now.
    staged
        The rows to be appended.
    fit
        What their labels and splits mean here.
    left_out : int64 array
        Rows of ``staged`` that stay out, ascending: copies.
    """

    collection: Collection
    staged: Collection
    fit: Fit
    left_out: IntArray

    @property
    def n(self) -> int:
        """Rows afterwards."""
        return self.collection.n + self.staged.n - len(self.left_out)

    @property
    def chunks(self) -> range:
        """Chunks that are written: the last one, where it is not full, and new ones."""
        size, before = self.collection.chunk_rows, self.collection.n
        return range(before // size, -(-self.n // size)) if self.n > before else range(0)

    @property
    def task_bytes(self) -> int:
        """Memory of attaching a chunk: it, one that its rows come from, and zarr's copies."""
        rows = self.collection.chunk_rows + self.staged.chunk_rows
        return int(2.7 * rows * self.collection.image_bytes)

    def report_file(self, chunk: int) -> Path:
        """The file that says a chunk is written."""
        return place_of(self.collection.path, APPEND_PARTS, f"{chunk:08d}.json")

    def rows_in(self, chunk: int) -> int:
        """New rows of a chunk."""
        size = self.collection.chunk_rows
        return min((chunk + 1) * size, self.n) - max(chunk * size, self.collection.n)


def staging_place(collection: Collection) -> Path:
    """Where the rows to be appended are made."""
    return place_of(collection.path, APPEND_PARTS, STAGED)


def begin_append(collection: Collection, source: Source) -> None:
    """Go on with what an earlier append of the same source has left, or take it away."""
    root = place_of(collection.path)
    identity = {
        "source": source.provenance(),
        "base": [collection.fingerprint, collection.generation],
        "drop_duplicates": source.drop_duplicates,
    }
    if read_json(root / APPEND) != identity:
        remove_tree(root / APPEND_PARTS)
        make_directory(root / APPEND_PARTS)
        write_json(root / APPEND, identity)


def settled_copies(collection: Collection) -> IntArray | None:
    """Rows to leave out as an earlier append of the same source has found them."""
    found = read_json(place_of(collection.path, APPEND_PARTS, LEFT_OUT))
    return None if found is None else np.array(found, dtype=np.int64)


def settle_copies(collection: Collection, rows: IntArray) -> None:
    """Settle which rows are left out."""
    write_json(place_of(collection.path, APPEND_PARTS, LEFT_OUT), rows.tolist())


def open_arrays(plan: AppendPlan) -> list[int]:
    """Make the arrays long enough; the chunks that are not attached yet."""
    configure_zarr()
    group: Any = open_group(plan.collection.path, "r+")
    staged: Any = open_group(plan.staged.path, "r")
    if MISSING in staged and MISSING not in group:
        _nothing_missing_so_far(group, staged[MISSING], plan.collection)
    for _, array in group.arrays():
        if array.shape[0] != plan.n:
            # Chunks beyond are those of an append that was given up.
            array.resize((plan.n, *array.shape[1:]))
    return [chunk for chunk in plan.chunks if not plan.report_file(chunk).exists()]


def _nothing_missing_so_far(group: Any, like: Any, collection: Collection) -> None:
    """Add the array of missing pixels; none of the rows before has any."""
    array = group.create_array(
        MISSING,
        shape=(collection.n, *like.shape[1:]),
        chunks=(collection.chunk_rows, *like.shape[1:]),
        dtype=bool,
        compressors=like.compressors,
        dimension_names=like.metadata.dimension_names,
        attributes=dict(like.attrs),
        fill_value=False,
        config={"write_empty_chunks": True},
    )
    for start in range(0, collection.n, collection.chunk_rows):
        array[start : min(start + collection.chunk_rows, collection.n)] = False


def attach_chunk(plan: AppendPlan, chunk: int) -> int:
    """Write one chunk of all arrays, on a worker; the new rows in it. Doing it twice does no harm."""
    configure_zarr()
    group: Any = open_group(plan.collection.path, "r+")
    staged: Any = open_group(plan.staged.path, "r")
    size, before = plan.collection.chunk_rows, plan.collection.n
    start, stop = chunk * size, min((chunk + 1) * size, plan.n)
    rows = _staged_rows(plan, max(start, before) - before, stop - before)
    kept: dict[str, AnyArray] = {}
    try:
        for name, array in group.arrays():
            new = _new_values(plan, name, array, staged, rows)
            old = array[start:before] if start < before else new[:0]
            values = np.concatenate([np.asarray(old).astype(new.dtype, copy=False), new]) if start < before else new
            array[start:stop] = values
            if name in ("content_hash", "label", "split", MISSING, EMBEDDING):
                kept[name] = values
            del values, old, new
    except OSError as error:
        raise RunError(
            f"cannot write the collection {plan.collection.path}: {error.strerror or error}",
            "free some space; the same command goes on where it stopped",
        ) from error
    hashed = (kept["content_hash"], kept["label"], kept["split"], *embedding_hashes(kept))
    report = PartReport(digests=panel_digests(start, *hashed))
    fresh = {name: values[max(before - start, 0) :] for name, values in kept.items()}
    report.content = content_sum(fresh["content_hash"], fresh["label"], fresh["split"])
    report.missing = int(fresh[MISSING].sum()) if MISSING in fresh else 0
    report.write(plan.report_file(chunk))
    return len(rows)


def _staged_rows(plan: AppendPlan, start: int, stop: int) -> IntArray:
    """Rows of the staged collection that become new rows ``start`` to ``stop``."""
    kept = np.arange(start, stop, dtype=np.int64)
    edges = plan.left_out - np.arange(len(plan.left_out))
    return kept + np.searchsorted(edges, kept, side="right")


def _new_values(plan: AppendPlan, name: str, array: Any, staged: Any, rows: IntArray) -> AnyArray:
    if name not in staged:  # nothing is missing there
        return np.zeros((len(rows), *array.shape[1:]), dtype=array.dtype)
    values = plan.fit.translated(name, gathered(staged[name], rows, plan.staged.chunk_rows))
    if name != "source_name" or array.dtype.kind == values.dtype.kind:
        return values
    if array.dtype.kind in "iu":
        return rows  # there is no place for names: the row number in what was appended
    return np.array([str(value) for value in values], dtype=object)


def commit_append(plan: AppendPlan, source: Source) -> Collection:
    """Write the manifest of the next generation; from here on the rows belong to the collection.

    Raises
    ------
    CollectionError
        Chunks are missing; files of the source have changed.
    """
    root, before = place_of(plan.collection.path), plan.collection
    if source.has_changed():
        raise CollectionError(
            f"the files of {source.location} have changed while they were appended", "run the same command again"
        )
    reports = PartReport.read_all(plan.report_file(chunk) for chunk in plan.chunks)
    if any(report is None for report in reports):
        raise CollectionError(f"{root} lacks chunks of what is appended", "run the same command again")
    written = [report for report in reports if report is not None]
    manifest = _next_manifest(plan, source, written)
    staged_quarantine = read_quarantine_rows(place_of(plan.staged.path, QUARANTINE))
    if staged_quarantine:
        # Of a commit that was cut off the table may have more rows than the manifest counts.
        listed = read_quarantine_rows(root / QUARANTINE)[: before.n_quarantined]
        write_quarantine(root / QUARANTINE, [*listed, *staged_quarantine])
    digests = _digests(root, before)
    if written:
        digests = digests[: 16 * (plan.chunks.start * before.chunk_rows // PANEL_ROWS)]
        digests += b"".join(digest for report in written for digest in report.digests)
    manifest["fingerprint"] = fingerprint_of(before.image_shape, before.class_names, manifest["splits"], digests)
    write_bytes(root / manifest["digests"], digests)
    group: Any = open_group(root, "r+")
    names = list(manifest["splits"])
    group["split"].attrs.update({"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)})
    consolidate(root, n_quarantined=manifest["n_quarantined"])
    write_json(root / MANIFEST, manifest)
    _clear(root, manifest["digests"])
    return Collection.open(root)


def _next_manifest(plan: AppendPlan, source: Source, reports: Sequence[PartReport]) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(place_of(plan.collection.path, MANIFEST))
    text = manifest["content"]
    content = (int(text[:16], 16), int(text[16:], 16))
    for report in reports:
        content = added(content, report.content)
    generation = plan.collection.generation + 1
    rows = _rows_by_split(plan)
    dropped = manifest["dropped_duplicates"]
    copies = _by_code(plan, plan.left_out)
    if dropped is not None or source.drop_duplicates:
        own = plan.staged.dropped_duplicates or {}
        dropped = {
            split: (dropped or {}).get(split, 0) + own.get(split, 0) + copies.get(split, 0) for split in plan.fit.splits
        }
    return {
        **manifest,
        "n": plan.n,
        "generation": generation,
        "digests": DIGESTS.format(generation=generation),
        "content": content_text(content),
        "splits": rows,
        "n_quarantined": manifest["n_quarantined"] + plan.staged.n_quarantined,
        "dropped_duplicates": dropped,
        "missing_pixels": manifest["missing_pixels"] + sum(report.missing for report in reports),
        "appended": [*manifest.get("appended", []), {**source.provenance(), "n": plan.n - plan.collection.n}],
    }


def _by_code(plan: AppendPlan, rows: IntArray) -> dict[str, int]:
    """How many of some staged rows each split has, by the collection's names."""
    codes = plan.fit.translated("split", plan.staged.read("split", 0, plan.staged.n))[rows]
    return {split: int((codes == code).sum()) for code, split in enumerate(plan.fit.splits)}


def _rows_by_split(plan: AppendPlan) -> dict[str, int]:
    staged = _by_code(plan, np.arange(plan.staged.n))
    copies = _by_code(plan, plan.left_out)
    return {split: plan.collection.splits.get(split, 0) + staged[split] - copies[split] for split in plan.fit.splits}


def _digests(root: Path, collection: Collection) -> bytes:
    """Digests of all panels of a collection."""
    name = str(read_json(root / MANIFEST)["digests"])
    digests: bytes = (root / name).read_bytes()
    expected = 16 * -(-collection.n // PANEL_ROWS)
    if len(digests) != expected:
        raise CollectionError(
            f"{root / name} has {len(digests):,} bytes, not {expected:,}", "restore the file, or ingest again"
        )
    return digests


def _clear(root: Path, digests: str) -> None:
    """Take away what an append leaves."""
    (root / APPEND).unlink(missing_ok=True)
    remove_tree(root / APPEND_PARTS)
    for file in root.glob(DIGESTS.format(generation="*")):
        if file.name != digests:
            file.unlink(missing_ok=True)
