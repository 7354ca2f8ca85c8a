"""A folder of image files: ``split/class/file``, ``class/file`` or flat, or with a table of labels beside them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, take_options
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import MAX_ENCODED_BYTES, SUFFIXES
from fmnist_dask.collection.sources.encoded import EncodedSource, Item
from fmnist_dask.collection.sources.files import FETCHED, FileInfo, Files, many_objects, writable
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.collection.sources.labels import checked_names, class_names_option, label_table
from fmnist_dask.collection.sources.listing import Listing
from fmnist_dask.collection.sources.metadata import METADATA, read_labels
from fmnist_dask.collection.sources.splits import SPLIT_NAMES, in_order
from fmnist_dask.errors import SourceError

#: Files outside the layout of the others, as a share of all, that are taken for strays rather than for a layout.
STRAY_SHARE = 0.05
#: Files read at a time where they are remote.
READ_FILES = 256


class Folder(EncodedSource):
    """Image files below a directory, sorted by path. Labelled by the folder they lie in, by a table, or not at all.

    Splits are named by the first folder. A table ``metadata.csv``, ``.jsonl`` or ``.parquet`` with a column
    ``file_name`` (relative to its own folder) and one of labels goes before names of folders.
    """

    kind = "folder of images"

    def __init__(self, files: Files, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self.image = take_image_options("folder", rest)
        given = class_names_option(rest.pop("class_names")) if "class_names" in rest else ()
        taken = take_options("folder", rest, label_column=(str, ""))
        self.files_at = files
        self.location = files.root
        self.name = files.name
        self.description = f"Image files of the folder {files.root}."
        self.listing = Listing(files, _is_ours)
        found = self.listing.read()
        self.names = _digest(info.path for info in found)
        tables = [info for info in found if _is_table(info)]
        images = [info for info in found if not _is_table(info)] if tables else found
        if not images:
            raise SourceError(
                f"{files.root} holds no image files ({', '.join(sorted(SUFFIXES))})",
                "give a folder of images, or another source",
            )
        largest = min(max(info.size for info in images), MAX_ENCODED_BYTES)
        self.encoded = largest * (FETCHED if files.remote else 1)
        labels = read_labels(files, tables, taken["label_column"]) if tables else None
        with many_objects():
            self._arrange(images, labels, given)
        self._look()

    def _arrange(self, images: list[FileInfo], labels: dict[str, Any] | None, given: tuple[str, ...]) -> None:
        """Sort files, which come by path, into splits and classes, by a table or by the folders they lie in."""
        folders = [info.path.rpartition("/")[0] for info in images]
        # What is said of files in one folder is said once.
        parts = {folder: tuple(folder.split("/")) if folder else () for folder in dict.fromkeys(folders)}
        in_split = {folder: bool(part) and part[0].lower() in SPLIT_NAMES for folder, part in parts.items()}
        with_split = self._holds(images, folders, in_split, "a split")
        raw: list[Any]
        if labels is not None:
            raw = [labels.get(info.path) for info in images]
            labelled = True
        else:
            depth = 1 if with_split else 0
            class_of = {folder: part[depth] if len(part) > depth else None for folder, part in parts.items()}
            raw = [class_of[folder] for folder in folders]
            labelled = self._holds(images, folders, {at: name is not None for at, name in class_of.items()}, "a class")
        reasons: dict[int, str] = {}
        if labelled and labels is None and not given:
            # Folders bear names, whatever they look like: "0" to "9" in order, "00042" as it is.
            written = {folder: writable(str(folder)) for folder in set(raw)}
            names = sorted(written.values(), key=_natural)
            self.class_names = checked_names(tuple(names))
            index = {name: number for number, name in enumerate(names)}
            code = {folder: index[name] for folder, name in written.items()}
            codes = [code[folder] for folder in raw]
        elif labelled:
            codes, reasons = self._coded(raw, given)
        else:
            self.class_names, codes = (), [-1] * len(raw)
        split_of = {at: SPLIT_NAMES[part[0].lower()] if with_split else "all" for at, part in parts.items()}
        names_of_splits = in_order(list(split_of.values()))
        number = {folder: names_of_splits.index(split) for folder, split in split_of.items()}
        split = np.array([number[folder] for folder in folders])
        order = np.argsort(split, kind="stable")
        rows = order.tolist()
        self.paths = [images[row].path for row in rows]
        self.sizes = [images[row].size for row in rows]
        self.class_of = np.array(codes, dtype=np.int16)[order]
        self.reasons = {at: reasons[row] for at, row in enumerate(rows) if row in reasons} if reasons else {}
        counts = np.bincount(split, minlength=len(names_of_splits)).tolist()
        self.partitions = tuple(Partition(name, count) for name, count in zip(names_of_splits, counts, strict=True))

    def _coded(self, raw: list[Any], given: tuple[str, ...]) -> tuple[list[int], dict[int, str]]:
        """Class indices by a table of labels, and why some images have none."""
        table = label_table(raw, given)
        self.class_names = table.class_names
        codes, reasons = [], {}
        for row, label in enumerate(raw):
            try:
                codes.append(table.index(label))
            except UnreadableError as error:
                codes.append(-1)
                reasons[row] = str(error)
        return codes, reasons

    def _holds(self, images: list[FileInfo], folders: list[str], fits: dict[str, bool], what: str) -> bool:
        """Whether all files lie in a folder of the kind; a few strays among them are an error, not another layout."""
        if all(fits.values()):
            return True
        strays = [info.path for info, folder in zip(images, folders, strict=True) if not fits[folder]]
        if len(strays) <= STRAY_SHARE * len(images):
            shown = ", ".join(strays[:3]) + (", …" if len(strays) > 3 else "")
            raise SourceError(
                f"{len(strays):,} of {len(images):,} images of {self.location} lie outside a folder of {what}: {shown}",
                "move them into one, or away",
            )
        return False

    def items(self, partition: int, start: int, stop: int) -> Iterator[Item]:
        """Read files; see :meth:`EncodedSource.items`."""
        offset = sum(part.rows for part in self.partitions[:partition])
        for low in range(offset + start, offset + stop, READ_FILES):
            yield from self._read(range(low, min(offset + stop, low + READ_FILES)))

    def _read(self, rows: range | list[int]) -> Iterator[Item]:
        contents = self.files_at.read((self.paths[row] for row in rows), (self.sizes[row] for row in rows))
        for row, content in zip(rows, contents, strict=True):
            label, reason = int(self.class_of[row]), self.reasons.get(row, "")
            if reason or isinstance(content, UnreadableError):
                yield Item(self.paths[row], None, label, reason or str(content))
            else:
                yield Item(self.paths[row], content, label)

    def sample(self, count: int) -> Iterator[Item]:
        """Evenly spread files; see :meth:`EncodedSource.sample`."""
        picked = np.unique(np.linspace(0, len(self.paths) - 1, min(count, len(self.paths))).astype(int))
        return self._read(picked.tolist())

    def has_changed(self) -> bool:
        """Whether there are other files than when the source was opened.

        Of local directories only the names are compared, of those that have changed at all. Files that were written
        over since have other times, by which they are found when the collection is next used as this source's.
        """
        if self.files_at.remote or self.embedding is not None:
            return super().has_changed()
        if self.listing.has_same_names():
            return False
        names = [name for name in self.files_at.names() if _is_ours(FileInfo(name, -1, ""))]
        return _digest(names) != self.names

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of all files: their content would take too long to read."""
        return {
            "files": self.listing.digest(),
            "directory": self.files_at.root,
            "classes": self.class_names,
            **self.image_identity(),
        }


def _digest(names: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(names).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _is_image(info: FileInfo) -> bool:
    return _has_suffix(info.path.rpartition(".")[2])


@functools.lru_cache(1024)
def _has_suffix(suffix: str) -> bool:
    return "." + suffix.lower() in SUFFIXES


def _is_table(info: FileInfo) -> bool:
    return info.path.rpartition("/")[2].lower() in METADATA


def _is_ours(info: FileInfo) -> bool:
    return _is_image(info) or _is_table(info)


def _natural(name: str) -> tuple[int, int, str]:
    """Numbers in their order, before words."""
    return (0, int(name), name) if name.isdecimal() and len(name) < 10 else (1, 0, name)
