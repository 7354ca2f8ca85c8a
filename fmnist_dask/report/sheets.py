"""Many images as one large picture: side by side, or at places; in the colours of their classes; as files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.report.pictures import displayable
from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array

#: Longest side of a picture that is written, in pixels; images are reduced by whole factors to keep to it.
MOST_SIDE = 8000
#: Pictures are enlarged by whole factors up to about this, and no more than so many times.
PRINT_SIDE, MOST_SCALE = 4500, 4
#: Room of pictures with images at their places: sides are longer than the grid's by this.
SPREAD = 1.7
#: Longest side of a picture within a page.
PAGE_SIDE = 1440


def background_of(images: UInt8Array) -> int:
    """0 where most pixels at the images' edges are dark, else 255."""
    edge = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    return 0 if np.median(edge) < 128 else 255


def tinted(images: UInt8Array, colours: Sequence[str], background: int) -> UInt8Array:
    """Images of shape (m, y, x[, channel]) as ink on white, each in a colour, shape (m, y, x, 3).

    Parameters
    ----------
    colours
        ``#rrggbb``, one for each image.
    background
        What counts as no ink, 0 or 255.
    """
    grey = images if images.ndim == 3 else images[..., :3].mean(axis=-1)
    ink = np.abs(grey.astype(np.float32) - background)[..., None] / 255
    paint = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], dtype=np.float32)
    result: UInt8Array = np.rint(255 - ink * (255 - paint[:, None, None])).astype(np.uint8)
    return result


def sheet(cells: IntArray, images: UInt8Array, background: int) -> UInt8Array:
    """Images side by side without gaps.

    Parameters
    ----------
    cells : int array, shape (rows, columns)
        Positions of images; negative ones stay empty.
    images : uint8 array, shape (m, y, x[, channel])
    """
    images = _fitting(images, max(cells.shape))
    height, width = images.shape[1:3]
    rows, columns = cells.shape
    picture = np.full((rows, height, columns, width, *images.shape[3:]), background, dtype=np.uint8)
    for row, line in enumerate(cells):
        held = np.flatnonzero(line >= 0)
        picture[row][:, held] = np.moveaxis(images[line[held]], 0, 1)
    return displayable(picture.reshape(rows * height, columns * width, *images.shape[3:]))


def scattered(points: FloatArray, images: UInt8Array, across: int, background: int) -> UInt8Array:
    """Images centred at points of the unit square, the second axis from the top.

    The lighter pixel shows where dark backgrounds meet, and the darker one where light ones do, so that no image hides
    another behind its background.

    Parameters
    ----------
    across
        Columns of the grid that would hold them.
    """
    images = _fitting(images, int(np.ceil(SPREAD * across)))
    height, width = images.shape[1:3]
    size = [max(1, round(SPREAD * across * extent)) for extent in (height, width)]
    picture = np.full((size[0] + height, size[1] + width, *images.shape[3:]), background, dtype=np.uint8)
    blend = np.minimum if background else np.maximum
    places = np.rint(points[:, ::-1] * size).astype(np.int64)
    for (top, left), image in zip(places.tolist(), images, strict=True):
        under = picture[top : top + height, left : left + width]
        blend(under, image, out=under)
    return displayable(picture)


def _fitting(images: UInt8Array, across: int) -> UInt8Array:
    """Images small enough that so many side by side keep to the longest side."""
    return shrink(images, max(1, MOST_SIDE // max(1, across)))


def enlarged(picture: UInt8Array) -> UInt8Array:
    """A picture at print size: pixels repeated a whole number of times."""
    scale = max(1, min(MOST_SCALE, PRINT_SIDE // max(picture.shape[:2])))
    result: UInt8Array = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return result


def png_file(picture: UInt8Array) -> bytes:
    """A large picture as PNG, packed in reasonable time."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def page_uri(picture: UInt8Array, budget: int, side: int = PAGE_SIDE) -> str:
    """A picture as a ``data:`` address for a page: reduced, as WebP, of less quality and then smaller until it fits.

    Parameters
    ----------
    budget
        Bytes.
    side
        Longest side.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    if image.mode == "L":
        image = image.convert("RGB")
    while True:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in (86, 74, 60):
            buffer = io.BytesIO()
            image.save(buffer, format="WEBP", quality=quality)
            if len(buffer.getvalue()) <= budget or side <= 64:
                return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
        side = max(64, side * 3 // 4)


def file_name(name: str, taken: AnyArray | Sequence[str] = ()) -> str:
    """A name in lower-case letters, digits and hyphens, with a number where it is taken."""
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())
    plain = "-".join(part for part in plain.split("-") if part) or "class"
    found, number = plain, 2
    while found in taken:
        found, number = f"{plain}-{number}", number + 1
    return found
