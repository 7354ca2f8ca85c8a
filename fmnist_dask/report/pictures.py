"""Arrays of images as pictures of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmnist_dask.collection.thumbnails import data_uri, shrink
from fmnist_dask.report.page import Picture
from fmnist_dask.typing import UInt8Array


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
