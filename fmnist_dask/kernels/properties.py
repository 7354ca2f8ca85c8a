"""Properties of single images: how bright, how contrasted, how empty, how sharp."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, UInt8Array

#: Names, units and meanings of the properties, in the order of :func:`image_properties`' fields.
PROPERTIES: dict[str, str] = {
    "brightness": "mean pixel, 0 black to 1 white",
    "contrast": "standard deviation of the pixels, 0 to 0.5",
    "blank_share": "share of the pixels that have the image's most frequent value (its background)",
    "sharpness": "standard deviation of the 4-neighbour Laplacian, pixels in [0, 1]",
    "distinct_values": "number of distinct pixel values, 1 (constant) to 256",
}

DTYPE = np.dtype([(name, np.float32) for name in PROPERTIES])


def to_gray(image: UInt8Array) -> UInt8Array:
    """Grey images, shape (rows, y, x), from grey or colour ones, shape (rows, y, x[, channel]).

    Colour is weighted as in ITU-R BT.601 (0.299, 0.587, 0.114), in integers, rounded to nearest.
    """
    if image.ndim == 3:
        return image
    if image.shape[-1] < 3:
        return image[..., 0]
    red, green, blue = (image[..., band].astype(np.uint32) for band in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def image_properties(image: UInt8Array) -> AnyArray:
    """Five properties of each image; see :data:`PROPERTIES` for their meaning.

    Parameters
    ----------
    image : uint8 array, shape (rows, y, x) or (rows, y, x, channel)
        Colour images are measured on their grey version.

    Returns
    -------
    structured array, shape (rows,)
        float32 fields ``brightness``, ``contrast``, ``blank_share``, ``sharpness``, ``distinct_values``.
    """
    from fmnist_dask.kernels.compiled import measure_images

    out = np.empty((len(image), len(PROPERTIES)), dtype=np.float32)
    measure_images(np.ascontiguousarray(to_gray(image)), out)
    return out.view(DTYPE)[:, 0]
