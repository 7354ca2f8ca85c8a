"""A folder of image files of one size: ``split/class/file``, ``class/file`` or flat."""

from __future__ import annotations

import collections
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, Source, take_options
from fmnist_dask.errors import SourceError
from fmnist_dask.typing import UInt8Array

SUFFIXES = {".png", ".jpg", ".jpeg"}
#: What folders of splits are called, in any case of letters, and the split's name.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}
#: Files outside the layout of the others, as a share of all, that are taken for strays rather than for a layout.
STRAY_SHARE = 0.05
#: Headers looked at before ingest begins, evenly spread, to find the image size and to fail early on a mixture.
PROBED = 256
#: EXIF's tag of the orientation.
ORIENTATION = 0x0112
#: Largest image, in pixels; more is taken for a decompression bomb.
MAX_PIXELS = 1 << 26


class Folder(Source):
    """Image files below a directory, sorted by path. Labelled by the folder they lie in, or not at all.

    Grey images stay grey; a colour image anywhere among those probed makes the collection RGB.
    """

    kind = "folder of images"
    named_rows = True

    def __init__(self, directory: Path, options: dict[str, Any] | None = None) -> None:
        take_options("folder", options or {})
        self.directory = directory.resolve()
        self.location = str(directory)
        self.name = self.directory.name or "folder"
        self.description = f"Image files of the folder {directory}."
        files = list_images(self.directory)
        if not files:
            raise SourceError(f"{directory} holds no PNG or JPEG file", "give a folder of images, or another source")
        self._arrange(files)
        self._probe()

    def _arrange(self, files: list[str]) -> None:
        """Sort files into splits and classes by the folders they lie in."""
        parts = [Path(file).parts[:-1] for file in files]
        with_split = self._holds(files, [bool(part) and part[0].lower() in SPLIT_NAMES for part in parts], "a split")
        depth = 1 if with_split else 0
        folders = [part[depth] if len(part) > depth else None for part in parts]
        labelled = self._holds(files, [folder is not None for folder in folders], "a class")
        self.class_names = tuple(sorted({folder for folder in folders if folder is not None})) if labelled else ()
        splits = [SPLIT_NAMES[part[0].lower()] if with_split else "all" for part in parts]
        names = sorted(set(splits), key=lambda name: (name != "train", name))
        rows = sorted(range(len(files)), key=lambda row: (names.index(splits[row]), files[row]))
        self.files = [files[row] for row in rows]
        index = {name: number for number, name in enumerate(self.class_names)}
        self.class_of = np.array([index.get(folders[row] or "", -1) for row in rows], dtype=np.int16)
        counts = collections.Counter(splits)
        self.partitions = tuple(Partition(name, counts[name]) for name in names)

    def _holds(self, files: list[str], fits: list[bool], what: str) -> bool:
        """Whether all files lie in a folder of the kind; a few strays among them are an error, not another layout."""
        strays = [file for file, fit in zip(files, fits, strict=True) if not fit]
        if strays and len(strays) <= STRAY_SHARE * len(files):
            shown = ", ".join(strays[:3]) + (", …" if len(strays) > 3 else "")
            raise SourceError(
                f"{len(strays):,} of {len(files):,} images of {self.directory} lie outside a folder of {what}: {shown}",
                "move them into one, or away",
            )
        return not strays

    def _probe(self) -> None:
        picked = np.unique(np.linspace(0, len(self.files) - 1, min(PROBED, len(self.files))).astype(int))
        seen = [self._header(self.files[row]) for row in picked]
        self.colour = any(colour for _, colour in seen)
        height, width = seen[0][0]
        self.image_shape = (height, width, 3) if self.colour else (height, width)
        if len({size for size, _ in seen}) > 1:
            raise self._mixed_sizes()

    def _header(self, file: str) -> tuple[tuple[int, int], bool]:
        """((height, width), whether in colour), from the header alone."""
        from PIL import Image, UnidentifiedImageError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(self.directory / file) as image:
                    if image.width * image.height > MAX_PIXELS:
                        raise SourceError(
                            f"{self.directory / file} has {image.width} × {image.height} pixels; the limit is "
                            f"{MAX_PIXELS:,}",
                            "remove the file, or scale it down",
                        )
                    # Orientations 5 to 8 lie on their side (EXIF); decoding turns them upright.
                    turned = image.getexif().get(ORIENTATION, 1) >= 5
                    size = (image.width, image.height) if turned else (image.height, image.width)
                    return size, image.mode not in ("1", "L", "LA", "I", "I;16", "F")
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise SourceError(
                f"cannot read {self.directory / file} as an image: {error}", "remove or replace the file"
            ) from error

    def _mixed_sizes(self) -> SourceError:
        sizes = collections.Counter(self._header(file)[0] for file in self.files[:20_000])
        shown = ", ".join(f"{height}×{width}: {count:,}" for (height, width), count in sizes.most_common(6))
        more = f", and {len(sizes) - 6} more sizes" if len(sizes) > 6 else ""
        return SourceError(
            f"the images of {self.directory} are not of one size (height × width: files): {shown}{more}",
            "bring them to one size, or give a folder that holds one size only",
        )

    def identity(self) -> dict[str, Any]:
        """The directory, and names, sizes and times of all files: their content would take too long to read."""
        import hashlib

        digest = hashlib.blake2b(digest_size=16)
        for file in self.files:
            status = (self.directory / file).stat()
            digest.update(repr((file, status.st_size, status.st_mtime_ns)).encode())
        return {"files": digest.hexdigest(), "directory": str(self.directory)}

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Decode files; see :meth:`Source.read`."""
        offset = sum(part.rows for part in self.partitions[:partition])
        for at in range(offset + start, offset + stop, batch_rows):
            end = min(offset + stop, at + batch_rows)
            image = np.empty((end - at, *self.image_shape), dtype=np.uint8)
            for row in range(at, end):
                image[row - at] = self._decode(self.files[row])
            label = self.class_of[at:end] if self.class_names else None
            yield Rows(image, label, np.array(self.files[at:end], dtype=object))

    def _decode(self, file: str) -> UInt8Array:
        from PIL import Image, ImageOps

        size, colour = self._header(file)
        if size != self.image_shape[:2]:
            raise self._mixed_sizes()
        if colour and not self.colour:
            raise SourceError(
                f"{self.directory / file} is in colour, the images looked at first are grey",
                "convert it to grey, or one of the first files to colour",
            )
        try:
            with Image.open(self.directory / file) as opened:
                image: Image.Image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I"):
                    # 16 bits a pixel: Pillow's own conversion would cut off at 255.
                    image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
                return np.asarray(image.convert("RGB" if self.colour else "L"), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise SourceError(
                f"cannot decode {self.directory / file}: {error}", "remove or replace the file"
            ) from error


def list_images(directory: Path) -> list[str]:
    """Relative paths of PNG and JPEG files, sorted; hidden files and folders are left out."""
    found = []
    for root, folders, names in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        base = os.path.relpath(root, directory)
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                found.append(name if base == "." else os.path.join(base, name))
    return sorted(found)
