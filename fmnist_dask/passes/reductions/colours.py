"""Passes over colours: how often each occurs, and the entry of a palette that each pixel gets."""

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
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.typing import AnyArray, UInt8Array

#: What stays with allocators of the tables and lists of blocks before (measured).
KEPT_BYTES = 32 * 2**20


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
        # The table is gone when what was counted is merged with what was there.
        merging = 4 * (self.state_bytes(source) + self.part_bytes(source, rows))
        return KEPT_BYTES + max(counting_bytes(pixels, self.channels, self.limit), merging)


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
        told = f"entry of the palette {self.image.name}" + ("" if self.lines else "; 0 for images of other splits")
        attrs = (("long_name", told),)
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
