"""Many small images in one picture, from which a script of the page cuts them."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.thumbnails import data_uri, shrink
from fmnist_dask.report.pictures import displayable
from fmnist_dask.typing import UInt8Array

#: Bytes of one sheet, as an address; images have longer sides of about this many pixels.
BUDGET, SIDE = 2_300_000, 40
#: Images that are tried first, to see what one takes.
PROBE = 256


@dataclass(frozen=True)
class Sprites:
    """Images side by side in one picture.

    Attributes
    ----------
    uri
        ``data:`` address of the picture.
    count
        Images it holds: the first ones of those given.
    columns, width, height
        Images in a row, and the size of each, in pixels.
    """

    uri: str
    count: int
    columns: int
    width: int
    height: int

    def known(self) -> dict[str, Any]:
        """What a script needs to cut them out."""
        return {"uri": self.uri, "columns": self.columns, "width": self.width, "height": self.height}


def sprites(images: UInt8Array, side: int = SIDE, budget: int = BUDGET) -> Sprites | None:
    """Pack the first images, as many as fit into some bytes; ``None`` for no images.

    Grey images are kept as they are while they fit; beyond, and in colour, they are WebP.

    Parameters
    ----------
    images : uint8 array, shape (m, y, x[, channel])
    side
        Longer sides are reduced to about this many pixels.
    budget
        Bytes of the address.
    """
    if not len(images):
        return None
    images = shrink(images, side)
    if images.ndim == 3 or images.shape[-1] not in (3, 4):
        exact = data_uri(displayable(_sheet(images)))
        if len(exact) <= budget:
            return _packed(exact, images, len(images))
    count = len(images)
    if count > PROBE:
        each = len(_webp(_sheet(images[:PROBE]))) / PROBE
        count = min(count, max(1, int(budget / each)))
    while True:
        uri = _webp(_sheet(images[:count]))
        if len(uri) <= budget or count == 1:
            return _packed(uri, images, count)
        count = max(1, int(count * 0.9 * budget / len(uri)))


def _columns(count: int) -> int:
    return max(1, math.isqrt(count - 1) + 1)


def _packed(uri: str, images: UInt8Array, count: int) -> Sprites:
    return Sprites(uri, count, _columns(count), images.shape[2], images.shape[1])


def _sheet(images: UInt8Array) -> UInt8Array:
    """Row by row, as square as it can be."""
    count, height, width = images.shape[:3]
    columns = _columns(count)
    lines = -(-count // columns)
    picture = np.zeros((lines * columns, height, width, *images.shape[3:]), dtype=np.uint8)
    picture[:count] = images
    picture = picture.reshape(lines, columns, height, width, *images.shape[3:])
    return np.moveaxis(picture, 2, 1).reshape(lines * height, columns * width, *images.shape[3:])


def _webp(sheet: UInt8Array) -> str:
    from PIL import Image

    image = Image.fromarray(displayable(sheet))
    buffer = io.BytesIO()
    (image.convert("RGB") if image.mode == "L" else image).save(buffer, format="WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
