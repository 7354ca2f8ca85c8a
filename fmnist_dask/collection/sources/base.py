"""What a source is: partitions of rows that can be read in order."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.layout import CHUNK_BYTES
from fmnist_dask.collection.sources.described import Described
from fmnist_dask.errors import UsageError, nearest
from fmnist_dask.typing import AnyArray, UInt8Array

if TYPE_CHECKING:
    from fmnist_dask.collection.sources.embeddings import Embedding


@dataclass(frozen=True)
class Partition:
    """Rows of one split that are read together.

    Attributes
    ----------
    split
        Name of the split all rows belong to.
    rows
        Number of rows.
    seekable
        Whether any row can be reached without reading those before it. A compressed stream is not seekable: it is
        read by one task from its beginning.
    """

    split: str
    rows: int
    seekable: bool = True


@dataclass
class Rows:
    """A batch of consecutive rows, as a source yields them.

    Attributes
    ----------
    image : uint8 array, shape (m, y, x) or (m, y, x, channel)
    label : int16 array, shape (m,), or None where nothing is labelled
    source_name : array, shape (m,)
        File name (str) or row number (int64) of each row in its source.
    extra
        Further per-row arrays, as declared by :attr:`Source.extra_arrays`.
    size : int32 array, shape (m, 2), or None
        Original height and width of each image, where they may differ from those of ``image``.
    missing : bool array, shape (m, y, x), or None
        Pixels whose value is not known; only of sources that :attr:`Source.may_miss` some.
    rejected
        Position in the batch → why this row could not be read. It is left out of the collection.
    """

    image: UInt8Array
    label: AnyArray | None
    source_name: AnyArray
    extra: dict[str, AnyArray] = field(default_factory=dict)
    size: AnyArray | None = None
    missing: AnyArray | None = None
    rejected: dict[int, str] = field(default_factory=dict)


class Source(Described):
    """Raw images, as ingest reads them: list the partitions, read partition i.

    A source is small and picklable; workers call :meth:`read`.

    Attributes
    ----------
    image_shape
        (y, x) or (y, x, channel).
    class_names
        Names of the classes; empty where nothing is labelled.
    partitions
        In row order; partitions of one split stand together.
    extra_arrays
        Further arrays with one value a row: name → (dtype, attributes).
    costly
        Whether rows take long to read, so that workers should share them evenly.
    chunk_bytes
        Pixels of one chunk of the collection to be made.
    may_miss
        Whether pixels may be missing.
    unreadable
        Whole files that cannot be read: name → reason.
    drop_duplicates
        Whether, of rows with equal pixels and label, the first of each split is kept alone.
    embedding
        A vector for each row, where users gave some; see the module ``embeddings``.
    named_rows
        Whether ``source_name`` holds strings rather than row numbers.
    """

    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    partitions: tuple[Partition, ...]
    extra_arrays: Mapping[str, tuple[Any, dict[str, Any]]] = MappingProxyType({})
    named_rows: bool = False
    costly: bool = False
    chunk_bytes: int = CHUNK_BYTES
    may_miss: bool = False
    unreadable: Mapping[str, str] = MappingProxyType({})
    drop_duplicates: bool = False
    embedding: Embedding | None = None

    @abstractmethod
    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Yield rows ``start`` to ``stop`` of a partition in order, at most ``batch_rows`` at a time."""

    def read_bytes(self) -> int:
        """Memory that :meth:`read` needs beyond the batch that it yields."""
        return 0

    def first_in_split(self, partition: int) -> int:
        """How many rows of its split come before a partition."""
        split = self.partitions[partition].split
        return sum(part.rows for part in self.partitions[:partition] if part.split == split)

    @property
    def n(self) -> int:
        """Number of rows."""
        return sum(partition.rows for partition in self.partitions)

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split, in order of first appearance."""
        counts: dict[str, int] = {}
        for partition in self.partitions:
            counts[partition.split] = counts.get(partition.split, 0) + partition.rows
        return counts

    def identity_beside(self) -> dict[str, Any]:
        """Kind, name and chunks, and what users have asked for."""
        found: dict[str, Any] = {"kind": self.kind, "name": self.name, "chunk_bytes": self.chunk_bytes}
        if self.drop_duplicates:
            found["drop_duplicates"] = True
        if self.embedding is not None:
            found["embedding"] = self.embedding.identity()
        return found


#: Bytes at the beginning and at the end of a file that its identity looks at.
IDENTITY_BYTES = 64 * 2**10


def file_identity(paths: list[Path]) -> list[list[Any]]:
    """Name, size, modification time (ns), and a hash of the first and last 64 KiB of files.

    Cheap for files of any size. Times alone would not do: archives often set them all alike.
    """
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns, _ends_digest(path)] for path in paths]


def _ends_digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        digest.update(file.read(IDENTITY_BYTES))
        size = file.seek(0, 2)
        file.seek(max(0, size - IDENTITY_BYTES))
        digest.update(file.read())
    return digest.hexdigest()


def take_options(kind: str, options: dict[str, Any], **known: tuple[type, Any]) -> dict[str, Any]:
    """Check source options against their types and defaults.

    Parameters
    ----------
    known
        Name → (type, default).

    Raises
    ------
    UsageError
        An unknown option or a value of the wrong type.
    """
    unknown = [key for key in options if key not in known]
    if unknown:
        raise UsageError(f'the source {kind} has no option "{unknown[0]}"', nearest(unknown[0], known))
    taken = {key: default for key, (_, default) in known.items()}
    for key, value in options.items():
        wanted = known[key][0]
        try:
            if isinstance(value, bool) or (wanted is int and float(value) != int(float(value))):
                raise ValueError
            taken[key] = int(float(value)) if wanted is int else wanted(value)
        except (TypeError, ValueError, OverflowError):
            kind_of_value = "whole number" if wanted is int else wanted.__name__
            raise UsageError(
                f"source option {key}={value!r} is no {kind_of_value}", f"the default is {known[key][1]}"
            ) from None
    return taken
