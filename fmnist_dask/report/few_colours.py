"""Pictures of few colours as addresses for a page: exact while they fit into its bytes, all of one size."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_dask.report.pictures import displayable
from fmnist_dask.typing import UInt8Array

#: Qualities of what is packed with losses, tried one after the other.
QUALITIES = (90, 80, 65)
#: Pictures are not reduced below this longest side.
LEAST_SIDE = 64


@dataclass(frozen=True)
class Packed:
    """A picture for a page.

    Attributes
    ----------
    uri
        ``data:`` address.
    exact
        Whether every pixel has its own colour.
    """

    uri: str
    exact: bool


@dataclass(frozen=True)
class PackedAll:
    """Pictures of one size.

    Attributes
    ----------
    pictures
        In the order they were given.
    height, width
        Of each, in pixels.
    """

    pictures: tuple[Packed, ...]
    height: int
    width: int


def painted(index: UInt8Array, palette: UInt8Array) -> UInt8Array:
    """Positions in a palette of shape (color, channel) as a picture of shape (…, channel), grey ones without channel.

    Positions beyond the palette get its last colour.
    """
    found: UInt8Array = palette[np.minimum(index, len(palette) - 1)]
    return found[..., 0] if found.shape[-1] == 1 else found


def packed(original: UInt8Array, pictures: Sequence[UInt8Array], budget: int) -> PackedAll:
    """Pack a photograph and its pictures of few colours.

    Few colours pack well without losses (and would not with them). What takes most is packed with losses where all
    together are too large, and if that is not enough, every picture is reduced, by leaving out lines so that no colours
    are mixed.

    Parameters
    ----------
    original, pictures : uint8 array, shape (y, x[, channel])
        All of one size.
    budget
        Bytes of all addresses.
    """
    while True:
        height, width = original.shape[:2]
        known = [_photograph(original), *(_exact(picture) for picture in pictures)]
        bare = [original, *pictures]
        for quality in QUALITIES:
            # Greedily: the largest first, and no more of them than needed.
            for at in sorted(range(len(known)), key=lambda at: -len(known[at].uri)):
                if sum(len(one.uri) for one in known) <= budget:
                    break
                smaller = _with_losses(bare[at], quality)
                if len(smaller.uri) < len(known[at].uri):
                    known[at] = smaller
        fits = sum(len(one.uri) for one in known) <= budget
        if fits or max(height, width) < 2 * LEAST_SIDE:
            return PackedAll(tuple(known), height, width)
        original, pictures = original[::2, ::2], [picture[::2, ::2] for picture in pictures]


def _photograph(picture: UInt8Array) -> Packed:
    """Many colours: of small pictures exact, of others so that no loss is seen."""
    exact = _exact(picture)
    return exact if max(picture.shape[:2]) <= 256 else min(exact, _with_losses(picture, QUALITIES[0]), key=_length)


def _length(one: Packed) -> int:
    return len(one.uri)


def _exact(picture: UInt8Array) -> Packed:
    return Packed(_webp(picture, lossless=True), True)


def _with_losses(picture: UInt8Array, quality: int) -> Packed:
    return Packed(_webp(picture, quality=quality), False)


def _webp(picture: UInt8Array, **options: int | bool) -> str:
    from PIL import Image

    image = Image.fromarray(displayable(picture))
    buffer = io.BytesIO()
    (image.convert("RGB") if image.mode == "L" else image).save(buffer, format="WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
