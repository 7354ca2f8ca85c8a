"""``umap``: a map on which images that are alike lie together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.models.map_rows import LandmarkChoice, images_to_place
from fmnist_dask.models.umap import UMAPOptions, embedding_bytes, neighbours_of, placing_of, umap
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.passes.reductions.map_places import PLACING, Landmarks
from fmnist_dask.passes.reductions.umap_places import UMAPPlaces
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._maps import (
    foreseen_fit,
    foreseen_places,
    foreseen_quality,
    foreseen_rows,
    result_of_map,
)
from fmnist_dask.workflow.steps._seconds import umap_epochs, umap_seconds


def _foresees(
    data: StepInput,
    *,
    images: int | None,
    landmarks: int,
    n_neighbors: int,
    n_epochs: int | None,
    placing_epochs: int,
    shown: int,
    **others: Any,
) -> Iterator[Foreseen]:
    """Features of the landmarks in one place, the map of them, and the others placed among them."""
    m, d = min(images or data.n, data.n), data.source.n_features
    p = min(m, landmarks)
    k = neighbours_of(p, n_neighbors)
    yield from foreseen_rows(data, m, p)
    yield from foreseen_fit(
        data,
        "UMAP",
        p,
        max(k - 1, min(p - 1, PLACING)),
        embedding_bytes(p, d, k),
        umap_seconds(p, n_epochs or umap_epochs(p), k),
    )
    if p < m:
        placing = placing_of(UMAPOptions(n_neighbors, placing_epochs=placing_epochs), k, 1.0, 1.0)
        bits, shift = ArrayParameter(np.zeros(-(-data.source.n // 8), np.uint8)), ArrayParameter(np.zeros(d))
        yield foreseen_places(data, UMAPPlaces(Landmarks.of_size(p, d), bits, shift, 1.0, placing))
    yield from foreseen_quality(data, m, min(shown, m))


@step(
    "umap",
    version=1,
    figures="fmnist_dask.workflow.figures.umap:figures",
    libraries=("numpy", "scipy", "numba", "umap-learn"),
    extra="map",
    accepts=("on", "images"),
    gives=("features",),
    foresees=_foresees,
    width=lambda data, **parameters: 2,
)
def umap_step(
    data: StepInput,
    *,
    n_neighbors: Annotated[int, pydantic.Field(ge=2, le=1000)] = 15,
    min_dist: Annotated[float, pydantic.Field(ge=0)] = 0.1,
    spread: Annotated[float, pydantic.Field(gt=0)] = 1.0,
    n_epochs: Annotated[int, pydantic.Field(ge=11, le=100_000)] | None = None,
    learning_rate: Annotated[float, pydantic.Field(gt=0)] = 1.0,
    negative_sample_rate: Annotated[int, pydantic.Field(ge=1, le=1000)] = 5,
    init: Literal["pca", "spectral"] = "pca",
    images: Annotated[int, pydantic.Field(ge=5)] | None = None,
    landmarks: Annotated[int, pydantic.Field(ge=5, le=2_000_000)] = 100_000,
    landmark_choice: LandmarkChoice = "random",
    placing_epochs: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 100,
    shown: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 4000,
) -> Algorithm[StepResult]:
    """Place images in a plane by UMAP (umap-learn), so that those that are alike lie together.

    Best on the codes of a PCA: ``on: pca``. Where there are more images than landmarks, the map is fitted on these, and
    every other image is placed by the landmarks nearest to it. The fit is seeded and works on one thread, since more
    would not give the same map twice. Needs ``fmnist-dask[map]``.

    Parameters
    ----------
    n_neighbors
        Neighbours that count for each image, itself among them.
    min_dist
        How near images may come to each other on the map; up to spread.
    spread
        Scale of the map.
    n_epochs
        Times that the closest pairs attract each other; by default 500 up to 10,000 images, 200 for more.
    learning_rate
        Of the first epoch; it falls to 0.
    negative_sample_rate
        Images drawn at random that repel an image each time that one attracts it.
    init
        Where images begin: pca, their first two components, or spectral, eigenvectors of the graph of neighbours.
    images
        Images that are on the map at all, drawn at random where there are more; by default all of the split.
    landmarks
        Images that the map is fitted on, at most.
    landmark_choice
        random, or stratified: as many of each class, those without a label as one more, as far as there are.
    placing_epochs
        Epochs that each other image is moved for, from the mean place of its nearest landmarks.
    shown
        Images to show one by one on the map, spread evenly over it.
    """
    options = UMAPOptions(
        n_neighbors,
        min_dist,
        spread,
        n_epochs,
        learning_rate,
        negative_sample_rate,
        init,
        images,
        data.seed,
        landmarks,
        landmark_choice,
        placing_epochs,
    )
    sample = yield from images_to_place(data.source, data.n, options, data.split)
    model = yield from umap(data.source, sample, data.n, options, data.split)
    attrs = {"n_neighbors": model.n_neighbors, "min_dist": min_dist}
    return (yield from result_of_map(data, sample, model, shown, attrs))
