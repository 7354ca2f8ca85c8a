"""Images as small PNG pictures for notebooks and reports."""

from __future__ import annotations

import base64
import io

import numpy as np

from fmnist_dask.typing import UInt8Array

#: Longer sides of thumbnails are reduced to about this many pixels.
THUMBNAIL_SIDE = 64


def shrink(image: UInt8Array, side: int = THUMBNAIL_SIDE) -> UInt8Array:
    """Images of shape (m, y, x[, channel]) reduced by a whole factor (pixels averaged) to at most about ``side``."""
    factor = -(-max(image.shape[1:3]) // side)
    if factor <= 1:
        return image
    height, width = (size // factor * factor for size in image.shape[1:3])
    cut = image[:, :height, :width]
    blocks = cut.reshape(len(cut), height // factor, factor, width // factor, factor, *image.shape[3:])
    reduced: UInt8Array = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return reduced


def contact_sheet(image: UInt8Array, columns: int, gap: int = 1, background: int = 255) -> UInt8Array:
    """Images of shape (m, y, x[, channel]) side by side, row by row, as one picture."""
    count, height, width = image.shape[:3]
    lines = -(-count // columns)
    shape = (lines * (height + gap) - gap, columns * (width + gap) - gap, *image.shape[3:])
    sheet = np.full(shape, background, dtype=np.uint8)
    for index in range(count):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image[index]
    return sheet


def png(picture: UInt8Array) -> bytes:
    """A picture of shape (y, x) or (y, x, 3 or 4) as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_uri(picture: UInt8Array) -> str:
    """A picture as a ``data:`` address for HTML."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()
