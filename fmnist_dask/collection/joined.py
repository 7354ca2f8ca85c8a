"""Rows of a collection and rows that are about to be appended to it, seen as one collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError
from fmnist_dask.typing import AnyArray, IntArray


@dataclass(frozen=True)
class Fit:
    """What labels and splits of rows to be appended are in the collection.

    Attributes
    ----------
    labels : tuple of int
        Class index here of each class there; first of "unknown".
    codes : tuple of int
        Split code here of each split there.
    splits
        Names of the splits afterwards.
    """

    labels: tuple[int, ...]
    codes: tuple[int, ...]
    splits: tuple[str, ...]

    def translated(self, name: str, values: AnyArray) -> AnyArray:
        """Values of an array, in terms of the collection."""
        if name == "label":
            return np.array(self.labels, dtype=np.int16)[values.astype(np.int64) + 1]
        if name == "split":
            return np.array(self.codes, dtype=np.int8)[values]
        return values


@dataclass(frozen=True)
class Joined:
    """A collection with others' rows after its own.

    Attributes
    ----------
    first, second
        Whose rows come first and then.
    fit
        What labels and splits of ``second`` mean.
    """

    first: Collection
    second: Collection
    fit: Fit

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.first.n + self.second.n

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel)."""
        return self.first.image_shape

    @property
    def chunk_rows(self) -> int:
        """Samples read together."""
        return self.first.chunk_rows

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.first.class_names

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""
        rows = dict.fromkeys(self.fit.splits, 0) | self.first.splits
        for code, count in zip(self.fit.codes, self.second.splits.values(), strict=True):
            rows[self.fit.splits[code]] += count
        return rows

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.first.image_bytes

    @property
    def n_features(self) -> int:
        """Pixel values of one image."""
        return self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Features are pixels."""
        return "uint8"

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        rows: IntArray = np.arange(start, stop, dtype=np.int64)
        return Block(rows, lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        edge = self.first.n
        parts = []
        if start < edge:
            parts.append(self.first.read(name, start, min(stop, edge)))
        if stop > edge:
            later = self.second.read(name, max(start - edge, 0), stop - edge)
            parts.append(self.fit.translated(name, later))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def fit_of(collection: Collection, source: Source) -> Fit:
    """Whether a source's rows belong into a collection, and what their labels and splits mean there.

    Raises
    ------
    CollectionError
        Images of another shape, classes that the collection does not have, other arrays.
    """
    remedy = "bring them to it with source options (size, fit, mode), or ingest into a collection of its own"
    if source.image_shape != collection.image_shape:
        raise CollectionError(
            f"{source.name} has images of {_shape(source.image_shape)}, {collection.path} of "
            f"{_shape(collection.image_shape)}",
            remedy,
        )
    if set(source.extra_arrays) != set(collection.extra_arrays):
        raise CollectionError(
            f"{source.name} has the arrays {_listed(source.extra_arrays)} beside its images, "
            f"{collection.path} {_listed(collection.extra_arrays)}",
            "append a source of the same kind, or ingest into a collection of its own",
        )
    width = 0 if source.embedding is None else source.embedding.width
    if width != collection.embedding_width:
        raise CollectionError(
            f"{source.name} has {_vectors(width)} for its images, {collection.path} has "
            f"{_vectors(collection.embedding_width)}",
            "give vectors of the same model with the source option embedding, or ingest into a collection of its own",
        )
    names = list(collection.splits)
    names += [split for split in source.splits if split not in names]
    return Fit(
        labels=(-1, *_classes(collection, source)),
        codes=tuple(names.index(split) for split in source.splits),
        splits=tuple(names),
    )


def _classes(collection: Collection, source: Source) -> list[int]:
    """Index in the collection of each class of a source."""
    here = list(collection.class_names)
    unknown = [name for name in source.class_names if name not in here]
    if not unknown:
        return [here.index(name) for name in source.class_names]
    if source.class_names == tuple(map(str, range(len(source.class_names)))) and len(source.class_names) <= len(here):
        return list(range(len(source.class_names)))  # bare numbers are indices
    raise CollectionError(
        f"{source.name} has the class {unknown[0]!r}, which {collection.path} does not have: its classes are "
        f"{_listed(here)}",
        "name its classes with the source option class_names, or ingest into a collection of its own",
    )


def _vectors(width: int) -> str:
    return f"vectors of {width:,} values" if width else "no vectors"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _listed(names: Any) -> str:
    shown = list(names)
    return (", ".join(shown[:12]) + (", …" if len(shown) > 12 else "")) or "none"
