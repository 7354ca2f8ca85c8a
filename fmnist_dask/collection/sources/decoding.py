"""Encoded images to pixels: one rule for colour, one for size, and a reason for whatever cannot be read."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fmnist_dask.collection.sources.png import PlainPng
from fmnist_dask.typing import UInt8Array

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["pad", "crop", "stretch"]
#: Formats that are decoded. Others that Pillow knows start programs (EPS), or are of no use for collections.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"}
)  # fmt: skip
#: EXIF's tag of the orientation: 5 to 8 lie on their side.
ORIENTATION = 0x0112
#: Largest image, in pixels; more is taken for a decompression bomb.
MAX_PIXELS = 1 << 26
#: Largest encoded image, in bytes.
MAX_ENCODED_BYTES = 1 << 28
#: Pixels that are decoded before they become an array.
STRIP_BYTES = 1 << 20
#: Pillow's modes from the least to the most that pixels can say, and the channels of each here.
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


class UnreadableError(Exception):
    """An item that is no image, or none that may be read; the reason is for people."""


class MixedError(Exception):
    """An image of another size, or in colour among grey ones, where no option says what to do with it."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image tell.

    Attributes
    ----------
    height, width
        In pixels, upright.
    mode
        ``L``, ``LA``, ``RGB`` or ``RGBA``: the least that holds its pixels.
    """

    height: int
    width: int
    mode: str


@dataclass(frozen=True)
class Canvas:
    """What every image of a collection becomes.

    Attributes
    ----------
    height, width
        In pixels.
    mode
        ``L``, ``LA``, ``RGB`` or ``RGBA``.
    fit
        How an image of another size gets there; ``None``: it does not.
    background
        Grey level beside padded images, and behind transparent ones.
    flatten
        Whether transparent pixels are laid over the background, or their transparency is kept as a channel.
    strict
        Whether an image that says more than ``mode`` is refused rather than reduced.
    max_pixels
        Larger images are refused.
    """

    height: int
    width: int
    mode: str
    fit: Fit | None = None
    background: int = 0
    flatten: bool = True
    strict: bool = False
    max_pixels: int = MAX_PIXELS

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (y, x) or (y, x, channel)."""
        channels = CHANNELS[self.mode]
        return (self.height, self.width) if channels == 1 else (self.height, self.width, channels)


def read_header(data: Any, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and mode of an encoded image (bytes or a binary file), from its first bytes.

    Raises
    ------
    UnreadableError
        It is no image of a known format, or too large.
    """
    return _header(_opened(data, max_pixels))


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
                raise UnreadableError(_reason(error)) from error
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
    header = _header(image)
    if canvas.fit is None and (header.height, header.width) != (canvas.height, canvas.width):
        raise MixedError(f"{header.height} × {header.width} pixels, not {canvas.height} × {canvas.width}")
    if canvas.strict and CHANNELS[_plain(header.mode, canvas)] > CHANNELS[canvas.mode]:
        raise MixedError(f"{header.mode} among images of mode {canvas.mode}")
    try:
        return _on_canvas(image, header, canvas), (header.height, header.width)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(_reason(error)) from error


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
        raise UnreadableError(_reason(error)) from error
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


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError):
        return "far more pixels than any photograph has"
    words = str(error).strip().splitlines()
    if isinstance(error, struct.error) or not words:
        return f"damaged ({type(error).__name__})"
    return words[0][:200]


def _header(image: Image) -> Header:
    try:
        turned = _orientation(image) >= 5
        mode = _least_mode(image)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(_reason(error)) from error
    width, height = image.size
    return Header(width, height, mode) if turned else Header(height, width, mode)


def _orientation(image: Image) -> int:
    """1 for upright; asked for only where there is such a tag, since some formats are decoded to look for it."""
    if image.format != "TIFF" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ORIENTATION, 1))


def _least_mode(image: Image) -> str:
    """The least mode that holds an image's pixels."""
    transparent = image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info
    if image.mode == "P":
        palette = np.asarray(image.getpalette() or [0, 0, 0]).reshape(-1, 3)
        grey = bool((palette == palette[:, :1]).all())
    else:
        grey = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;")
    return ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")


def _plain(mode: str, canvas: Canvas) -> str:
    """What is left of a mode where transparency is laid over the background."""
    return {"LA": "L", "RGBA": "RGB"}.get(mode, mode) if canvas.flatten else mode


def _on_canvas(image: Image, header: Header, canvas: Canvas) -> Image:
    from PIL import ImageOps

    same = (header.height, header.width) == (canvas.height, canvas.width)
    if not same and image.format == "JPEG":
        # Decoders of JPEG halve sizes for free; twice what is wanted is left for the resampling.
        image.draft(None, (2 * max(canvas.width, canvas.height),) * 2)
    if image.mode == header.mode == canvas.mode and same and _orientation(image) == 1:
        image.load()
        return image
    image = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    image = _with_mode(image, header, canvas)
    if not same:
        image = _fitted(image, canvas)
    image.load()
    return image


def _with_mode(image: Image, header: Header, canvas: Canvas) -> Image:
    """An image in the canvas's mode: 16 bits to 8, transparency laid over the background."""
    from PIL import Image as Images

    if image.mode.startswith("I"):
        # Pillow's own conversion would cut off at 255.
        deep = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Images.fromarray(((deep + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise UnreadableError("pixels are floating-point numbers")
    if header.mode in ("LA", "RGBA") and canvas.flatten:
        over = image.convert("RGBA")
        below = Images.new("RGBA", image.size, (canvas.background,) * 3 + (255,))
        image = Images.alpha_composite(below, over).convert("RGB")
    return image if image.mode == canvas.mode else image.convert(canvas.mode)


def _fitted(image: Image, canvas: Canvas) -> Image:
    from PIL import Image as Images
    from PIL import ImageOps

    size, method = (canvas.width, canvas.height), Images.Resampling.BICUBIC
    if canvas.fit == "crop":
        return ImageOps.fit(image, size, method)
    if canvas.fit == "stretch":
        return image.resize(size, method)
    level = canvas.background
    colour: Any = {"L": level, "LA": (level, 255), "RGB": (level,) * 3, "RGBA": (level,) * 3 + (255,)}[canvas.mode]
    return ImageOps.pad(image, size, method, color=colour)
