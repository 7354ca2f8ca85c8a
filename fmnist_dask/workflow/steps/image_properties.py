"""``image_properties``: brightness, contrast, blank share and sharpness of every image; images that stand out."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.kernels.properties import PROPERTIES
from fmnist_dask.models.image_properties import (
    REASONS,
    Properties,
    Thresholds,
    image_properties,
    oddest_property,
    outlier_scores,
)
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.passes.reductions.properties import BINS, RANGES
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import class_table, label_names

#: Bins of the distributions that the report draws.
DISPLAY_BINS = 64
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Count = Annotated[int, pydantic.Field(ge=1, le=200)]


@step("image_properties", figures="fmnist_dask.workflow.figures.image_properties:figures", libraries=("numpy", "numba"))
def properties(
    data: StepInput,
    *,
    dark: Share = 0.02,
    bright: Share = 0.9,
    low_contrast: Annotated[float, pydantic.Field(ge=0, le=0.5)] = 0.035,
    outlier: Annotated[float, pydantic.Field(gt=0)] = 8.0,
    listed: Count = 24,
    sample: Count = 12,
) -> Algorithm[StepResult]:
    """Measure every image; list blank, constant, dark, bright, low-contrast and outlying ones.

    Parameters
    ----------
    dark, bright
        Brightness (0 to 1) below or above which an image is listed as very dark or very bright.
    low_contrast
        Standard deviation of the pixels (0 to 0.5) below which an image is listed.
    outlier
        Robust z-score of any property above which an image is listed.
    listed
        Pictures shown for each reason.
    sample
        Random pictures shown of each class.
    """
    thresholds = Thresholds(dark, bright, low_contrast, outlier)
    found = yield from image_properties(data.source, data.split, thresholds, listed, sample, data.seed)
    flags = {reason: int((found.flags >> bit & 1).sum()) for bit, reason in enumerate(REASONS)}
    metrics = {"suspicious": len(found.rows), **{reason.replace(" ", "_"): count for reason, count in flags.items()}}
    return StepResult(
        dataset=_dataset(found, data, listed),
        metrics=metrics,
        # The outliers' centre and scale are medians to the width of one of 4,096 bins.
        exact={name: name not in ("suspicious", "outlier") for name in metrics},
        n_used=data.n,
        n_total=data.source.n,
        columns=found.columns,
        tables={"suspicious": _table(found)},
    )


def _table(found: Properties) -> dict[str, Any]:
    reasons = [", ".join(reason for bit, reason in enumerate(REASONS) if flag >> bit & 1) for flag in found.flags]
    return {
        "sample": found.rows,
        "reasons": np.array(reasons, dtype=object),
        **found.values,
        "outlier_score": outlier_scores(found.values, found.centre),
    }


def _dataset(found: Properties, data: StepInput, listed: int) -> Any:
    import xarray as xr

    names = list(PROPERTIES)
    classes = class_table(data.source.class_names, found.histogram[:, 0].sum(axis=1)[None])
    counts = found.histogram[classes.columns]
    display, widths = _display_bins(counts)
    sample = [
        (label, int(row), image)
        for label, ranked in found.sample.items()
        for row, image in zip(ranked["row"], ranked["image"], strict=True)
    ]
    entries = found.listed_images(listed)
    image_dims = ("y", "x", "channel")[: len(data.source.image_shape)]
    thumbnail = sample[0][2].shape if sample else data.source.image_shape
    position = np.array([entry["position"] for entry in entries], dtype=np.int64)
    split_names = np.array(list(data.source.splits), dtype=object)
    sizes = np.array([[h, w, count] for (h, w), count in found.sizes.items()], dtype=np.int64).reshape(-1, 3)

    def pictures(images: list[Any]) -> Any:
        return np.stack(images) if images else np.zeros((0, *thumbnail), np.uint8)

    return xr.Dataset(
        {
            "histogram": (("class", "property", "bin"), display),
            "bin_width": ("property", widths),
            "quartiles": (("class", "property", "statistic"), _quartiles(counts)),
            "meaning": ("property", np.array(list(PROPERTIES.values()), dtype=object)),
            "size_height": ("size", sizes[:, 0], {"units": "pixels"}),
            "size_width": ("size", sizes[:, 1], {"units": "pixels"}),
            "size_images": ("size", sizes[:, 2]),
            "sample_image": (("sampled", *image_dims), pictures([image for _, _, image in sample])),
            "sample_sample": ("sampled", np.array([row for _, row, _ in sample], dtype=np.int64)),
            "sample_label": ("sampled", label_names(data.source.class_names, np.array([s[0] for s in sample], int))),
            "listed_image": (("listed", *image_dims), pictures([entry["image"] for entry in entries])),
            "listed_reason": ("listed", np.array([entry["reason"] for entry in entries], dtype=object)),
            "listed_sample": ("listed", found.rows[position]),
            "listed_label": ("listed", label_names(data.source.class_names, found.label[position])),
            "listed_split": ("listed", split_names[found.split[position].astype(int)]),
            "listed_score": ("listed", outlier_scores(found.values, found.centre)[position]),
            "listed_property": ("listed", oddest_property(found.values, found.centre)[position]),
            **{f"listed_{name}": ("listed", found.values[name][position]) for name in names},
        },
        coords={"class": classes.names, "property": names, "statistic": ["minimum", "q25", "median", "q75", "maximum"]},
        attrs={"split": data.split},
    )


def _display_bins(counts: Any) -> tuple[Any, Any]:
    """Coarser histograms of 64 bins over the range that is used, and their bins' widths, by property."""
    display = np.zeros((*counts.shape[:2], DISPLAY_BINS), dtype=np.int64)
    widths = np.empty(counts.shape[1])
    for position, name in enumerate(PROPERTIES):
        used = np.flatnonzero(counts[:, position].any(axis=0))
        factor = -(-(int(used[-1]) + 1 if len(used) else BINS) // DISPLAY_BINS)
        padded = np.zeros((len(counts), DISPLAY_BINS * factor), dtype=np.int64)
        size = min(BINS, padded.shape[1])
        padded[:, :size] = counts[:, position, :size]
        display[:, position] = padded.reshape(len(counts), DISPLAY_BINS, factor).sum(axis=2)
        widths[position] = factor * RANGES[name] / BINS
    return display, widths


def _quartiles(counts: Any) -> Any:
    """Five numbers of each class and property, to the width of a bin: shape (classes, properties, 5)."""
    result = np.full((*counts.shape[:2], 5), np.nan)
    cumulative = counts.cumsum(axis=2)
    for index in np.ndindex(counts.shape[:2]):
        size = int(cumulative[index][-1])
        if size:
            ranks = [0, (size - 1) // 4, (size - 1) // 2, 3 * (size - 1) // 4, size - 1]
            bins = np.searchsorted(cumulative[index], np.array(ranks) + 1)
            name = list(PROPERTIES)[index[1]]
            # A whole number is its bin's lower edge, a measure lies somewhere in its bin: half-way.
            offset = 0.0 if name == "distinct_values" else 0.5
            result[index] = (bins + offset) * (RANGES[name] / BINS)
    return result
