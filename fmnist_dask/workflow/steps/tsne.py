"""``tsne``: a map on which images that are alike lie together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.models.map_quality import MapQuality, map_quality
from fmnist_dask.models.map_rows import LandmarkChoice
from fmnist_dask.models.neighbours import block_rows, pair_bytes, rounds
from fmnist_dask.models.tsne import TSNEModel, TSNEOptions, embedding_bytes, images_to_place, neighbours_of, tsne
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, ColumnArray, Scan
from fmnist_dask.passes.reductions.codes import cells_of
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.map_places import Landmarks, MapPlaces
from fmnist_dask.passes.reductions.rows_at import RowLabels, RowsAt
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.registry import Foreseen, StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import IMAGE_DIMS

#: Cells along each side of the map; the number of those that are nowhere.
CELLS, NOWHERE = 320, 2**16 - 1
#: Room beyond the outermost images, as a share of their range.
MARGIN = 0.02


def _foresees(
    data: StepInput, *, images: int | None, landmarks: int, perplexity: float, placing_iter: int, **others: Any
) -> Iterator[Foreseen]:
    """Features of the landmarks in one place, the map of them, and the others placed among them."""
    m, d = min(images or data.n, data.n), data.source.n_features
    p = min(m, landmarks)
    perplexity = min(perplexity, max(p - 1, 1) / 3)
    if p == m:
        yield Foreseen("images to place", Scan({"sample": RandomSubset(m, data.n, data.seed)}, split=data.split))
    else:
        yield Foreseen("choice of landmarks", Scan({"rows": RowLabels()}, split=data.split))
        yield Foreseen("landmarks", Scan({"sample": RowsAt(ArrayParameter(np.arange(p)))}, split=data.split))
    size = block_rows(data.source, p)
    calls = max((len(pairs) for pairs in rounds(p, size, neighbours_of(p, perplexity))), default=0)
    cost = pair_bytes(data.source, size, neighbours_of(p, perplexity))
    yield Foreseen("neighbours", calls=calls, task_bytes=cost, shared_bytes=24 * p)
    yield Foreseen("t-SNE", calls=1, task_bytes=embedding_bytes(p, d, perplexity), shared_bytes=8 * p * d)
    if p < m:
        bits, shift = ArrayParameter(np.zeros(-(-data.source.n // 8), np.uint8)), ArrayParameter(np.zeros(d))
        column = MapPlaces(Landmarks.of_size(p, d), bits, shift, 1.0, placing_iter)
        yield Foreseen("places of others", Scan(columns={"places": column}, split=data.split))


@step(
    "tsne",
    version=3,
    figures="fmnist_dask.workflow.figures.tsne:figures",
    libraries=("numpy", "scipy", "openTSNE"),
    accepts=("on", "images"),
    gives=("features",),
    foresees=_foresees,
    width=lambda data, **parameters: 2,
)
def tsne_step(
    data: StepInput,
    *,
    perplexity: Annotated[float, pydantic.Field(gt=1, le=1000)] = 30.0,
    n_iter: Annotated[int, pydantic.Field(ge=1, le=100_000)] = 500,
    early_exaggeration: Annotated[float, pydantic.Field(ge=1)] = 12.0,
    early_exaggeration_iter: Annotated[int, pydantic.Field(ge=0, le=100_000)] = 250,
    exaggeration: Annotated[float, pydantic.Field(ge=1)] = 1.0,
    learning_rate: Annotated[float, pydantic.Field(gt=0)] | Literal["auto"] = "auto",
    images: Annotated[int, pydantic.Field(ge=5)] | None = None,
    landmarks: Annotated[int, pydantic.Field(ge=5, le=2_000_000)] = 100_000,
    landmark_choice: LandmarkChoice = "random",
    placing_iter: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 250,
    shown: Annotated[int, pydantic.Field(ge=0, le=5000)] = 1500,
) -> Algorithm[StepResult]:
    """Place images in a plane by t-SNE (openTSNE), so that those that are alike lie together.

    Best on the codes of a PCA: ``on: pca``. Where there are more images than landmarks, the map is fitted on these, and
    every other image is placed by the landmarks nearest to it.

    Parameters
    ----------
    perplexity
        Neighbours that count for each image, about.
    n_iter
        Iterations after those with exaggerated affinities.
    early_exaggeration, early_exaggeration_iter
        By how much affinities are enlarged at the start, and for how many iterations.
    exaggeration
        Of affinities after that; above 1, groups are drawn tighter.
    learning_rate
        auto: images divided by the exaggeration.
    images
        Images that are on the map at all, drawn at random where there are more; by default all of the split.
    landmarks
        Images that the map is fitted on, at most.
    landmark_choice
        random, or stratified: as many of each class, those without a label as one more, as far as there are.
    placing_iter
        Steps that each other image is moved by from the median place of its nearest landmarks.
    shown
        Images of a random sample to show on the map.
    """
    options = TSNEOptions(
        perplexity,
        early_exaggeration,
        early_exaggeration_iter,
        n_iter,
        exaggeration,
        learning_rate,
        images,
        data.seed,
        landmarks,
        landmark_choice,
        placing_iter,
    )
    sample = yield from images_to_place(data.source, data.n, options, data.split)
    rows = sample["rows"]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(shown, len(rows))).astype(np.int64))
    pictures = np.zeros((0, *data.source.image_shape), np.uint8)
    if len(chosen):
        wanted = ImagesAt(tuple(rows[chosen].tolist()), thumbnails=True)
        pictures = (yield Scan({"images": wanted}, split=data.split))["images"]["image"]
    model = yield from tsne(data.source, sample, data.n, options, data.split)
    quality = yield from map_quality(data.source, rows, sample["label"], model.embedding, data.seed, data.split)
    near = {"neighbour": model.neighbours, "neighbour_distance": model.distances}
    columns: dict[str, ColumnArray] = {**_columns(model, data.source.n), **near}
    return StepResult(
        dataset=_dataset(model, quality, sample["label"], chosen, pictures, data),
        metrics={
            "kl_divergence": model.kl_divergence,
            "trustworthiness": quality.trustworthiness,
            "knn_accuracy": quality.knn_accuracy,
            "n_placed": len(model.rows),
            "n_landmarks": int(model.fitted.sum()),
        },
        exact={
            "kl_divergence": True,
            "trustworthiness": quality.sampled == len(rows),
            "knn_accuracy": quality.voted is None,
        },
        n_used=len(model.rows),
        n_total=data.source.n,
        columns=columns,
        image_tables={
            "embedding": {
                # Plain names, by which viewers of maps find them.
                "=x": columns["x"],
                "=y": columns["y"],
                "_fitted": columns["fitted"],
                "=neighbours": {"ids": columns["neighbour"], "distances": columns["neighbour_distance"]},
            }
        },
        features="embedding",
    )


def _columns(model: TSNEModel, n: int) -> dict[str, AnyArray]:
    """For each image its place, and whether the map was fitted on it: 1, 0 for placed, −1 for not on the map."""
    places = np.full((2, n), np.nan, dtype=np.float32)
    places[:, model.rows] = model.embedding.T
    fitted = np.full(n, -1, dtype=np.int8)
    fitted[model.rows] = model.fitted
    return {"x": places[0], "y": places[1], "fitted": fitted}


def _dataset(
    model: TSNEModel, quality: MapQuality, known: AnyArray, chosen: AnyArray, pictures: AnyArray, data: StepInput
) -> Any:
    import xarray as xr

    n = data.source.n
    embedding = np.full((n, 2), np.nan, dtype=np.float32)
    embedding[model.rows] = model.embedding
    edges = _edges(model.embedding.astype(np.float64))
    plane = np.full((n, 2), NOWHERE, dtype=np.uint16)
    plane[model.rows] = cells_of(model.embedding.astype(np.float64), edges, CELLS)
    labels = np.full(n, -1, dtype=np.int16)
    labels[model.rows] = known
    image_dims = IMAGE_DIMS[: pictures.ndim - 1]
    named = {"long_name": "cell of the map", "cells": CELLS, "nowhere": NOWHERE}
    return xr.Dataset(
        {
            "embedding": (("sample", "axis"), embedding, {"long_name": "place on the map"}),
            "plane": (("sample", "axis"), plane, named),
            "label": ("sample", labels, {"long_name": "class"}),
            "plane_edge": (("axis", "edge"), edges),
            "history": (("record", "column"), model.history),
            "shown_row": ("shown", model.rows[chosen]),
            "shown_code": (("shown", "axis"), model.embedding[chosen]),
            "shown_image": (("shown", *(f"shown_{dim}" for dim in image_dims)), pictures),
        },
        attrs={
            "split": data.split,
            "on": data.on,
            "perplexity": model.perplexity,
            "n": len(model.rows),
            "n_split": model.n,
            "n_landmarks": int(model.fitted.sum()),
            "n_trusted": quality.sampled,
            "n_voted": len(model.rows) if quality.voted is None else quality.voted,
        },
    )


def _edges(places: FloatArray) -> FloatArray:
    low, high = places.min(axis=0), places.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    return np.stack([low - room, high + room], axis=1)
