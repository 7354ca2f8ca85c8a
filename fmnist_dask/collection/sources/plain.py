"""Sources of plain pixel values (CSV, NPY, NPZ): what they have in common."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from fmnist_dask.collection.planning import batch_rows
from fmnist_dask.collection.sources.base import Rows, Source
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.image_options import parse_size
from fmnist_dask.collection.sources.labels import LabelTable, class_names_option
from fmnist_dask.collection.sources.listing import Listing
from fmnist_dask.collection.sources.pixels import PixelOptions, as_pixels, take_pixel_options
from fmnist_dask.errors import SourceError, UsageError
from fmnist_dask.typing import AnyArray


class PlainSource(Source):
    """Rows of numbers become images, raw labels class indices; rows that are neither are quarantined.

    Attributes
    ----------
    pixels
        What users say about values.
    table
        What labels mean; ``None`` where nothing is labelled.
    size
        Height and width of the images, where users say so.
    """

    pixels: PixelOptions
    table: LabelTable | None = None
    size: tuple[int, int] | None
    given: tuple[str, ...]
    files_at: Files
    listing: Listing

    def _take(self, options: dict[str, Any]) -> None:
        """Take the options that all of these have."""
        self.pixels = take_pixel_options(self.kind, options)
        self.given = class_names_option(options.pop("class_names")) if "class_names" in options else ()
        text = options.pop("size", "")
        try:
            self.size = parse_size(text) if text else None
        except (TypeError, ValueError):
            raise UsageError(
                f"source option size={text!r} of {self.kind} is no size from 1x1 to 16384x16384",
                "give height x width in pixels, for instance size=28x28",
            ) from None

    def rows(self, values: AnyArray, raw: list[Any], reasons: dict[int, str], first: int, where: str) -> Rows:
        """A batch of rows.

        Parameters
        ----------
        values : array, shape (m, d)
        raw
            Labels; may be empty.
        reasons
            What is known to be wrong with some rows, by their position in the batch.
        first
            Number of the first row in its file.
        where
            Name of the file or array.
        """
        checked = as_pixels(values, self.pixels)
        reasons = {**checked.reasons, **reasons}
        label = None
        if self.table is not None:
            label = np.full(len(values), -1, dtype=np.int16)
            for at, text in enumerate(raw):
                try:
                    label[at] = self.table.index(text)
                except UnreadableError as error:
                    reasons.setdefault(at, str(error))
        image = checked.pixels.reshape(len(values), *self.image_shape)
        missing = checked.missing_as(self.image_shape)
        if reasons:
            image = image.copy()
            for at in sorted(reasons):
                self.fail_on(where, first + at, reasons[at])
                image[at] = 0
                if missing is not None:
                    missing[at] = False
        names = np.arange(first, first + len(values), dtype=np.int64)
        return Rows(image, label, names, missing=missing, rejected=reasons)

    def fail_on(self, where: str, row: int, reason: str) -> None:
        """Stop at a row that cannot be read, if users want that.

        Raises
        ------
        SourceError
            They do.
        """
        if self.pixels.on_error == "fail":
            raise SourceError(
                f"row {row:,} of {where} of {self.location} cannot be read: {reason}",
                "mend it, or set the source option on_error=quarantine to go on without it",
            )

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the files, and the options."""
        return {
            "files": self.listing.digest(),
            "directory": self.files_at.root,
            "classes": self.class_names,
            "shape": self.image_shape,
            "scale": self.pixels.scale,
            "on_error": self.pixels.on_error,
        }

    def batch_values(self) -> int:
        """Values of a batch."""
        return batch_rows(self) * math.prod(self.image_shape)


def numbers_of(texts: list[bytes]) -> AnyArray:
    """Values of the fields of a line that are numbers, NaN where they are empty."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(float(text) if text.strip() else np.nan)
    return np.array(found)
