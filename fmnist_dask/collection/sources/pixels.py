"""Sources of plain pixel values (CSV, NPY, NPZ): what is a value, what is missing, what is neither."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.canvas import MAX_PIXELS
from fmnist_dask.errors import SourceError, UsageError
from fmnist_dask.typing import AnyArray, UInt8Array


@dataclass(frozen=True)
class PixelOptions:
    """What users may say about plain pixel values.

    Attributes
    ----------
    scale
        Values are multiplied by this (255 for values from 0 to 1).
    on_error
        ``quarantine`` rows with values that are no pixels, or ``fail``.
    """

    scale: float = 1.0
    on_error: str = "quarantine"


def take_pixel_options(kind: str, options: dict[str, Any]) -> PixelOptions:
    """Take what :class:`PixelOptions` knows out of a source's options.

    Raises
    ------
    UsageError
        A value that is none of those allowed.
    """
    scale, on_error = options.pop("scale", 1.0), options.pop("on_error", "quarantine")
    try:
        number = float(scale)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= 1e6:
        raise UsageError(f"source option scale={scale!r} of {kind} is no positive number", "255 for values from 0 to 1")
    if on_error not in ("quarantine", "fail"):
        raise UsageError(f"source option on_error={on_error!r} of {kind}", "Valid: fail, quarantine")
    return PixelOptions(number, on_error)


@dataclass
class Checked:
    """Values that have become pixels.

    Attributes
    ----------
    pixels : uint8 array
        As many as there were values; 0 where they are missing.
    missing : bool array or None
        Of the same shape; ``None`` where nothing is missing.
    reasons
        Row → what is wrong with its first bad value.
    """

    pixels: UInt8Array
    missing: AnyArray | None
    reasons: dict[int, str]

    def missing_as(self, shape: tuple[int, ...]) -> AnyArray | None:
        """Missing pixels of images of a shape, (m, y, x): those of which any channel is missing."""
        if self.missing is None:
            return None
        return np.asarray(self.missing.reshape(len(self.missing), *shape[:2], -1).any(axis=3))


def as_pixels(values: AnyArray, options: PixelOptions) -> Checked:
    """Pixels of rows of numbers: whole numbers from 0 to 255 once scaled; NaN is missing; all else is an error.

    With a scale, values are rounded to the nearest whole number.

    Parameters
    ----------
    values : array, shape (m, d)
    """
    if values.dtype == np.uint8 and options.scale == 1.0:
        return Checked(values, None, {})
    if values.dtype.kind == "b":
        # In damaged files truth values are neither 0 nor 1.
        return Checked((values.view(np.uint8) != 0) * np.uint8(255), None, {})
    with np.errstate(all="ignore"):  # whatever overflows is out of range
        numbers = values.astype(np.float64)
        if options.scale != 1.0:
            numbers = numbers * options.scale
    missing = np.isnan(numbers)
    whole = np.rint(numbers)
    bad = ~((whole >= 0) & (whole <= 255))
    if options.scale == 1.0:
        bad |= whole != numbers
    bad &= ~missing
    reasons = {}
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        at = int(np.flatnonzero(bad[row])[0])
        reasons[row] = f"the value {numbers[row, at]:g} of pixel {at} is no whole number from 0 to 255"
    pixels = np.where(bad | missing, 0, whole).astype(np.uint8)
    return Checked(pixels, missing if missing.any() else None, reasons)


def check_range(values: AnyArray, options: PixelOptions, where: str) -> None:
    """Refuse what looks like pixels from 0 to 1, rather than quarantining all of it.

    Raises
    ------
    SourceError
        There are fractions, and nothing is larger than 1.
    """
    numbers = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    if options.scale != 1.0 or numbers.dtype.kind != "f" or not len(numbers):
        return
    if numbers.min() >= 0 and numbers.max() <= 1 and (numbers != np.rint(numbers)).any():
        raise SourceError(f"the pixel values of {where} go from 0 to 1", "say so with the source option scale=255")


def check_size(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The shape of an image, unless it is larger than any that is read.

    Raises
    ------
    SourceError
        It is.
    """
    if math.prod(shape) > MAX_PIXELS:
        raise SourceError(
            f"{where} has images of {math.prod(shape):,} values; the limit is {MAX_PIXELS:,}",
            "cut them into smaller images",
        )
    return shape


def image_shape(n_values: int, size: tuple[int, int] | None, where: str) -> tuple[int, ...]:
    """Shape of images of so many values: the size that is given, or a square, grey or RGB.

    Raises
    ------
    SourceError
        It does not come out even.
    """
    if size is not None:
        for channels in (1, 3, 4):
            if size[0] * size[1] * channels == n_values:
                return size if channels == 1 else (*size, channels)
        raise SourceError(
            f"{where} has {n_values:,} values an image; {size[0]} × {size[1]} pixels need {size[0] * size[1]:,} (grey) "
            f"or {3 * size[0] * size[1]:,} (colour)",
            "give another source option size",
        )
    for channels in (1, 3):
        side = round((n_values / channels) ** 0.5)
        if side * side * channels == n_values and side:
            return (side, side) if channels == 1 else (side, side, 3)
    raise SourceError(
        f"{where} has {n_values:,} values an image, which make no square",
        "give their height and width with the source option size, for instance size=28x28",
    )
