"""How statistics of each pixel are cut into passes whose states stay within a budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Scan
from fmnist_dask.passes.reductions.histogram import PixelHistogram, most_cells
from fmnist_dask.passes.reductions.pixels import Group, IntervalCounts, PixelSummary, interval_bytes, summary_bytes

#: Bytes of the state of one pass. A worker holds about four states at once: 1 GiB is enough for it.
STATE_BYTES = 64 * 2**20
#: Bits of a pixel value.
BITS = 8


@dataclass(frozen=True)
class Stage:
    """Passes that tell some bits of the order statistics.

    Attributes
    ----------
    bits
        How many.
    width
        Bits that are not known yet before this stage.
    slots
        Intervals that the order statistics of a pixel may lie in.
    pixel_bytes
        Bytes of the state for each pixel.
    tile
        Pixels of one pass.
    """

    bits: int
    width: int
    slots: int
    pixel_bytes: int
    tile: int

    @property
    def last(self) -> bool:
        """Whether order statistics are known after it."""
        return self.bits == self.width

    def tiles(self, pixels: int) -> list[tuple[int, int]]:
        """Range of pixels of each pass."""
        return [(first, min(first + self.tile, pixels)) for first in range(0, pixels, self.tile)]


def fits_one_pass(source: Readable, label_split: int | None, by_label: bool) -> bool:
    """Whether histograms of all 256 values of every pixel are within the budget."""
    return PixelHistogram(label_split, by_label).state_bytes(source) <= STATE_BYTES


def stages(source: Readable, label_split: int | None, by_label: bool, quantiles: int) -> tuple[Stage, ...]:
    """The stages that take the fewest passes; of these, those that count the least.

    Counting all of a value's bits at once would take 256 counters a pixel; two bits at a time take three for each
    interval that a quantile lies in. Where even these are beyond the budget, pixels are spread over further passes.
    """
    pixels = source.image_bytes
    cells = most_cells(source, label_split, by_label)
    groups = len(wanted_groups(source, label_split, range(len(source.class_names) if by_label else 0)))
    found = [_stages_of(cut, source.n, pixels, cells, groups, quantiles) for cut in _cuts(BITS) if len(cut) > 1]
    return min(found, key=lambda cut: (passes_of(cut, pixels), _counters(cut), max(stage.pixel_bytes for stage in cut)))


def passes_of(cut: tuple[Stage, ...], pixels: int) -> int:
    """Passes of all stages."""
    return sum(len(stage.tiles(pixels)) for stage in cut)


def _stages_of(cut: tuple[int, ...], n: int, pixels: int, cells: int, groups: int, quantiles: int) -> tuple[Stage, ...]:
    found, width = list[Stage](), BITS
    for bits in cut:
        slots = min(quantiles, 2 ** (BITS - width))
        later = groups * interval_bytes(n, slots, bits, bits == width)
        size = later if found else cells * summary_bytes(n, bits)
        most = min(pixels, max(1, STATE_BYTES // size))
        # Tiles of about the same size.
        found.append(Stage(bits, width, slots, size, -(-pixels // -(-pixels // most))))
        width -= bits
    return tuple(found)


def _cuts(bits: int) -> Iterator[tuple[int, ...]]:
    """All ways to cut some bits into consecutive groups."""
    for inner in itertools.product((False, True), repeat=bits - 1):
        edges = [0, *(at + 1 for at, cut in enumerate(inner) if cut), bits]
        yield tuple(high - low for low, high in itertools.pairwise(edges))


def _counters(cut: tuple[Stage, ...]) -> int:
    """Counters that a value is compared with: it is in about two groups after the first stage."""
    return sum((1 if at == 0 else 2) * stage.slots * (2**stage.bits - 1) for at, stage in enumerate(cut))


def wanted_groups(source: Readable, split: int | None, labels: range | list[int]) -> list[Group]:
    """All images of a split, each class in it, each split: without repetition."""
    groups: list[Group] = [(split, None), *((split, label) for label in labels)]
    if len(source.splits) > 1:
        groups += [(code, None) for code in range(len(source.splits)) if code != split]
    return groups


def foreseen_passes(source: Readable, label_split: int | None, by_label: bool, quantiles: int) -> list[Scan]:
    """Scans of the size of those to come, in their order; all but the first rest on what is found before them."""
    if fits_one_pass(source, label_split, by_label):
        return [Scan({"histogram": PixelHistogram(label_split, by_label)})]
    groups = tuple(wanted_groups(source, label_split, range(len(source.class_names) if by_label else 0)))
    scans = []
    for at, stage in enumerate(stages(source, label_split, by_label, quantiles)):
        for first, stop in stage.tiles(source.image_bytes):
            if at == 0:
                scans.append(Scan({"pixels": PixelSummary(source.n, label_split, by_label, first, stop, stage.bits)}))
                continue
            starts = np.broadcast_to(np.uint8(0), (len(groups), stage.slots, stop - first))
            counts = IntervalCounts(
                source.n, groups, ArrayParameter(starts), stage.width, stage.bits, stage.last, first
            )
            scans.append(Scan({"pixels": counts}))
    return scans
