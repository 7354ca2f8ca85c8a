"""Exact statistics of each pixel, by class and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.histogram import (
    LEVELS,
    extremes,
    interpolated,
    moments,
    moments_of,
    quantile_ranks,
    quantiles,
)
from fmnist_dask.kernels.selection import Sought
from fmnist_dask.models.pixel_passes import Stage, fits_one_pass, stages, wanted_groups
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.histogram import PixelHistogram
from fmnist_dask.passes.reductions.pixels import Group, IntervalCounts, PixelSummary
from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array


@dataclass
class PixelStatistics:
    """Statistics of one group of images, pixel by pixel, in units of the pixel values (0 to 255).

    Attributes
    ----------
    n
        Images counted.
    mean, std : float64 arrays of the image's shape
    minimum, maximum : uint8 arrays of the image's shape
    quantiles : float64 array, shape (q, *image shape)
        Linear interpolation; equal to :func:`numpy.quantile`.
    histogram : int64 array, shape (256,)
        Values of all pixels.
    """

    n: int
    mean: FloatArray
    std: FloatArray
    minimum: UInt8Array
    maximum: UInt8Array
    quantiles: FloatArray
    histogram: IntArray

    @classmethod
    def from_counts(cls, counts: AnyArray, shape: tuple[int, ...], probabilities: tuple[float, ...]) -> PixelStatistics:
        """From per-pixel histograms of shape (pixels, 256)."""
        mean, std = moments(counts)
        lowest, highest = extremes(counts)
        return cls(
            n=int(counts[0].sum()),
            mean=mean.reshape(shape),
            std=std.reshape(shape),
            minimum=lowest.reshape(shape),
            maximum=highest.reshape(shape),
            quantiles=quantiles(counts, np.asarray(probabilities)).reshape(-1, *shape),
            histogram=counts.sum(axis=0, dtype=np.int64),
        )

    def overall(self) -> tuple[float, float]:
        """Mean and standard deviation of all pixel values."""
        mean, std = moments(self.histogram[None])
        return float(mean[0]), float(std[0])


@dataclass
class GroupedStatistics:
    """Statistics over all images of a split, of each class in it, and of each split of the whole collection."""

    overall: PixelStatistics
    by_class: dict[int, PixelStatistics]
    by_split: dict[str, PixelStatistics]


def pixel_statistics(
    source: Readable, split_code: int | None, probabilities: tuple[float, ...], by: str | None
) -> Algorithm[GroupedStatistics]:
    """Statistics of each pixel, exact: in one pass from histograms, or in a few where these would be too large.

    Every pass counts by split, and by class where that is asked for: every coarser grouping is a sum of these counts.
    The result does not depend on the method.

    Parameters
    ----------
    split_code
        Split whose images make ``overall`` and ``by_class``; ``None`` for all.
    probabilities
        Of the quantiles.
    by
        ``"label"`` for statistics of each class, ``None`` for none.
    """
    if fits_one_pass(source, split_code, by == "label"):
        return (yield from _from_histograms(source, split_code, probabilities, by))
    return (yield from _from_intervals(source, split_code, probabilities, by))


def _from_histograms(
    source: Readable, split_code: int | None, probabilities: tuple[float, ...], by: str | None
) -> Algorithm[GroupedStatistics]:
    """All 256 values of every pixel are counted."""
    counts = (yield Scan({"histogram": PixelHistogram(split_code, by == "label")}))["histogram"]
    found = {}
    for group in wanted_groups(source, split_code, _labels(counts, split_code, by)):
        table = np.zeros((source.image_bytes, LEVELS), dtype=np.int64)
        for key in _cells(counts, group):
            table += counts[key]
        found[group] = PixelStatistics.from_counts(table, source.image_shape, probabilities)
    return _grouped(source, split_code, found)


def _from_intervals(
    source: Readable, split_code: int | None, probabilities: tuple[float, ...], by: str | None
) -> Algorithm[GroupedStatistics]:
    """Sums, extremes and coarse histograms first; then quantiles, by counting within the intervals they lie in."""
    first_stage, *others = stages(source, split_code, by == "label", len(probabilities))
    found: dict[Group, _Partial] = {}
    for first, stop in first_stage.tiles(source.image_bytes):
        summary = PixelSummary(source.n, split_code, by == "label", first, stop, first_stage.bits)
        cells = (yield Scan({"pixels": summary}))["pixels"]
        for group in wanted_groups(source, split_code, _labels(cells, split_code, by)):
            parts = [cells[key] for key in _cells(cells, group)]
            if first == 0:
                found[group] = _Partial(sum(part["n"] for part in parts), source.image_bytes, probabilities)
            if parts:
                found[group].summarize(parts, first, stop, first_stage)
    held = {group: partial for group, partial in found.items() if partial.n}
    for stage in others:
        for first, stop in stage.tiles(source.image_bytes):
            if not held:
                break
            sought = [partial.sought.part(first, stop).intervals(stage.slots) for partial in held.values()]
            starts = ArrayParameter(np.stack([own for own, _ in sought]))
            scan = IntervalCounts(source.n, tuple(held), starts, stage.width, stage.bits, stage.last, first)
            counts = (yield Scan({"pixels": scan}))["pixels"]
            for (group, partial), (_, which) in zip(held.items(), sought, strict=True):
                partial.take(counts[group], which, first, stop, stage)
    return _grouped(source, split_code, {group: own.statistics(source.image_shape) for group, own in found.items()})


class _Partial:
    """Statistics of one group on their way."""

    def __init__(self, n: int, pixels: int, probabilities: tuple[float, ...]) -> None:
        self.n = n
        self.mean, self.std = np.full(pixels, np.nan), np.full(pixels, np.nan)
        self.minimum, self.maximum = np.zeros(pixels, dtype=np.uint8), np.zeros(pixels, dtype=np.uint8)
        self.quantiles = np.full((len(probabilities), pixels), np.nan)
        self.histogram = np.zeros(LEVELS, dtype=np.int64)
        if n:
            ranks, weights = quantile_ranks(n, np.asarray(probabilities))
            #: Which quantile each order statistic is for: these ascend.
            self.order = np.argsort(ranks, kind="stable")
            self.weights = weights[self.order]
            self.sought = Sought.of(ranks[self.order], n, pixels)

    def summarize(self, parts: list[dict[str, Any]], first: int, stop: int, stage: Stage) -> None:
        """Take in what the first stage tells of a range of pixels."""
        here = slice(first, stop)
        total, square = (sum(part[name].astype(np.int64) for part in parts) for name in ("sum", "square"))
        self.mean[here], self.std[here] = moments_of(np.asarray(self.n), total, square)
        self.minimum[here] = np.min([part["low"] for part in parts], axis=0)
        self.maximum[here] = np.max([part["high"] for part in parts], axis=0)
        self.histogram += sum(part["histogram"] for part in parts)
        sought = self.sought.part(first, stop)
        bins = sum(part["bins"].astype(np.int64) for part in parts)
        sought.narrow(bins, np.zeros(sought.start.shape, dtype=np.intp), stage.width - stage.bits)

    def take(self, counts: dict[str, AnyArray], which: AnyArray, first: int, stop: int, stage: Stage) -> None:
        """Take in what a later stage tells of the quantiles of a range of pixels."""
        sought = self.sought.part(first, stop)
        if not stage.last:
            sought.narrow(counts["bins"], which, stage.width - stage.bits)
            return
        below, above = sought.finish(counts["bins"], which, counts["above"])
        self.quantiles[self.order, first:stop] = interpolated(below, above, self.weights[:, None])

    def statistics(self, shape: tuple[int, ...]) -> PixelStatistics:
        """As images."""
        return PixelStatistics(
            n=self.n,
            mean=self.mean.reshape(shape),
            std=self.std.reshape(shape),
            minimum=self.minimum.reshape(shape),
            maximum=self.maximum.reshape(shape),
            quantiles=self.quantiles.reshape(-1, *shape),
            histogram=self.histogram,
        )


def _labels(cells: dict[tuple[int, int], Any], split_code: int | None, by: str | None) -> list[int]:
    """Classes that have images in a split."""
    used = {label for split, label in cells if split_code is None or split == split_code}
    return sorted(label for label in used if label >= 0) if by == "label" else []


def _cells(cells: dict[tuple[int, int], Any], group: Group) -> list[tuple[int, int]]:
    """What a group is made of."""
    return [key for key in cells if group[0] in (None, key[0]) and group[1] in (None, key[1])]


def _grouped(source: Readable, split_code: int | None, found: dict[Group, PixelStatistics]) -> GroupedStatistics:
    several = len(source.splits) > 1
    return GroupedStatistics(
        overall=found[split_code, None],
        by_class={label: own for (_, label), own in found.items() if label is not None},
        by_split={name: found[code, None] for code, name in enumerate(source.splits) if several},
    )
