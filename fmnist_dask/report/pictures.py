"""Arrays of images as pictures of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmnist_dask.collection.thumbnails import data_uri, shrink
from fmnist_dask.report.blocks import Picture
from fmnist_dask.report.figures.heatmaps import reduce_mean
from fmnist_dask.report.figures.style import DIVERGING
from fmnist_dask.typing import FloatArray, UInt8Array


def picture(image: UInt8Array, alt: str, caption: Sequence[str] = ()) -> Picture:
    """One image of shape (y, x[, channel]), reduced to thumbnail size."""
    return Picture(data_uri(displayable(shrink(np.asarray(image)[None])[0])), alt, tuple(caption))


def stretched(image: UInt8Array) -> UInt8Array:
    """An image with its darkest value black and its brightest white: what a dark or flat image would show."""
    low, high = int(image.min()), int(image.max())
    if low == high:
        return image
    result: UInt8Array = np.rint((image.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
    return result


def displayable(image: UInt8Array) -> UInt8Array:
    """An image as PNG can hold it: grey, red-green-blue, or with opacity; of other channels the first is shown."""
    if image.ndim == 3 and image.shape[-1] not in (3, 4):
        return np.ascontiguousarray(image[..., 0])
    return np.ascontiguousarray(image)


def brightness_picture(values: FloatArray, alt: str, caption: Sequence[str] = ()) -> Picture:
    """Brightness from 0 to 1, of shape (y, x[, channel]), as a picture; what is no number is black."""
    scaled = np.rint(255 * np.clip(np.nan_to_num(values), 0.0, 1.0)).astype(np.uint8)
    return picture(scaled, alt, caption)


def signed_picture(values: FloatArray, limit: float, alt: str, caption: Sequence[str] = ()) -> Picture:
    """Values about zero as a picture, on a scale to ``limit`` on both sides.

    Three channels are drawn in their colours about grey; others as :data:`~.style.DIVERGING`, by their mean.
    """
    small = reduce_mean(np.nan_to_num(values)) / (limit or 1.0)
    if small.ndim == 3 and small.shape[-1] == 3:
        colours = np.rint(255 * np.clip(0.5 + small / 2, 0.0, 1.0)).astype(np.uint8)
    else:
        gray = small if small.ndim == 2 else small.mean(axis=-1)
        palette = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in DIVERGING], np.uint8)
        steps = len(palette) - 1
        colours = palette[np.rint(np.clip((gray + 1) / 2, 0.0, 1.0) * steps).astype(np.intp)]
    return Picture(data_uri(np.ascontiguousarray(colours)), alt, tuple(caption))
