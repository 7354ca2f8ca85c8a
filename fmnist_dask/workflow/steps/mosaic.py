"""``mosaic``: random images side by side in the colours of their classes, and each class's mean."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.classes import ClassSums
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.report.figures.categories import NONE_COLOUR, category_colours
from fmnist_dask.report.sheets import background_of, enlarged, png_file, sheet, tinted
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, class_table


def _scan(data: StepInput, cells: int) -> Scan:
    sample = RandomSubset(min(cells, data.n), data.n, data.seed)
    return Scan({"sample": sample, "sums": ClassSums()}, split=data.split)


@step(
    "mosaic",
    figures="fmnist_dask.workflow.figures.mosaic:figures",
    libraries=("numpy", "pillow"),
    accepts=("images",),
)
def mosaic_step(
    data: StepInput,
    *,
    rows: Annotated[int, pydantic.Field(ge=1, le=200)] = 15,
    columns: Annotated[int, pydantic.Field(ge=1, le=200)] = 30,
) -> Algorithm[StepResult]:
    """Draw random images side by side in the colours of their classes, and the mean image of each class.

    Parameters
    ----------
    rows, columns
        Of the mosaic; fewer rows where there are not so many images.
    """
    found = yield _scan(data, rows * columns)
    sample, sums = found["sample"], found["sums"]
    m = len(sample["row"])
    images = shrink(sample["features"].reshape(m, *data.source.image_shape))
    order = np.random.default_rng(data.seed).permutation(m)
    cells = np.full(-(-m // columns) * columns, -1, dtype=np.int64)
    cells[:m] = order
    cells = cells.reshape(-1, columns)[:, : min(columns, m)]
    background = background_of(images)
    # Classes in order, those without a label last.
    counts = sums["images"]
    table = class_table(data.source.class_names, np.concatenate([counts[-1:], counts[:-1]])[None])
    at = [column - 1 for column in table.columns]
    means = (sums["sum"][at] / np.maximum(counts[at], 1)[:, None]).reshape(len(at), *data.source.image_shape)
    colours = np.array([*category_colours(counts[:-1]), NONE_COLOUR], dtype=object)
    files = {"random": png_file(enlarged(sheet(cells, images, background)))}
    if len(data.source.class_names):
        ink = tinted(images, colours[sample["label"].astype(np.int64)].tolist(), background)
        files["classes"] = png_file(enlarged(sheet(cells, ink, 255)))
    return StepResult(
        dataset=_dataset(data, sample, images, cells, means, table.names, counts[at]),
        metrics={"shape": list(cells.shape)},
        n_used=data.n,
        n_total=data.source.n,
        pictures=files,
    )


def _dataset(
    data: StepInput,
    sample: dict[str, Any],
    images: AnyArray,
    cells: AnyArray,
    means: AnyArray,
    names: list[str],
    counts: AnyArray,
) -> Any:
    import xarray as xr

    dims = IMAGE_DIMS[: images.ndim - 1]
    return xr.Dataset(
        {
            "image": (("image_row", *(f"image_{dim}" for dim in dims)), images, {"long_name": "thumbnails"}),
            "image_sample": ("image_row", sample["row"], {"long_name": "sample of each thumbnail"}),
            "label": ("image_row", sample["label"], {"long_name": "class"}),
            "cells": (("row", "column"), cells, {"long_name": "thumbnail in each cell; -1: none"}),
            "class_mean": (("group", *dims), means.astype(np.float32), {"long_name": "mean value of each pixel"}),
            "class_size": ("group", counts),
        },
        coords={"group": names},
        attrs={"split": data.split, "on": data.on},
    )
