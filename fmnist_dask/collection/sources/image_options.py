"""What users may say about encoded images: colour, size, and what to do with those that cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from fmnist_dask.collection.sources.canvas import CHANNELS, MAX_PIXELS, Canvas, Fit, Header, MixedError
from fmnist_dask.errors import UsageError, nearest

Mode = Literal["auto", "gray", "rgb", "keep"]
MODES = ("auto", "gray", "rgb", "keep")
FITS = ("pad", "crop", "stretch")
#: Longest side that images can be brought to.
MOST_SIDE = 16384


@dataclass(frozen=True)
class ImageOptions:
    """What users may say about encoded images.

    Attributes
    ----------
    mode
        ``gray`` (Rec. 601 luma), ``rgb``, ``keep`` (channels as they are, transparency too), or ``auto``: grey if all
        images looked at first are grey, else RGB. Samples of 16 bits are divided by 257, palettes looked up.
    size
        (height, width) of the canvas; ``None``: all images must be of one size.
    fit
        ``pad`` (as large as fits, the rest background), ``crop`` (as small as covers, centre kept), ``stretch``.
    background
        Grey level, 0 to 255.
    on_error
        ``quarantine`` what cannot be read, or ``fail``.
    max_pixels
        Larger images are not read.
    """

    mode: Mode = "auto"
    size: tuple[int, int] | None = None
    fit: Fit = "pad"
    background: int = 0
    on_error: Literal["quarantine", "fail"] = "quarantine"
    max_pixels: int = MAX_PIXELS

    def canvas(self, headers: list[Header]) -> Canvas:
        """The canvas for images of which some headers have been looked at.

        Raises
        ------
        MixedError
            They are not of one size, and no size was asked for.
        """
        sizes = {(header.height, header.width) for header in headers}
        if self.size is None and len(sizes) != 1:
            raise MixedError
        height, width = self.size or sizes.pop()
        richest = max((header.mode for header in headers), key=CHANNELS.__getitem__)
        mode = {"gray": "L", "rgb": "RGB", "keep": richest, "auto": "L" if richest in ("L", "LA") else "RGB"}[self.mode]
        return Canvas(
            height=height,
            width=width,
            mode=mode,
            fit=self.fit if self.size is not None else None,
            background=self.background,
            flatten=self.mode != "keep",
            strict=self.mode in ("auto", "keep"),
            max_pixels=self.max_pixels,
        )


def parse_size(value: Any, most: int = MOST_SIDE) -> tuple[int, int]:
    """``64``, ``64x48`` (height × width) or ``[64, 48]`` as (height, width), each from 1 to ``most``.

    Raises
    ------
    ValueError
        Anything else.
    """
    if isinstance(value, (list, tuple)):
        parts = [str(part) for part in value]
    else:
        parts = re.split(r"\s*[x×X]\s*", str(value).strip())
    if len(parts) == 1:
        parts *= 2
    height, width = (int(part) for part in parts)
    if not (1 <= height <= most and 1 <= width <= most):
        raise ValueError(f"{height}x{width}")
    return height, width


def take_image_options(kind: str, options: dict[str, Any]) -> ImageOptions:
    """Take what :class:`ImageOptions` knows out of a source's options.

    Raises
    ------
    UsageError
        A value that is none of those allowed.
    """
    found: dict[str, Any] = {}
    for name, known in (("mode", MODES), ("fit", FITS), ("on_error", ("quarantine", "fail"))):
        if name in options:
            value = options.pop(name)
            if value not in known:
                raise UsageError(f"source option {name}={value!r} of {kind}", nearest(str(value), known))
            found[name] = value
    if "size" in options:
        value = options.pop("size")
        try:
            found["size"] = parse_size(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"source option size={value!r} of {kind} is no size from 1x1 to {MOST_SIDE}x{MOST_SIDE}",
                "give height x width in pixels, for instance size=64x48",
            ) from None
    for name, low, high in (("background", 0, 255), ("max_pixels", 1, 1 << 30)):
        if name in options:
            value = options.pop(name)
            number = int(value) if str(value).strip().isdigit() else -1
            if not low <= number <= high:
                raise UsageError(f"source option {name}={value!r} of {kind} is no whole number from {low} to {high:,}")
            found[name] = number
    return ImageOptions(**found)
