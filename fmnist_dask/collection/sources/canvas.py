"""What an image becomes: one rule for colour, one for size."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["pad", "crop", "stretch"]
#: EXIF's tag of the orientation: 5 to 8 lie on their side.
ORIENTATION = 0x0112
#: Largest image, in pixels; more is taken for a decompression bomb.
MAX_PIXELS = 1 << 26
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


def reason_of(error: Exception) -> str:
    """What a decoder's error says, for people."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError):
        return "far more pixels than any photograph has"
    words = str(error).strip().splitlines()
    if isinstance(error, struct.error) or not words:
        return f"damaged ({type(error).__name__})"
    return words[0][:200]


def header_of(image: Image) -> Header:
    """Size and mode of an image that has been opened."""
    try:
        turned = orientation(image) >= 5
        mode = _least_mode(image)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(reason_of(error)) from error
    width, height = image.size
    return Header(width, height, mode) if turned else Header(height, width, mode)


def orientation(image: Image) -> int:
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


def plain_mode(mode: str, canvas: Canvas) -> str:
    """What is left of a mode where transparency is laid over the background."""
    return {"LA": "L", "RGBA": "RGB"}.get(mode, mode) if canvas.flatten else mode


def on_canvas(image: Image, header: Header, canvas: Canvas) -> Image:
    """An image brought to the canvas's size and mode."""
    from PIL import ImageOps

    same = (header.height, header.width) == (canvas.height, canvas.width)
    if not same and image.format == "JPEG":
        # Decoders of JPEG halve sizes for free; twice what is wanted is left for the resampling.
        image.draft(None, (2 * max(canvas.width, canvas.height),) * 2)
    if image.mode == header.mode == canvas.mode and same and orientation(image) == 1:
        image.load()
        return image
    image = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
    image = with_mode(image, header, canvas)
    if not same:
        image = _fitted(image, canvas)
    image.load()
    return image


def with_mode(image: Image, header: Header, canvas: Canvas) -> Image:
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
