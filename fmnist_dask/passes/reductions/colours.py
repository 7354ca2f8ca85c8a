"""Passes over colours: how often each occurs, the entry of a palette that each pixel gets, and how like that looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.colours import (
    BITS,
    Colours,
    count_colours,
    counting_bytes,
    looked_up,
    merged,
    no_colours,
    table_of,
)
from fmnist_dask.kernels.similarity import (
    WINDOW,
    fixed_point,
    mean_of,
    n_windows,
    rounded,
    similarities,
    similarity_sums,
    squared_errors,
)
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.typing import AnyArray, UInt8Array

#: Lines on both sides of a seam that windows across it need.
SEAM = WINDOW - 1


def channels_of(source: Readable, lines: bool) -> int:
    """Channels of a pixel. Samples are images, or the lines of a photograph."""
    inner = source.image_shape[1:] if lines else source.image_shape[2:]
    return int(np.prod(inner))


def plane_of(source: Readable, lines: bool) -> tuple[int, ...]:
    """Shape of a sample without its channels."""
    return source.image_shape[:1] if lines else source.image_shape[:2]


@dataclass(frozen=True)
class ColourCounts(Reduction):
    """Distinct colours and their pixels; the finest bins of which there are no more than ``limit``.

    The result is :class:`~fmnist_dask.kernels.colours.Colours`, the same for any chunking.

    Attributes
    ----------
    limit
        Most colours, or bins.
    channels
        Of a pixel, 1 or 3.
    """

    limit: int
    channels: int

    def initial(self, source: Readable) -> dict[str, Any]:
        """No colours."""
        return _packed(no_colours(self.channels))

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        """Count those of a block."""
        found = count_colours(np.ascontiguousarray(block.image).reshape(-1, self.channels), self.limit)
        return self.combine(state, _packed(found))

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Merge both."""
        return _packed(merged(_unpacked(left), _unpacked(right), self.limit))

    def aggregate(self, state: dict[str, Any], source: Readable) -> Colours:
        """All colours."""
        return _unpacked(state)

    def state_bytes(self, source: Readable) -> int:
        """Codes and counts."""
        most = min(self.limit, source.n * source.image_bytes // self.channels, 1 << BITS * self.channels)
        return 4096 + most * (4 + 8 * (1 + self.channels))

    def part_bytes(self, source: Readable, rows: int) -> int:
        """No more colours than pixels."""
        most = min(self.limit, rows * source.image_bytes // self.channels)
        return min(self.state_bytes(source), 4096 + most * (4 + 8 * (1 + self.channels)))

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A table of all colours there could be, and merging."""
        pixels = rows * source.image_bytes // self.channels
        return counting_bytes(pixels, self.channels, self.limit) + 2 * self.part_bytes(source, rows)


def _packed(colours: Colours) -> dict[str, Any]:
    return {"code": colours.code, "count": colours.count, "bits": colours.bits, "channels": colours.channels}


def _unpacked(state: dict[str, Any]) -> Colours:
    return Colours(state["code"], state["count"], int(state["bits"]), int(state["channels"]))


@dataclass(frozen=True)
class Counted:
    """The colours that were counted, by which pixels are told apart.

    Attributes
    ----------
    code : uint32 array, shape (m,)
    bits, channels
        See :class:`~fmnist_dask.kernels.colours.Colours`.
    """

    code: ArrayParameter
    bits: int
    channels: int

    @classmethod
    def of(cls, colours: Colours) -> Counted:
        """Of counted colours."""
        return cls(ArrayParameter(colours.code), colours.bits, colours.channels)

    def places(self, pixels: UInt8Array) -> AnyArray:
        """Place of each pixel's colour among those counted, uint32, for pixels of shape (…, channels)."""
        counted = Colours(self.code.values, np.zeros((0, 1), dtype=np.int64), self.bits, self.channels)
        table = table_of(counted, np.arange(len(counted), dtype=np.uint32))
        found = looked_up(np.ascontiguousarray(pixels).reshape(-1, self.channels), self.bits, table)
        return found.reshape(pixels.shape[:-1])

    def of_block(self, block: Block, lines: bool) -> AnyArray:
        """The same of a block, made once for all palettes."""
        return block.memo((self, "places"), lambda: self.places(pixels_of(block, self.channels, lines)))

    def few_places(self, pixels: UInt8Array) -> AnyArray:
        """The same for few pixels, without a table of all colours."""
        code: AnyArray = np.zeros(pixels.shape[:-1], dtype=np.uint32)
        for channel in range(self.channels):
            code = code << np.uint32(self.bits) | (pixels[..., channel] >> np.uint8(BITS - self.bits)).astype(np.uint32)
        return np.searchsorted(self.code.values, code)

    def place_bytes(self, pixels: int) -> int:
        """Memory of :meth:`of_block`."""
        return (4 << self.bits * self.channels) + 4 * pixels


def pixels_of(block: Block, channels: int, lines: bool) -> UInt8Array:
    """Pixels of a block, shape (n, y, x, channels), or (y, x, channels) for lines of a photograph."""
    image = block.image
    rank = 2 if lines else 3
    return image.reshape(*image.shape[:rank], channels)


@dataclass(frozen=True)
class PaletteImage:
    """Colours in place of those that were counted.

    Attributes
    ----------
    name
        Of the palette.
    labels : uint8 array, shape (m,)
        Entry of each counted colour.
    colours : uint8 array, shape (k, channels)
    """

    name: str
    labels: ArrayParameter
    colours: ArrayParameter

    def index(self, places: AnyArray) -> UInt8Array:
        """Entries of pixels, from the places of their colours."""
        found: UInt8Array = self.labels.values[places]
        return found


@dataclass(frozen=True)
class Quantized(Column):
    """Entry of the palette of each pixel: ``index_<name>``, of the dimensions of the images.

    Attributes
    ----------
    counted, image
        Colours and palette.
    lines
        Whether samples are the lines of a photograph.
    """

    counted: Counted
    image: PaletteImage
    lines: bool

    @property
    def variable(self) -> str:
        """Name of its variable."""
        return f"index_{self.image.name}"

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Of uint8."""
        attrs = (("long_name", f"entry of the palette {self.image.name}"),)
        shape = plane_of(source, self.lines)
        return {self.variable: Variable("uint8", shape, ("x",) if self.lines else ("y", "x"), attrs)}

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Look them up."""
        return {self.variable: self.image.index(self.counted.of_block(block, self.lines))}

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places and entries."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + 2 * pixels


@dataclass(frozen=True)
class PhotographFit(Reduction):
    """Squared error and mean structural similarity of a photograph in the colours of palettes, exact.

    Each line is read once: a state keeps the first and the last lines of its part, and windows that reach over the seam
    of two parts are looked at where these are merged. The result maps names of palettes to ``{"mse", "ssim"}``.
    """

    counted: Counted
    images: tuple[PaletteImage, ...]

    def initial(self, source: Readable) -> dict[str, Any]:
        """No lines."""
        zeros = np.zeros(len(self.images), dtype=np.int64)
        nothing = np.zeros((0, source.image_shape[0], self.counted.channels), dtype=np.uint8)
        bits = fixed_point(n_windows(source.n, source.image_shape[0], self.counted.channels))
        return {"head": nothing, "tail": nothing, "rows": 0, "error": zeros, "similar": zeros.copy(), "bits": bits}

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        """Compare the lines of a block, and merge."""
        pixels = pixels_of(block, self.counted.channels, True)
        places = self.counted.of_block(block, True)
        error, similar = np.zeros_like(state["error"]), np.zeros_like(state["similar"])
        for at, image in enumerate(self.images):
            index, palette = image.index(places), image.colours.values
            error[at] = squared_errors(pixels, index, palette)
            similar[at] = similarity_sums(pixels, index, palette, state["bits"])
        ends = {"head": pixels[:SEAM].copy(), "tail": pixels[-SEAM:].copy(), "rows": len(pixels)}
        return self.combine(state, {**ends, "error": error, "similar": similar, "bits": state["bits"]})

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Add up, and compare the windows across the seam."""
        if not left["rows"] or not right["rows"]:
            return right if right["rows"] else left
        seam = np.concatenate([left["tail"], right["head"]])
        similar = left["similar"] + right["similar"]
        if len(seam) >= WINDOW:
            places = self.counted.few_places(seam)
            for at, image in enumerate(self.images):
                similar[at] += similarity_sums(seam, image.index(places), image.colours.values, left["bits"])
        return {
            "head": left["head"] if left["rows"] >= SEAM else np.concatenate([left["head"], right["head"]])[:SEAM],
            "tail": right["tail"] if right["rows"] >= SEAM else np.concatenate([left["tail"], right["tail"]])[-SEAM:],
            "rows": left["rows"] + right["rows"],
            "error": left["error"] + right["error"],
            "similar": similar,
            "bits": left["bits"],
        }

    def aggregate(self, state: dict[str, Any], source: Readable) -> dict[str, dict[str, float]]:
        """Means."""
        width, channels = source.image_shape[0], self.counted.channels
        windows = n_windows(state["rows"], width, channels)
        values = max(state["rows"] * width * channels, 1)
        return {
            image.name: {
                "mse": int(state["error"][at]) / values,
                "ssim": mean_of(int(state["similar"][at]), windows, state["bits"]),
            }
            for at, image in enumerate(self.images)
        }

    def state_bytes(self, source: Readable) -> int:
        """Lines at both ends."""
        return 4096 + 2 * SEAM * source.image_bytes + 16 * len(self.images)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places, entries of one palette, and sums of a line of windows."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + pixels + 64 * source.image_bytes


@dataclass(frozen=True)
class ImagesFit(Reduction):
    """Squared error and mean structural similarity of images in the colours of palettes, the mean over all images.

    The result maps names of palettes to ``{"mse", "ssim"}``.
    """

    counted: Counted
    images: tuple[PaletteImage, ...]

    def initial(self, source: Readable) -> dict[str, Any]:
        """No images."""
        zeros = np.zeros(len(self.images), dtype=np.int64)
        return {"rows": 0, "error": zeros, "similar": zeros.copy()}

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        """Compare the images of a block."""
        channels = self.counted.channels
        pixels = pixels_of(block, channels, False)
        places = self.counted.of_block(block, False)
        for at, image in enumerate(self.images):
            index, palette = image.index(places), image.colours.values
            n, height, width, _ = pixels.shape
            state["error"][at] += squared_errors(
                pixels.reshape(n * height, width, channels), index.reshape(n * height, width), palette
            )
            state["similar"][at] += rounded(np.nan_to_num(similarities(pixels, index, palette[None])), 30)
        state["rows"] += len(block)
        return state

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Add up."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: dict[str, Any], source: Readable) -> dict[str, dict[str, float]]:
        """Means."""
        height, width = plane_of(source, False)
        images = state["rows"] if n_windows(height, width, 1) else 0
        values = max(state["rows"] * source.image_bytes, 1)
        return {
            image.name: {
                "mse": int(state["error"][at]) / values,
                "ssim": mean_of(int(state["similar"][at]), images, 30),
            }
            for at, image in enumerate(self.images)
        }

    def state_bytes(self, source: Readable) -> int:
        """Two sums of each palette."""
        return 1024 + 16 * len(self.images)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places, and entries of one palette."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + 2 * pixels


@dataclass(frozen=True)
class Preview(Reduction):
    """Every ``step``-th pixel of every ``step``-th line of a photograph, shape (y, x, channels)."""

    step: int
    channels: int

    def initial(self, source: Readable) -> UInt8Array:
        """No lines."""
        return np.zeros((0, -(-source.image_shape[0] // self.step), self.channels), dtype=np.uint8)

    def chunk(self, state: UInt8Array, block: Block) -> UInt8Array:
        """Those of a block."""
        wanted = block.rows % self.step == 0
        pixels = pixels_of(block, self.channels, True)
        return np.concatenate([state, pixels[wanted, :: self.step]])

    def combine(self, left: UInt8Array, right: UInt8Array) -> UInt8Array:
        """One below the other."""
        return np.concatenate([left, right])

    def state_bytes(self, source: Readable) -> int:
        """Of a part."""
        return 1024 + (source.n // self.step + 1) * (source.image_shape[0] // self.step + 1) * self.channels

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Of some lines."""
        return 1024 + (rows // self.step + 1) * (source.image_shape[0] // self.step + 1) * self.channels
