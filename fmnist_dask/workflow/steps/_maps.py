"""What steps that make maps leave behind, whatever placed the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.kernels.spread import spread_order
from fmnist_dask.models.map_quality import MapQuality
from fmnist_dask.passes.protocol import Algorithm, ColumnArray, Scan
from fmnist_dask.passes.reductions.codes import cells_of
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps._names import IMAGE_DIMS

#: Cells along each side of the map; the number of those that are nowhere.
CELLS, NOWHERE = 1280, 2**16 - 1
#: Room beyond the outermost images, as a share of their range.
MARGIN = 0.02
#: Images, drawn at random, of which some are chosen to be shown; the stream of random numbers they are drawn by.
CANDIDATES, SHOWN_STREAM = 200_000, 9402


@dataclass(frozen=True)
class Drawn:
    """A map.

    Attributes
    ----------
    rows : int64 array, shape (m,)
        Images on it, ascending.
    places : float32 array, shape (m, 2)
    labels : int array, shape (m,)
    chosen : int64 array, shape (s,)
        Positions, among these, of the images that are shown one by one.
    pictures : uint8 array, shape (s, y, x[, channel])
        Their thumbnails.
    """

    rows: IntArray
    places: AnyArray
    labels: AnyArray
    chosen: IntArray
    pictures: AnyArray


def chosen_to_show(rows: IntArray, places: AnyArray, count: int, seed: int) -> IntArray:
    """Positions of so many images that are spread evenly over a map, ascending; the same for any chunking."""
    priority = random_bits(seed, rows, SHOWN_STREAM)
    some = np.sort(np.argsort(priority, kind="stable")[:CANDIDATES])
    order = spread_order(places[some].astype(np.float64), priority[some])
    return np.sort(some[order[:count]])


def thumbnails_of(data: StepInput, rows: IntArray) -> Algorithm[AnyArray]:
    """Thumbnails of some rows, ascending."""
    if not len(rows):
        return np.zeros((0, *data.source.image_shape), np.uint8)
    wanted = ImagesAt(tuple(rows.tolist()), thumbnails=True)
    pictures: AnyArray = (yield Scan({"images": wanted}, split=data.split))["images"]["image"]
    return pictures


def columns_of_map(rows: IntArray, places: AnyArray, fitted: BoolArray, n: int) -> dict[str, AnyArray]:
    """For each image its place, and whether the map was fitted on it: 1, 0 for placed, −1 for not on the map."""
    found = np.full((2, n), np.nan, dtype=np.float32)
    found[:, rows] = places.T
    known = np.full(n, -1, dtype=np.int8)
    known[rows] = fitted
    return {"x": found[0], "y": found[1], "fitted": known}


def tables_of_map(columns: Mapping[str, ColumnArray]) -> dict[str, dict[str, Any]]:
    """The columns as those of ``embedding.parquet``, under the plain names by which viewers of maps find them."""
    near = {"ids": columns["neighbour"], "distances": columns["neighbour_distance"]}
    return {
        "embedding": {"=x": columns["x"], "=y": columns["y"], "_fitted": columns["fitted"], "=neighbours": near},
    }


def dataset_of_map(
    data: StepInput, drawn: Drawn, quality: MapQuality, more: Mapping[str, Any], attrs: Mapping[str, Any]
) -> Any:
    """The result of a step that makes a map.

    Parameters
    ----------
    more, attrs
        Further variables and attributes of the step's own.
    """
    import xarray as xr

    n, places = data.source.n, drawn.places.astype(np.float64)
    embedding = np.full((n, 2), np.nan, dtype=np.float32)
    embedding[drawn.rows] = drawn.places
    edges = edges_of_map(places)
    plane = np.full((n, 2), NOWHERE, dtype=np.uint16)
    plane[drawn.rows] = cells_of(places, edges, CELLS)
    labels = np.full(n, -1, dtype=np.int16)
    labels[drawn.rows] = drawn.labels
    image_dims = IMAGE_DIMS[: drawn.pictures.ndim - 1]
    named = {"long_name": "cell of the map", "cells": CELLS, "nowhere": NOWHERE}
    return xr.Dataset(
        {
            "embedding": (("sample", "axis"), embedding, {"long_name": "place on the map"}),
            "plane": (("sample", "axis"), plane, named),
            "label": ("sample", labels, {"long_name": "class"}),
            "plane_edge": (("axis", "edge"), edges),
            "shown_row": ("shown", drawn.rows[drawn.chosen]),
            "shown_code": (("shown", "axis"), drawn.places[drawn.chosen]),
            "shown_image": (("shown", *(f"shown_{dim}" for dim in image_dims)), drawn.pictures),
            **more,
        },
        attrs={
            "split": data.split,
            "on": data.on,
            "n": len(drawn.rows),
            "n_trusted": quality.sampled,
            "n_voted": len(drawn.rows) if quality.voted is None else quality.voted,
            **attrs,
        },
    )


def edges_of_map(places: FloatArray) -> FloatArray:
    """Low and high of both axes, with some room."""
    low, high = places.min(axis=0), places.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    return np.stack([low - room, high + room], axis=1)
