"""What steps that lay images out in a plane have in common: what is foreseen, columns, dataset, images to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.kernels.spread import spread_order
from fmnist_dask.models.map_others import MapModel
from fmnist_dask.models.map_quality import map_quality
from fmnist_dask.models.neighbours import block_rows, calls_of_round, pair_bytes
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Column, ColumnArray, Scan
from fmnist_dask.passes.reductions.codes import cells_of
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.rows_at import RowsAt
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult
from fmnist_dask.workflow.steps._names import IMAGE_DIMS
from fmnist_dask.workflow.steps._seconds import pairs_seconds

#: Cells along each side of the map; the number of those that are nowhere.
CELLS, NOWHERE = 1280, 2**16 - 1
#: Room beyond the outermost images, as a share of their range.
MARGIN = 0.02
#: Images whose neighbours are looked at, of all.
MOST_ASKED = 2000
#: Images, drawn at random, of which some are chosen to be shown; the stream of random numbers they are drawn by.
CANDIDATES, SHOWN_STREAM = 200_000, 9402


def foreseen_rows(data: StepInput, m: int, p: int) -> Iterator[Foreseen]:
    """A map of m images, p of them landmarks: features of the landmarks, once they are chosen."""
    if p < m:
        some = ArrayParameter(np.linspace(0, data.n - 1, p).astype(np.int64))
        yield Foreseen("landmarks", Scan({"sample": RowsAt(some)}, split=data.split))


def foreseen_neighbours(data: StepInput, m: int, k: int) -> Foreseen:
    """K nearest of m samples of each of them: pairs of blocks, in rounds."""
    size = block_rows(data.source, m)
    blocks = -(-m // size)
    pairs = blocks * (blocks + 1) // 2
    calls = calls_of_round(m, size, k)
    seconds = pairs_seconds(m * m / 2 / pairs, data.source.n_features) + size * k * 1e-7
    cost = pair_bytes(data.source, size, k)
    return Foreseen("neighbours", None, calls, cost, 24 * m, times=max(1, round(pairs / calls)), seconds=seconds)


def foreseen_fit(data: StepInput, name: str, p: int, k: int, fit_bytes: int, seconds: float) -> Iterator[Foreseen]:
    """K neighbours of each of p landmarks, and the map of these."""
    yield foreseen_neighbours(data, p, k)
    shared = 8 * p * data.source.n_features
    yield Foreseen(name, calls=1, task_bytes=fit_bytes, shared_bytes=shared, seconds=seconds, late=True)


def foreseen_places(data: StepInput, column: Column) -> Foreseen:
    """The pass that places the others."""
    return Foreseen("places of others", Scan(columns={"places": column}, split=data.split))


def foreseen_quality(data: StepInput, m: int, count: int) -> Iterator[Foreseen]:
    """Thumbnails of so many of m images on a map, and how far neighbours on it are neighbours."""
    if count:
        yield Foreseen("thumbnails", Scan({"images": ImagesAt(spread_rows(data.n, count))}, split=data.split))
    chunks = -(-data.source.n // data.source.chunk_rows)
    cost = 24 * m + 2 * data.source.chunk_rows * (8 * 256 + 12 * data.source.n_features)
    asked = min(m, MOST_ASKED)
    yield Foreseen("neighbours on the map", calls=1, task_bytes=2**26 + 64 * m, shared_bytes=16 * m, seconds=4e-6 * m)
    seconds = pairs_seconds(asked * m / chunks, data.source.n_features)
    yield Foreseen("ranks", calls=chunks, task_bytes=cost, shared_bytes=24 * m, seconds=seconds)


def spread_rows(n: int, count: int) -> tuple[int, ...]:
    """So many rows, as far apart as images drawn at random are."""
    return tuple(np.unique(np.linspace(0, max(n - 1, 0), min(count, n)).astype(np.int64)).tolist())


def chosen_to_show(rows: IntArray, embedding: AnyArray, count: int, seed: int) -> IntArray:
    """Positions of so many images that are spread evenly over a map, ascending; the same for any chunking."""
    priority = random_bits(seed, rows, SHOWN_STREAM)
    some = np.sort(np.argsort(priority, kind="stable")[:CANDIDATES])
    order = spread_order(embedding[some].astype(np.float64), priority[some])
    return np.sort(some[order[:count]])


def shown_images(
    data: StepInput, rows: IntArray, embedding: AnyArray, count: int
) -> Algorithm[tuple[IntArray, AnyArray]]:
    """Some of the images of a map, spread evenly over it: their places among its rows, and thumbnails."""
    chosen = chosen_to_show(rows, embedding, count, data.seed)
    if not len(chosen):
        return chosen, np.zeros((0, *data.source.image_shape), np.uint8)
    wanted = ImagesAt(tuple(rows[chosen].tolist()), thumbnails=True)
    return chosen, (yield Scan({"images": wanted}, split=data.split))["images"]["image"]


def columns_of_map(rows: IntArray, embedding: AnyArray, fitted: BoolArray, n: int) -> dict[str, AnyArray]:
    """For each image its place, and whether the map was fitted on it: 1, 0 for placed, −1 for not on the map."""
    places = np.full((2, n), np.nan, dtype=np.float32)
    places[:, rows] = embedding.T
    which = np.full(n, -1, dtype=np.int8)
    which[rows] = fitted
    return {"x": places[0], "y": places[1], "fitted": which}


def table_of_map(columns: Mapping[str, ColumnArray]) -> dict[str, ColumnArray | Mapping[str, ColumnArray]]:
    """Columns of ``tables/embedding.parquet``, with plain names, by which viewers of maps find them."""
    return {
        "=x": columns["x"],
        "=y": columns["y"],
        "_fitted": columns["fitted"],
        "=neighbours": {"ids": columns["neighbour"], "distances": columns["neighbour_distance"]},
    }


def result_of_map(
    data: StepInput,
    sample: Mapping[str, AnyArray],
    model: MapModel,
    shown: int,
    attrs: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
    history: FloatArray | None = None,
) -> Algorithm[StepResult]:
    """The result of a step that made a map: quality, images to show, columns, dataset.

    Parameters
    ----------
    sample
        As :func:`~fmnist_dask.models.map_rows.images_to_place` returned it.
    shown
        Images to show one by one.
    attrs
        Of the dataset, what the method has to add.
    metrics
        Of the method; exact.
    history
        How the method converged, shape (records, 2).
    """
    labels, own = sample["label"], metrics or {}
    chosen, pictures = yield from shown_images(data, model.rows, model.embedding, shown)
    quality = yield from map_quality(data.source, model.rows, labels, model.embedding, data.seed, data.split)
    columns: dict[str, ColumnArray] = {
        **columns_of_map(model.rows, model.embedding, model.fitted, data.source.n),
        "neighbour": model.neighbours,
        "neighbour_distance": model.distances,
    }
    dataset = dataset_of_map(data, model, labels, chosen, pictures)
    if history is not None:
        dataset["history"] = (("record", "column"), history)
    voted = len(model.rows) if quality.voted is None else quality.voted
    dataset.attrs |= {**attrs, "n_trusted": quality.sampled, "n_voted": voted}
    return StepResult(
        dataset=dataset,
        metrics={
            **own,
            "trustworthiness": quality.trustworthiness,
            "knn_accuracy": quality.knn_accuracy,
            "n_placed": len(model.rows),
            "n_landmarks": int(model.fitted.sum()),
        },
        exact={
            **dict.fromkeys(own, True),
            "trustworthiness": quality.sampled == len(model.rows),
            "knn_accuracy": quality.voted is None,
        },
        n_used=len(model.rows),
        n_total=data.source.n,
        columns=columns,
        image_tables={"embedding": table_of_map(columns)},
        features="embedding",
    )


def dataset_of_map(data: StepInput, model: MapModel, labels: AnyArray, chosen: IntArray, pictures: AnyArray) -> Any:
    """Where images are, as an xarray Dataset.

    Parameters
    ----------
    labels
        Of the images on the map.
    chosen, pictures
        As :func:`shown_images` finds them.
    """
    import xarray as xr

    n, rows, embedding = data.source.n, model.rows, model.embedding
    everywhere = np.full((n, 2), np.nan, dtype=np.float32)
    everywhere[rows] = embedding
    edges = edges_of(embedding.astype(np.float64))
    plane = np.full((n, 2), NOWHERE, dtype=np.uint16)
    plane[rows] = cells_of(embedding.astype(np.float64), edges, CELLS)
    known = np.full(n, -1, dtype=np.int16)
    known[rows] = labels
    image_dims = IMAGE_DIMS[: pictures.ndim - 1]
    named = {"long_name": "cell of the map", "cells": CELLS, "nowhere": NOWHERE}
    return xr.Dataset(
        {
            "embedding": (("sample", "axis"), everywhere, {"long_name": "place on the map"}),
            "plane": (("sample", "axis"), plane, named),
            "label": ("sample", known, {"long_name": "class"}),
            "plane_edge": (("axis", "edge"), edges),
            "shown_row": ("shown", rows[chosen]),
            "shown_code": (("shown", "axis"), embedding[chosen]),
            "shown_image": (("shown", *(f"shown_{dim}" for dim in image_dims)), pictures),
        },
        attrs={
            "split": data.split,
            "on": data.on,
            "shown": "spread",
            "n": len(rows),
            "n_split": model.n,
            "n_landmarks": int(model.fitted.sum()),
        },
    )


def edges_of(places: FloatArray) -> FloatArray:
    """Limits of the map along both axes, with some room, shape (2, 2)."""
    low, high = places.min(axis=0), places.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    return np.stack([low - room, high + room], axis=1)
