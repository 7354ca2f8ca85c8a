"""Exact statistics of each pixel, by class and split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.histogram import LEVELS, extremes, moments, quantiles
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.histogram import PixelHistogram
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
    """Statistics of each pixel from exact histograms, in one pass.

    The pass counts by split, and by class where that is asked for: every coarser grouping is a sum of these counts.

    Parameters
    ----------
    split_code
        Split whose images make ``overall`` and ``by_class``; ``None`` for all.
    probabilities
        Of the quantiles.
    by
        ``"label"`` for statistics of each class, ``None`` for none.
    """
    counts = (yield Scan({"histogram": PixelHistogram(split_code, by == "label")}))["histogram"]
    shape = source.image_shape

    def total(chosen: list[tuple[int, int]]) -> AnyArray:
        table = np.zeros((source.image_bytes, LEVELS), dtype=np.int64)
        for key in chosen:
            table += counts[key]
        return table

    def statistics(chosen: list[tuple[int, int]]) -> PixelStatistics:
        return PixelStatistics.from_counts(total(chosen), shape, probabilities)

    used = [key for key in counts if split_code is None or key[0] == split_code]
    labels = sorted({label for _, label in used if label >= 0}) if by == "label" else []
    names = list(source.splits)
    several = len(names) > 1
    return GroupedStatistics(
        overall=statistics(used),
        by_class={label: statistics([key for key in used if key[1] == label]) for label in labels},
        by_split={
            name: statistics([key for key in counts if key[0] == code]) for code, name in enumerate(names) if several
        },
    )
