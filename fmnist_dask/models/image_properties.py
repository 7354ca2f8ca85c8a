"""Brightness, contrast, blank share, sharpness of every image; the images that stand out by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.kernels.properties import PROPERTIES
from fmnist_dask.passes.protocol import Algorithm, Call, ColumnArray, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.census import SizeCensus
from fmnist_dask.passes.reductions.images import Extremes, ImageSample
from fmnist_dask.passes.reductions.properties import BINS, RANGES, ImageProperties, PropertyHistogram
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Rows that one task looks through for images to list.
FLAG_ROWS = 250_000
#: Least scale of a property, as a share of its range: where most images have the same value, a hair's breadth is no
#: outlier.
LEAST_SCALE = 0.01
#: Why an image is listed, in the order of the bits of its flags.
REASONS = ("blank", "constant", "very dark", "very bright", "low contrast", "outlier")


@dataclass(frozen=True)
class Thresholds:
    """What makes an image suspicious.

    Attributes
    ----------
    dark, bright
        Brightness (0 to 1) below or above which an image is very dark or very bright.
    low_contrast
        Contrast (0 to 0.5) below which an image that is not constant has low contrast.
    outlier
        Robust z-score (distance from the median in units of 1.4826 × the median absolute deviation) above which a
        property makes an image an outlier.
    """

    dark: float = 0.02
    bright: float = 0.9
    low_contrast: float = 0.035
    outlier: float = 8.0


@dataclass
class Properties:
    """Properties of all images.

    Attributes
    ----------
    columns
        Property → value of each image.
    histogram : int64 array, shape (1 + classes, properties, bins)
    sizes
        (height, width) → images.
    sample
        Label → ``{"row", "image"}``: a random sample of each class.
    extremes
        (property, side) → ``{"key", "row", "image"}``.
    rows, flags, label, split
        Images that are listed, by row, why (bits, see :data:`REASONS`), and where they belong.
    values
        Property → value of the listed images.
    """

    columns: dict[str, ColumnArray]
    histogram: IntArray
    sizes: dict[tuple[int, int], int]
    sample: dict[int, dict[str, AnyArray]]
    extremes: dict[tuple[str, str], dict[str, AnyArray]]
    centre: dict[str, tuple[float, float]]
    rows: IntArray
    flags: AnyArray
    label: AnyArray
    split: AnyArray
    values: dict[str, AnyArray] = field(default_factory=dict)

    def listed_images(self, count: int) -> list[dict[str, Any]]:
        """Up to ``count`` pictures for each reason: the most extreme first."""
        found: dict[int, AnyArray] = {}
        for ranked in self.extremes.values():
            found |= {int(row): image for row, image in zip(ranked["row"], ranked["image"], strict=True)}
        z = outlier_scores(self.values, self.centre)
        entries = []
        for bit, reason in enumerate(REASONS):
            index = np.flatnonzero(self.flags >> bit & 1)
            order = index[np.lexsort((self.rows[index], self._severity(reason, index, z)))]
            shown = [position for position in order if int(self.rows[position]) in found][:count]
            entries += [{"reason": reason, "position": int(p), "image": found[int(self.rows[p])]} for p in shown]
        return entries

    def _severity(self, reason: str, index: IntArray, z: FloatArray) -> FloatArray:
        if reason == "outlier":
            return -z[index]
        name = "contrast" if reason in ("low contrast", "constant") else "brightness"
        sign = -1.0 if reason == "very bright" else 1.0
        severity: FloatArray = sign * self.values[name][index].astype(np.float64)
        return severity


def image_properties(
    source: Readable, split: str, thresholds: Thresholds, n_listed: int, per_class: int, seed: int
) -> Algorithm[Properties]:
    """Measure every image, and list those that stand out.

    One pass over the images; the listing reads the measured columns only (20 bytes an image).
    """
    names = tuple(PROPERTIES)
    result = yield Scan(
        reductions={
            "histogram": PropertyHistogram(),
            "sizes": SizeCensus(),
            "extremes": Extremes(n_listed, names),
            # Where nothing is labelled, the one "class" is the whole collection.
            "sample": ImageSample(per_class * (1 if source.class_names else 10), seed),
        },
        columns={"properties": ImageProperties()},
        split=split,
    )
    columns = result["properties"]
    centre = {name: _centre(result["histogram"][:, position].sum(axis=0), name) for position, name in enumerate(names)}
    spans = [(start, min(start + FLAG_ROWS, source.n)) for start in range(0, source.n, FLAG_ROWS)]
    parts = yield Tasks(
        "list suspicious images",
        tuple(Call(flag_rows, span, span[1] - span[0]) for span in spans),
        task_bytes=130 * min(source.n, FLAG_ROWS),
        unit="images",
        shared=FlagInputs(source, columns, thresholds, centre),
    )
    listed = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Properties(
        columns=columns,
        histogram=result["histogram"],
        sizes=result["sizes"],
        sample=result["sample"],
        extremes=result["extremes"],
        centre=centre,
        rows=listed["row"],
        flags=listed["flags"],
        label=listed["label"],
        split=listed["split"],
        values={name: listed[name] for name in names},
    )


def _centre(counts: IntArray, name: str) -> tuple[float, float]:
    """Median and scale: 1.4826 × median absolute deviation, to the width of a bin, with a floor."""
    size = int(counts.sum())
    if size == 0:
        return float("nan"), float("nan")
    width = RANGES[name] / BINS
    middle = int(np.searchsorted(np.cumsum(counts), (size + 1) // 2))
    distance = np.abs(np.arange(BINS) - middle)
    within = np.cumsum(np.bincount(distance, weights=counts, minlength=BINS))
    deviation = int(np.searchsorted(within, (size + 1) // 2))
    scale = 1.4826 * deviation * width
    return (middle + 0.5) * width, max(scale, LEAST_SCALE * RANGES[name])


def outlier_scores(values: dict[str, AnyArray], centre: dict[str, tuple[float, float]]) -> FloatArray:
    """Largest robust z-score over the properties, for each image."""
    largest: FloatArray = np.max(_scores(values, centre), axis=0)
    return largest


def oddest_property(values: dict[str, AnyArray], centre: dict[str, tuple[float, float]]) -> AnyArray:
    """Name of the property with the largest robust z-score, for each image."""
    names: AnyArray = np.array(list(centre), dtype=object)[np.argmax(_scores(values, centre), axis=0)]
    return names


def _scores(values: dict[str, AnyArray], centre: dict[str, tuple[float, float]]) -> list[FloatArray]:
    return [np.abs(values[name].astype(np.float64) - middle) / scale for name, (middle, scale) in centre.items()]


@dataclass(frozen=True)
class FlagInputs:
    """What listing images rests on: the collection, its measured columns, thresholds, medians and scales."""

    source: Readable
    columns: dict[str, ColumnArray]
    thresholds: Thresholds
    centre: dict[str, tuple[float, float]]


def flag_rows(inputs: FlagInputs, start: int, stop: int) -> dict[str, AnyArray]:
    """Rows ``start`` to ``stop`` that are suspicious, why, and their properties. Runs on workers."""
    source, thresholds, centre = inputs.source, inputs.thresholds, inputs.centre
    values = {name: column[start:stop] for name, column in inputs.columns.items()}
    measured = ~np.isnan(values["brightness"])
    bright, contrast = values["brightness"], values["contrast"]
    constant = values["distinct_values"] == 1
    # In the order of REASONS.
    conditions = (
        constant & ((bright == 0) | (bright == 1)),
        constant,
        bright < thresholds.dark,
        bright > thresholds.bright,
        ~constant & (contrast < thresholds.low_contrast),
        outlier_scores(values, centre) > thresholds.outlier,
    )
    flags = np.zeros(stop - start, dtype=np.uint8)
    for bit, condition in enumerate(conditions):
        flags |= (condition & measured).astype(np.uint8) << np.uint8(bit)
    index = np.flatnonzero(flags)
    listed: dict[str, AnyArray] = {"row": index + start, "flags": flags[index]}
    for name in ("label", "split"):
        listed[name] = source.read(name, start, stop)[index]
    return listed | {name: column[index] for name, column in values.items()}
