"""WebDataset shards: tar files in which the files of one sample share a name and follow each other."""

from __future__ import annotations

import collections
import contextlib
import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, take_options
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import MAX_ENCODED_BYTES, SUFFIXES
from fmnist_dask.collection.sources.encoded import EncodedSource, Item
from fmnist_dask.collection.sources.files import FileInfo, Files, writable
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.collection.sources.labels import LabelTable, class_names_option, count, plain_text, table_of_counts
from fmnist_dask.collection.sources.listing import Listing, opened
from fmnist_dask.collection.sources.metadata import label_column
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.typing import AnyArray

TARS = (".tar", ".tar.gz", ".tgz")
#: Samples whose places in a shard are remembered together.
INDEXED_SAMPLES = 256
LABEL_SUFFIXES = ("cls", "json", "txt")
#: Largest label or JSON file of a sample.
MOST_LABEL_BYTES = 1 << 20
#: Headers that tar reads as a whole before it goes on: long names and extended headers.
WHOLE = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class _Member(tarfile.TarInfo):
    """A header that is judged before it is believed."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Member:
        """A header from its block; in the middle of a shard, tar would take a damaged one for the end."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged header: {error}") from error
        if member.size < 0 or (member.type in WHOLE and member.size > MOST_LABEL_BYTES):
            raise tarfile.ReadError(f"a header of {member.size:,} bytes; the limit is {MOST_LABEL_BYTES:,}")
        return member


@dataclass
class _Sample:
    """The files of one sample that matter."""

    key: str
    offset: int
    image: tarfile.TarInfo | None = None
    label: str = ""
    data: bytes | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Shard:
    """One tar file: its samples, and where every 256th of them begins (empty for compressed ones)."""

    path: str
    samples: int
    offsets: AnyArray
    reason: str


class WebDataset(EncodedSource):
    """Tar shards of ``key.png`` (or another image) beside ``key.cls``, ``key.json`` or ``key.txt`` with the label.

    Nothing is extracted to disk: names in shards are names, wherever they point.
    """

    kind = "WebDataset shards"

    def __init__(self, files: Files, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self.image = take_image_options("WebDataset", rest)
        given = class_names_option(rest.pop("class_names")) if "class_names" in rest else ()
        self.label_key = take_options("WebDataset", rest, label_column=(str, ""))["label_column"]
        self.files_at = files
        self.location = files.root
        self.name = files.name.partition(".")[0]
        self.listing = Listing(files, _is_ours)
        found = self.listing.read()
        self.description = f"Samples in {len(found):,} tar shards of {files.root}."
        self._scan_all(found, given)
        self._look()

    def _scan_all(self, found: list[FileInfo], given: tuple[str, ...]) -> None:
        """Count samples and labels of all shards."""
        counts: collections.Counter[str] = collections.Counter()
        known, unreadable = opened(found, self.name, "tar shard", lambda path: self._scan(path, counts))
        self.shards = [shard for _, shard in known]
        self.partitions = tuple(Partition(split, shard.samples, len(shard.offsets) > 0) for split, shard in known)
        broken = [shard for shard in self.shards if shard.reason]
        self.unreadable = unreadable | {
            writable(shard.path or self.name): f"from sample {shard.samples:,} on: {shard.reason}"[:200]
            for shard in broken
        }
        labelled = any(text for text in counts)
        self.table: LabelTable | None = table_of_counts(counts, given) if labelled else None
        self.class_names = self.table.class_names if self.table is not None else ()

    def _scan(self, path: str, counts: collections.Counter[str]) -> _Shard | None:
        samples, offsets, reason = 0, [], ""
        try:
            for sample in self._samples(path, 0, pixels=False):
                if samples % INDEXED_SAMPLES == 0:
                    offsets.append(sample.offset)
                count(counts, sample.label)
                samples += 1
                if sample.image is not None and not sample.reason:
                    self.encoded = max(self.encoded, sample.image.size)
        except UnreadableError as error:
            if not samples:
                raise
            reason = str(error)
        index = np.array([] if self._packed(path) else offsets, dtype=np.int64)
        return _Shard(path, samples, index, reason) if samples else None

    def _packed(self, path: str) -> bool:
        return (path or self.location).lower().endswith(("gz", "tgz"))

    @contextlib.contextmanager
    def _tar(self, path: str, offset: int) -> Iterator[tarfile.TarFile]:
        packed = self._packed(path)
        with self.files_at.open(path) as raw:
            raw.seek(offset)
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            try:
                # Of what comes through a pipe nothing is sought, of a plain file members are skipped.
                mode: Any = "r|" if packed else "r:"
                with tarfile.open(fileobj=stream, mode=mode, tarinfo=_Member) as tar:
                    yield tar
                if packed:
                    while stream.read(1 << 20):
                        pass  # the checksum of gzip comes last
            except FmnistDaskError:
                raise  # some of ours are values' errors, too
            except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
                raise UnreadableError(f"no whole tar file: {str(error)[:120]}") from error

    def _samples(self, path: str, offset: int, pixels: bool) -> Iterator[_Sample]:
        """Samples from an offset on: consecutive files whose names are the same up to the first dot."""
        current: _Sample | None = None
        with self._tar(path, offset) as tar:
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined] # or all of them would be kept
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if not stem:
                    continue  # hidden
                key = f"{folder}/{stem}" if folder else stem
                if current is None or key != current.key:
                    if current is not None and current.image is not None:
                        yield current
                    current = _Sample(key, member.offset)
                self._take(tar, member, suffix.lower(), current, pixels)
            if current is not None and current.image is not None:
                yield current

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str, sample: _Sample, pixels: bool) -> None:
        if f".{suffix}" in SUFFIXES and sample.image is None:
            sample.image = member
            if member.size > MAX_ENCODED_BYTES:
                sample.reason = f"more than {MAX_ENCODED_BYTES:,} bytes"
            elif member.issparse():
                sample.reason = "a sparse file"
            elif pixels:
                sample.data = self._bytes(tar, member)
        elif suffix in LABEL_SUFFIXES and self._is_small(member) and (not sample.label or suffix == "cls"):
            sample.label = self._label(suffix, self._bytes(tar, member)) or sample.label

    def _is_small(self, member: tarfile.TarInfo) -> bool:
        return member.size <= MOST_LABEL_BYTES and not member.issparse()

    def _bytes(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        file = tar.extractfile(member)
        data = file.read() if file is not None else b""
        if len(data) < member.size:
            raise UnreadableError(f"the file ends inside {writable(member.name)}")
        return data

    def _label(self, suffix: str, data: bytes) -> str:
        """The label in a file of a sample, as text; empty if there is none."""
        text = data.decode("utf-8", "replace").strip()
        if suffix == "json":
            try:
                fields = json.loads(text)
            except (ValueError, RecursionError):
                return ""
            if not isinstance(fields, dict):
                return ""
            name = self.label_key or label_column([str(key) for key in fields])
            value = fields.get(name) if name is not None else None
            return "" if value is None or isinstance(value, (dict, list)) else plain_text(value)
        if suffix == "txt" and ("\n" in text or len(text) > 60):
            return ""  # a caption
        return plain_text(text)

    def items(self, partition: int, start: int, stop: int) -> Iterator[Item]:
        """Samples of a shard; see :meth:`EncodedSource.items`. From where it cannot be read, all have that reason."""
        shard = self.shards[partition]
        at = start // INDEXED_SAMPLES * INDEXED_SAMPLES if len(shard.offsets) else 0
        offset = int(shard.offsets[start // INDEXED_SAMPLES]) if len(shard.offsets) else 0
        done = start
        try:
            for sample in self._samples(shard.path, offset, pixels=True):
                if done >= stop:
                    return
                if at >= start:
                    yield self._item(shard, sample)
                    done += 1
                at += 1
        except (UnreadableError, OSError) as error:
            yield from (Item(f"{shard.path}:{row}", None, -1, str(error)) for row in range(done, stop))
            return
        yield from (Item(f"{shard.path}:{row}", None, -1, "the shard has changed") for row in range(done, stop))

    def _item(self, shard: _Shard, sample: _Sample) -> Item:
        name = f"{shard.path}/{sample.key}" if shard.path else sample.key
        label, reason = -1, sample.reason
        try:
            label = -1 if self.table is None else self.table.index(sample.label)
        except UnreadableError as error:
            reason = reason or str(error)
        if not reason and not sample.data:
            reason = "the file is empty"
        return Item(name, None if reason else sample.data, label, reason)

    def sample(self, count: int) -> Iterator[Item]:
        """The first samples of evenly spread runs; see :meth:`EncodedSource.sample`."""
        runs = [
            (at, run * INDEXED_SAMPLES)
            for at, shard in enumerate(self.shards)
            for run in range(max(len(shard.offsets), 1))
        ]
        picked = np.unique(np.linspace(0, len(runs) - 1, min(16, len(runs))).astype(int))
        each = -(-count // len(picked))
        for run in picked.tolist():
            shard, start = runs[run]
            yield from self.items(shard, start, min(start + each, self.shards[shard].samples))

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the shards."""
        return {
            "files": self.listing.digest(),
            "directory": self.files_at.root,
            "classes": self.class_names,
            "label_column": self.label_key,
            **self.image_identity(),
        }


def _is_ours(info: FileInfo) -> bool:
    return not info.path or info.path.lower().endswith(TARS)
