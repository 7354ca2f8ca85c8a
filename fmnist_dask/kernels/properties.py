"""Properties of single images: how bright, how contrasted, how empty, how sharp."""

from __future__ import annotations

import numba
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


@numba.njit(nogil=True, cache=True)
def _measure(gray, out):  # pragma: no cover - compiled
    rows, height, width = gray.shape
    size = height * width
    inner = max((height - 2) * (width - 2), 0)
    levels = np.empty(256, np.int64)
    for row in range(rows):
        levels[:] = 0
        for y in range(height):
            for x in range(width):
                levels[gray[row, y, x]] += 1
        laplacian_sum = np.int64(0)
        laplacian_squares = np.int64(0)
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                value = (
                    np.int64(gray[row, y - 1, x])
                    + np.int64(gray[row, y + 1, x])
                    + np.int64(gray[row, y, x - 1])
                    + np.int64(gray[row, y, x + 1])
                    - 4 * np.int64(gray[row, y, x])
                )
                laplacian_sum += value
                laplacian_squares += value * value
        total = 0
        squares = 0
        most = 0
        distinct = 0
        for level in range(256):
            count = levels[level]
            total += count * level
            squares += count * level * level
            most = max(most, count)
            distinct += count > 0
        # Integers up to here: the numerators below are exact for images of up to 2^23 pixels.
        out[row, 0] = total / (255.0 * size)
        out[row, 1] = np.sqrt(float(squares * size - total * total)) / (255.0 * size)
        out[row, 2] = most / size
        if inner > 0:
            variance = float(laplacian_squares * inner - laplacian_sum * laplacian_sum)
            out[row, 3] = np.sqrt(variance) / (255.0 * inner)
        else:
            out[row, 3] = 0.0
        out[row, 4] = distinct


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
    out = np.empty((len(image), len(PROPERTIES)), dtype=np.float32)
    _measure(np.ascontiguousarray(to_gray(image)), out)
    return out.view(DTYPE)[:, 0]
