"""``low_rank``: a few directions that all images are made of, found although pixels are missing, which they fill in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions, Regularization, Transform
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Reduction, Scan
from fmnist_dask.passes.reductions.imputation import (
    BASELINES,
    ImputationScores,
    Imputed,
    Imputer,
    MaskedSubset,
    covered,
    interval_of,
)
from fmnist_dask.passes.reductions.low_rank import FilledMoments, ModelParameter
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.registry import Foreseen, StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, UNLABELLED, unit_of

#: Cells along each side of the map of all images, and room beyond the codes of the sample, as a share of their range.
CELLS = 320
MARGIN = 0.3
#: Images of which truth, holes and filling are kept for the report.
EXAMPLES = 12


def _foresees(data: StepInput, *, rank: int, impute: bool, **others: Any) -> Iterator[Foreseen]:
    """A pass of EM, and the one that scores and fills in."""
    d = data.source.n_features
    k = min(rank, d, max(data.n, 1))
    model = ModelParameter.of(np.zeros(d), np.ones(d), np.zeros((k, d)), 1.0)
    yield Foreseen("each pass of EM", Scan({"filled": FilledMoments(model, rounder(1.0))}, split=data.split))
    imputer = Imputer(model, ArrayParameter(np.ones(d, np.float32)))
    yield Foreseen("filling in", Scan({}, {"codes": Imputed(imputer, images=impute)}))
    means = (ArrayParameter(np.zeros(d, np.float32)), ArrayParameter(np.zeros((1, d), np.float32)))
    scores = ImputationScores((imputer,) * len(_ranks(k)), *means)
    yield Foreseen("scoring", Scan({"scores": scores}, split=data.split))


@step(
    "low_rank",
    figures="fmnist_dask.workflow.figures.low_rank:figures",
    libraries=("numpy", "scipy"),
    accepts=("mask", "missing", "images"),
    gives=("features",),
    foresees=_foresees,
)
def low_rank_step(
    data: StepInput,
    *,
    rank: Annotated[int, pydantic.Field(ge=1)] = 64,
    transform: Transform = "none",
    regularization: Regularization = "noise",
    max_iter: Annotated[int, pydantic.Field(ge=0, le=1000)] = 5,
    tol: Annotated[float, pydantic.Field(ge=0)] = 1e-3,
    impute: bool = True,
    shown: Annotated[int, pydantic.Field(ge=0, le=5000)] = 1500,
) -> Algorithm[StepResult]:
    """A low-rank model of images of which pixels may be missing, its codes, and the images with these filled in.

    Parameters
    ----------
    rank
        Codes of an image (fewer where there are not so many images or pixels).
    transform
        What is done to each pixel first: none, demean, standardize (unit variance), normalize, which is
        (x - mean) / (max - min).
    regularization
        noise: probabilistic PCA, where pixels have noise of one variance; none: least squares.
    max_iter
        Most passes of EM where pixels are missing; 0 for the start, from all pairs of pixels.
    tol
        Relative change at which they end: of the variances, or without noise of the objective.
    impute
        Write the images with their missing pixels filled in.
    shown
        Images of a random sample to show on the map.
    """
    source, n = data.source, data.n
    rank = max(1, min(rank, n, source.n_features))
    sample: dict[str, Reduction] = {"sample": MaskedSubset(max(shown, 2 * EXAMPLES), n, data.seed)}
    model = yield from low_rank(
        source, n, LowRankOptions(rank, transform, regularization, max_iter, tol), data.split, sample
    )
    scale = ArrayParameter(model.error_scale.astype(np.float32))
    imputer = Imputer(model.parameter, scale)
    picked = model.extra["sample"]
    shown_codes, examples = _seen(imputer, picked)
    edges = _edges(shown_codes[:, :2]) if rank > 1 else None
    is_partial = not model.complete
    column = Imputed(imputer, None if edges is None else ArrayParameter(edges), CELLS, impute and is_partial)
    scores: dict[str, Reduction] = {}
    ranks = _ranks(rank)
    if is_partial:
        models = tuple(Imputer(model.at_rank(k), scale) for k in ranks[:-1])
        means = _means(model)
        scores["scores"] = ImputationScores((*models, imputer), ArrayParameter(means[0]), ArrayParameter(means[1]))
    # All images get codes, those of the split are scored: one pass where these are the same.
    together = data.split == "all"
    found = yield Scan(scores if together else {}, {"codes": column})
    if scores and not together:
        found |= yield Scan(scores, split=data.split)
    scored = found.get("scores")
    dataset = _dataset(data, model, ranks, scored)
    _add_sample(dataset, data, picked, shown_codes, examples, edges, shown)
    return StepResult(
        dataset=dataset,
        metrics=_metrics(data, model, scored),
        exact=model.complete,
        n_used=model.n,
        n_total=source.n,
        columns=found["codes"],
        features="codes",
    )


def _ranks(rank: int) -> list[int]:
    """Powers of two from 2 on, and the rank itself."""
    return [*(2**power for power in range(1, 16) if 2**power < rank), rank]


def _means(model: FittedLowRank) -> tuple[AnyArray, AnyArray]:
    """Mean of each pixel where it is there, of all images and of each class; where a class lacks it, that of all."""
    total, count = model.moments["class_sum"], model.moments["class_count"]
    everywhere = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1) + OFFSET
    everywhere = np.where(count.sum(axis=0) > 0, everywhere, model.centre)
    by_class = np.where(count > 0, total / np.maximum(count, 1) + OFFSET, everywhere)
    by_class[-1] = everywhere  # nothing is known of the class of images without one
    return everywhere.astype(np.float32), by_class.astype(np.float32)


def _seen(imputer: Imputer, picked: dict[str, AnyArray]) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Codes of the sample, and a few of its images filled in, of as many classes as there are."""
    n, d = picked["features"].shape
    if not n:
        return np.zeros((0, len(imputer.model.factors.values)), np.float32), {}
    gone = picked["missing"].reshape(n, -1)
    there = np.repeat(~gone, d // gone.shape[1], axis=1)
    with one_blas_thread():
        filled = imputer(picked["features"], there)
    order = np.argsort(
        [np.sum(picked["label"][:at] == label) for at, label in enumerate(picked["label"])], kind="stable"
    )
    chosen = order[:EXAMPLES][np.argsort(picked["label"][order[:EXAMPLES]], kind="stable")]
    deviation = filled.contrast[chosen, None] * imputer.error_scale.values
    shape = picked["truth"].shape[1:]
    values = np.where(there, picked["features"], np.rint(filled.values))[chosen]
    return filled.codes, {
        "row": picked["row"][chosen],
        "label": picked["label"][chosen],
        "truth": picked["truth"][chosen],
        "missing": picked["missing"][chosen],
        "imputed": values.astype(np.uint8).reshape(-1, *shape),
        "reconstructed": np.rint(filled.values[chosen]).astype(np.uint8).reshape(-1, *shape),
        "deviation": deviation.astype(np.float32).reshape(-1, *shape),
    }


def _of_all_classes(labels: AnyArray) -> AnyArray:
    """Positions of a few samples: first one of each class, then a second, sorted by class."""
    seen: dict[int, int] = {}
    turn = []
    for label in labels.tolist():
        seen[label] = seen.get(label, 0) + 1
        turn.append(seen[label])
    first = np.argsort(turn, kind="stable")[:EXAMPLES]
    chosen: AnyArray = first[np.argsort(labels[first], kind="stable")]
    return chosen


def _edges(codes: AnyArray) -> FloatArray:
    if not len(codes):
        return np.array([[-1.0, 1.0], [-1.0, 1.0]])
    low, high = codes.min(axis=0).astype(np.float64), codes.max(axis=0).astype(np.float64)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    return np.stack([low - room, high + room], axis=1)


def _metrics(data: StepInput, model: FittedLowRank, scored: dict[str, AnyArray] | None) -> dict[str, Any]:
    """Figures of the manifest; errors in parts of the range of pixels."""
    hidden = int(scored["count"].sum()) if scored else 0
    observed = None
    if scored:
        observed = float(np.sqrt(scored["observed_square"][0] / max(int(scored["observed_count"][0]), 1)))
    elif model.complete and np.ptp(model.scale) == 0:
        observed = float(np.sqrt(model.objective[-1] / max(model.observed, 1))) / unit_of(data.source)
    last = len(scored["square"]) - len(BASELINES) - 1 if scored else 0
    return {
        "rank": model.rank,
        "objective": float(model.objective[-1]) if model.objective else None,
        "n_iter": len(model.objective),
        "rmse_observed": observed,
        "rmse_heldout": float(np.sqrt(scored["square"][last].sum() / hidden)) if scored and hidden else None,
        "mae_heldout": float(scored["absolute"][last].sum() / hidden) if scored and hidden else None,
        "coverage_95": covered(scored["hidden_ratio"], interval_of(scored["ratio"], 0.95))
        if scored and hidden
        else None,
        "converged": model.converged,
        "missing_fraction": 1 - model.observed / max(model.n * data.source.n_features, 1),
    }


def _coverage(scored: dict[str, AnyArray]) -> float:
    """Share of hidden pixels within the deviations that hold 95 % of the observed ones."""
    return covered(scored["hidden_ratio"], interval_of(scored["ratio"], 0.95))


def _dataset(data: StepInput, model: FittedLowRank, ranks: list[int], scored: dict[str, AnyArray] | None) -> Any:
    import xarray as xr

    shape, dims = data.source.image_shape, IMAGE_DIMS[: len(data.source.image_shape)]
    unit = unit_of(data.source)
    total = float(model.variances.sum())
    variables: dict[str, Any] = {
        "mean": (dims, (model.centre / unit).reshape(shape), {"units": "brightness, 0 to 1"}),
        "scale": (dims, model.scale.reshape(shape), {"long_name": "what pixels were divided by"}),
        "components": (("component", *dims), model.factors.reshape(-1, *shape)),
        "variance": ("direction", model.variances),
        "explained_variance_ratio": ("component", model.variances[: model.rank] / (total if total > 0 else 1.0)),
        "noise_variance": ((), model.noise),
        "error_scale": (dims, (model.error_scale / unit).reshape(shape), {"units": "brightness, 0 to 1"}),
        "objective": ("iteration", np.array(model.objective)),
    }
    if scored is not None:
        names = [*(f"rank {k}" for k in ranks), *BASELINES]
        count = np.maximum(scored["count"], 1)
        hidden, class_hidden = max(int(scored["count"].sum()), 1), np.maximum(scored["class_count"], 1)
        channels = 1 if len(shape) == 2 else shape[2]
        none = scored["count"] == 0
        pixel_square = np.where(none, np.nan, scored["square"][len(ranks) - 1] / count).reshape(shape)
        classes = [*data.source.class_names, UNLABELLED]
        kept = [at for at, images in enumerate(scored["class_count"]) if images]
        variables |= {
            "method": ("method", names),
            "method_rank": ("method", [*ranks, *([0] * len(BASELINES))]),
            "rmse": ("method", np.sqrt(scored["square"].sum(axis=1) / hidden)),
            "mae": ("method", scored["absolute"].sum(axis=1) / hidden),
            "class": ("class", [classes[at] for at in kept]),
            "class_rmse": (("method", "class"), np.sqrt(scored["class_square"][:, kept] / class_hidden[kept])),
            "pixel_rmse": (dims, np.sqrt(pixel_square)),
            "interval_95": ((), interval_of(scored["ratio"], 0.95), {"long_name": "deviations of 95 % of errors"}),
            "hidden": ((), int(scored["count"].sum()) // channels),
        }
    attrs = {"split": data.split, "on": data.on, "n": model.n, "complete": int(model.complete), "rank": model.rank,
             "converged": int(model.converged), "n_features": data.source.n_features, "whiten": 1}  # fmt: skip
    return xr.Dataset(variables, attrs=attrs)


def _add_sample(
    dataset: Any,
    data: StepInput,
    picked: dict[str, AnyArray],
    codes: AnyArray,
    examples: dict[str, AnyArray],
    edges: FloatArray | None,
    shown: int,
) -> None:
    """What the report shows of single images."""
    dims = IMAGE_DIMS[: len(data.source.image_shape)]
    if edges is not None:
        few = np.unique(np.linspace(0, len(codes) - 1, min(shown, len(codes))).astype(np.int64))
        thumbnails = shrink(picked["truth"][few])
        dataset["plane_edge"] = (("axis", "edge"), edges)
        dataset["shown_row"] = ("shown", picked["row"][few])
        dataset["shown_label"] = ("shown", picked["label"][few].astype(np.int16))
        dataset["shown_code"] = (("shown", "axis"), codes[few, :2].astype(np.float32))
        dataset["shown_image"] = (("shown", *(f"shown_{dim}" for dim in dims)), thumbnails)
    for name, values in examples.items():
        of_image = () if values.ndim == 1 else IMAGE_DIMS[: values.ndim - 1]
        dataset[f"example_{name}"] = (("example", *of_image), values)
