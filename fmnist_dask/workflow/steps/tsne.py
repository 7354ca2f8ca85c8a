"""``tsne``: a map on which images that are alike lie together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.models.map_rows import LandmarkChoice, images_to_place
from fmnist_dask.models.tsne import TSNEOptions, embedding_bytes, neighbours_of, tsne
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.passes.reductions.map_places import Landmarks, MapPlaces
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._maps import (
    foreseen_fit,
    foreseen_places,
    foreseen_quality,
    foreseen_rows,
    result_of_map,
)
from fmnist_dask.workflow.steps._seconds import tsne_seconds


def _foresees(
    data: StepInput,
    *,
    images: int | None,
    landmarks: int,
    perplexity: float,
    n_iter: int,
    placing_iter: int,
    shown: int,
    **others: Any,
) -> Iterator[Foreseen]:
    """Features of the landmarks in one place, the map of them, and the others placed among them."""
    m, d = min(images or data.n, data.n), data.source.n_features
    p = min(m, landmarks)
    perplexity = min(perplexity, max(p - 1, 1) / 3)
    yield from foreseen_rows(data, m, p)
    k = neighbours_of(p, perplexity)
    seconds = tsne_seconds(p, n_iter + TSNEOptions.early_exaggeration_iter)
    yield from foreseen_fit(data, "t-SNE", p, k, embedding_bytes(p, d, perplexity), seconds)
    if p < m:
        bits, shift = ArrayParameter(np.zeros(-(-data.source.n // 8), np.uint8)), ArrayParameter(np.zeros(d))
        yield foreseen_places(data, MapPlaces(Landmarks.of_size(p, d), bits, shift, 1.0, placing_iter))
    yield from foreseen_quality(data, m, min(shown, m))


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
    shown: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 4000,
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
        Images to show one by one on the map, spread evenly over it.
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
    model = yield from tsne(data.source, sample, data.n, options, data.split)
    attrs, metrics = {"perplexity": model.perplexity}, {"kl_divergence": model.kl_divergence}
    return (yield from result_of_map(data, sample, model, shown, attrs, metrics, model.history))
