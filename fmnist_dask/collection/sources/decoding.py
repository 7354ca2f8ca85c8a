"""Encoded images to pixels: one rule for colour, one for size, and a reason for whatever cannot be read."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.collection.sources.canvas import (
    CHANNELS,
    MAX_PIXELS,
    Canvas,
    Header,
    MixedError,
    UnreadableError,
    header_of,
    on_canvas,
    plain_mode,
    reason_of,
)
from fmnist_dask.collection.sources.png import PlainPng
from fmnist_dask.typing import UInt8Array

if TYPE_CHECKING:
    from PIL.Image import Image

#: Formats that are decoded. Others that Pillow knows start programs (EPS), or are of no use for collections.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"}
)  # fmt: skip
#: Largest encoded image, in bytes.
MAX_ENCODED_BYTES = 1 << 28
#: Pixels that are decoded before they become an array.
STRIP_BYTES = 1 << 20


def read_header(data: Any, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and mode of an encoded image (bytes or a binary file), from its first bytes.

    Raises
    ------
    UnreadableError
        It is no image of a known format, or too large.
    """
    return header_of(_opened(data, max_pixels))


def decode(data: Any, canvas: Canvas) -> tuple[UInt8Array, tuple[int, int]]:
    """Pixels of an encoded image (bytes or a binary file) on the canvas, and its own (height, width); see `Strip`."""
    strip = Strip(canvas, 1)
    size = strip.put(0, data)
    return strip.pixels()[0], size


class Strip:
    """Images one below the other in a single array, decoded one by one.

    What Pillow decodes is pasted into a strip of its own: small ones take less time to become an array together.

    Parameters
    ----------
    count
        Images that it holds; those that are never put are black.
    """

    def __init__(self, canvas: Canvas, count: int) -> None:
        self.canvas = canvas
        self.count = count
        # A size that was asked for may be above the limit; then each image is refused.
        fits = canvas.height * canvas.width <= canvas.max_pixels
        self._plain = PlainPng(canvas.height, canvas.width, canvas.mode if fits else "")
        self._pixels = np.zeros((count, *canvas.shape), dtype=np.uint8)
        self._pasted: list[int] = []

    @functools.cached_property
    def _strip(self) -> Image:
        from PIL import Image as Images

        return Images.new(self.canvas.mode, (self.canvas.width, self.canvas.height * self.count))

    @staticmethod
    def length(canvas: Canvas) -> int:
        """Images of a strip."""
        return max(1, STRIP_BYTES // math.prod(canvas.shape))

    def put(self, at: int, data: Any) -> tuple[int, int]:
        """Decode an image (bytes or a binary file) to a place; its own (height, width).

        Raises
        ------
        UnreadableError
            It cannot be decoded.
        MixedError
            Of another size or in colour, and the canvas does not say what to do then.
        """
        canvas = self.canvas
        if self._plain.put(data, self._pixels[at]):
            return canvas.height, canvas.width
        self._pasted.append(at)
        image = _opened(data, canvas.max_pixels)
        place = (0, at * canvas.height)
        info = image.info
        if (
            image.size == (canvas.width, canvas.height)
            and image.mode == canvas.mode
            and image.mode in ("L", "RGB")
            and "transparency" not in info
            and "exif" not in info
            and image.format != "TIFF"
        ):
            # As it is, without a look at what else it might be.
            try:
                self._strip.paste(image, place)
            except MemoryError:
                raise
            except Exception as error:  # decoders of damaged files raise whatever happens to go wrong
                raise UnreadableError(reason_of(error)) from error
            return canvas.height, canvas.width
        found, size = _placed(image, canvas)
        self._strip.paste(found, place)
        return size

    def pixels(self) -> UInt8Array:
        """All of them, shape (count, y, x) or (count, y, x, channel)."""
        if self._pasted:
            pasted = np.asarray(self._strip).reshape(self._pixels.shape)
            if len(self._pasted) == self.count:
                return pasted
            self._pixels[self._pasted] = pasted[self._pasted]
        return self._pixels


def _placed(image: Image, canvas: Canvas) -> tuple[Image, tuple[int, int]]:
    """An image on the canvas, and its own (height, width)."""
    header = header_of(image)
    if canvas.fit is None and (header.height, header.width) != (canvas.height, canvas.width):
        raise MixedError(f"{header.height} × {header.width} pixels, not {canvas.height} × {canvas.width}")
    if canvas.strict and CHANNELS[plain_mode(header.mode, canvas)] > CHANNELS[canvas.mode]:
        raise MixedError(f"{header.mode} among images of mode {canvas.mode}")
    try:
        return on_canvas(image, header, canvas), (header.height, header.width)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(reason_of(error)) from error


def _opened(data: Any, max_pixels: int) -> Image:
    """An image whose header has been read and found harmless."""
    open_any, open_png = _openers()
    file = io.BytesIO(data) if isinstance(data, (bytes, bytearray, memoryview)) else data
    try:
        # Most images of collections are PNG, which need not be guessed.
        image: Image = open_png(file) if _is_png(data) else open_any(file, formats=FORMATS)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(reason_of(error)) from error
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableError(f"{height} × {width} pixels; the limit is {max_pixels:,} in all (max_pixels)")
    if width * height == 0:
        raise UnreadableError("it has no pixels")
    return image


@functools.cache
def _openers() -> tuple[Any, Any]:
    """What opens an image of any format, and a PNG file; imported when first needed."""
    from PIL import Image
    from PIL.PngImagePlugin import PngImageFile

    return Image.open, PngImageFile


def _is_png(data: Any) -> bool:
    return isinstance(data, bytes) and data.startswith(b"\x89PNG\r\n\x1a\n")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's own limit and warnings: sizes are judged here, and odd metadata does not matter."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            Image.MAX_IMAGE_PIXELS = None
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
