"""What is kept of a low-rank model: its dataset, metrics, and a few images for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.models.low_rank_model import FittedLowRank
from fmnist_dask.models.missingness import Missingness, missingness
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.reductions.imputation import BASELINES, AnyImputer, covered, interval_of
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, UNLABELLED, unit_of

#: Cells along each side of the map of all images, and room beyond the codes of the sample, as a share of their range.
CELLS = 1280
MARGIN = 0.3
#: Images of which truth, holes and filling are kept for the report; ranks that they are reconstructed at.
EXAMPLES, EXAMPLE_RANKS = 12, 4


@dataclass
class Outcome:
    """A model, and what it makes of images.

    Attributes
    ----------
    ranks
        That errors are measured at; the last is the model's.
    codes : float32 array, shape (m, k)
        Of the sample.
    examples
        A few of its images: arrays of shape (examples, …).
    edges : float64 array, shape (2, 2)
        Of the map; ``None`` for a single direction.
    shown
        Images of the sample on the map.
    scored
        Result of :class:`~fmnist_dask.passes.reductions.imputation.ImputationScores`; ``None`` of complete images.
    test
        Whether pixels are missing whatever the class is.
    group_count : float64 array, shape (groups,)
        Images of each Gaussian of a mixture; ``None`` without one.
    """

    model: FittedLowRank
    ranks: list[int]
    picked: dict[str, AnyArray]
    codes: AnyArray
    examples: dict[str, AnyArray]
    edges: FloatArray | None
    shown: int
    test: Missingness | None
    scored: dict[str, AnyArray] | None = field(default=None)
    group_count: FloatArray | None = None

    @classmethod
    def of(
        cls, data: StepInput, model: FittedLowRank, ranks: list[int], imputers: Sequence[AnyImputer], shown: int
    ) -> Outcome:
        """Before all images have been seen.

        Parameters
        ----------
        imputers
            One for each rank.
        """
        picked = model.extra["sample"]
        codes, examples = _seen(imputers, ranks, picked)
        edges = _edges(codes[:, :2]) if model.rank > 1 else None
        test = None
        if not model.complete and data.source.class_names:
            test = missingness(model.extra["classes"])
        return cls(model, ranks, picked, codes, examples, edges, shown, test)


def _seen(
    imputers: Sequence[AnyImputer], ranks: list[int], picked: dict[str, AnyArray]
) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Codes of the sample, and a few of its images filled in, of as many classes as there are."""
    imputer = imputers[-1]
    n, d = picked["features"].shape
    if not n:
        return np.zeros((0, len(imputer.model.factors.values)), np.float32), {}
    gone = picked["missing"].reshape(n, -1)
    there = np.repeat(~gone, d // gone.shape[1], axis=1)
    chosen = _of_all_classes(picked["label"])
    levels = sorted(set(np.linspace(0, len(ranks) - 1, min(EXAMPLE_RANKS, len(ranks))).round().astype(int).tolist()))
    features, observed, shape = picked["features"][chosen], there[chosen], picked["truth"].shape[1:]
    with one_blas_thread():
        filled = imputer(picked["features"], there)
        made = [np.rint(imputers[at](features, observed).values) for at in levels]
    deviation = filled.contrast[chosen, None] * imputer.error_scale.values
    values = np.where(observed, features, np.rint(filled.values[chosen]))
    return filled.codes, {
        "row": picked["row"][chosen],
        "label": picked["label"][chosen],
        "truth": picked["truth"][chosen],
        "missing": picked["missing"][chosen],
        "imputed": values.astype(np.uint8).reshape(-1, *shape),
        "reconstructed": np.stack(made, axis=1).astype(np.uint8).reshape(len(chosen), len(levels), *shape),
        "deviation": deviation.astype(np.float32).reshape(-1, *shape),
        "rank": np.array([ranks[at] for at in levels]),
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


def metrics_of(data: StepInput, outcome: Outcome) -> dict[str, Any]:
    """Figures of the manifest; errors in parts of the range of pixels."""
    model, scored = outcome.model, outcome.scored
    hidden = int(scored["count"].sum()) if scored else 0
    observed = None
    if scored:
        observed = float(np.sqrt(scored["observed_square"][0] / max(int(scored["observed_count"][0]), 1)))
    elif model.exact and np.ptp(model.scale) == 0 and not model.ridge:
        observed = float(np.sqrt(model.objective[-1] / max(model.observed, 1))) / unit_of(data.source)
    last = len(scored["square"]) - len(BASELINES) - 1 if scored else 0
    found = {
        "rank": model.rank,
        "objective": float(model.objective[-1]) if model.objective else None,
        "n_iter": len(model.objective),
        "rmse_observed": observed,
        "rmse_heldout": None,
        "mae_heldout": None,
        "coverage_95": None,
        "converged": model.converged,
        "missing_fraction": 1 - model.observed / max(model.n * data.source.n_features, 1),
        "missing_by_class_p": None if outcome.test is None else outcome.test.p_value,
    }
    if scored and hidden:
        found |= {
            "rmse_heldout": float(np.sqrt(scored["square"][last].sum() / hidden)),
            "mae_heldout": float(scored["absolute"][last].sum() / hidden),
            "coverage_95": covered(scored["hidden_ratio"], interval_of(scored["ratio"], 0.95)),
        }
    return found


def outcome_dataset(data: StepInput, outcome: Outcome) -> Any:
    """The model, its errors, and what the report shows of single images."""
    import xarray as xr

    model = outcome.model
    shape, dims = data.source.image_shape, IMAGE_DIMS[: len(data.source.image_shape)]
    unit = unit_of(data.source)
    variables: dict[str, Any] = {
        "mean": (dims, (model.centre / unit).reshape(shape), {"units": "brightness, 0 to 1"}),
        "scale": (dims, model.scale.reshape(shape), {"long_name": "what pixels were divided by"}),
        "components": (("component", *dims), model.factors.reshape(-1, *shape)),
        "variance": ("direction", model.variances),
        "explained_variance_ratio": ("component", model.variances[: model.rank] / (model.total or 1.0)),
        "noise_variance": ((), model.noise),
        "error_scale": (dims, (model.error_scale / unit).reshape(shape), {"units": "brightness, 0 to 1"}),
        "objective": ("iteration", np.array(model.objective)),
    }
    if outcome.scored is not None:
        variables |= _scores(data, outcome, outcome.scored)
    if outcome.group_count is not None:
        variables["group_size"] = ("group", outcome.group_count, {"long_name": "images of each Gaussian"})
    if outcome.test is not None:
        variables["class_missing"] = ("missing_class", outcome.test.share, {"long_name": "share of missing pixels"})
        variables["missing_class"] = ("missing_class", list(data.source.class_names))
        variables["class_missing_largest"] = ((), outcome.test.largest)
    attrs = {"split": data.split, "on": data.on, "n": model.n, "complete": int(model.complete), "rank": model.rank,
             "converged": int(model.converged), "n_features": data.source.n_features, "whiten": 1,
             "nonnegative": int(model.nonnegative)}  # fmt: skip
    dataset = xr.Dataset(variables, attrs=attrs)
    _add_sample(dataset, data, outcome)
    return dataset


def _scores(data: StepInput, outcome: Outcome, scored: dict[str, AnyArray]) -> dict[str, Any]:
    """Errors at hidden pixels."""
    ranks, shape = outcome.ranks, data.source.image_shape
    dims = IMAGE_DIMS[: len(shape)]
    mixed = [] if outcome.group_count is None else [f"mixture of {len(outcome.group_count)} Gaussians"]
    names = [*(f"rank {k}" for k in ranks), *mixed, *BASELINES]
    best = len(ranks) + len(mixed) - 1
    count = np.maximum(scored["count"], 1)
    hidden, class_hidden = max(int(scored["count"].sum()), 1), np.maximum(scored["class_count"], 1)
    channels = 1 if len(shape) == 2 else shape[2]
    none = scored["count"] == 0
    pixel_square = np.where(none, np.nan, scored["square"][best] / count).reshape(shape)
    classes = [*data.source.class_names, UNLABELLED]
    kept = [at for at, images in enumerate(scored["class_count"]) if images]
    return {
        "method": ("method", names),
        "method_rank": ("method", [*ranks, *([-1] * len(mixed)), *([0] * len(BASELINES))]),
        "rmse": ("method", np.sqrt(scored["square"].sum(axis=1) / hidden)),
        "mae": ("method", scored["absolute"].sum(axis=1) / hidden),
        "class": ("class", [classes[at] for at in kept]),
        "class_rmse": (("method", "class"), np.sqrt(scored["class_square"][:, kept] / class_hidden[kept])),
        "pixel_rmse": (dims, np.sqrt(pixel_square)),
        "interval_95": ((), interval_of(scored["ratio"], 0.95), {"long_name": "deviations of 95 % of errors"}),
        "hidden": ((), int(scored["count"].sum()) // channels),
    }


def _add_sample(dataset: Any, data: StepInput, outcome: Outcome) -> None:
    """What the report shows of single images."""
    dims = IMAGE_DIMS[: len(data.source.image_shape)]
    picked, codes = outcome.picked, outcome.codes
    if outcome.edges is not None:
        few = np.unique(np.linspace(0, len(codes) - 1, min(outcome.shown, len(codes))).astype(np.int64))
        thumbnails = shrink(picked["truth"][few])
        dataset["plane_edge"] = (("axis", "edge"), outcome.edges)
        dataset["shown_row"] = ("shown", picked["row"][few])
        dataset["shown_label"] = ("shown", picked["label"][few].astype(np.int16))
        dataset["shown_code"] = (("shown", "axis"), codes[few, :2].astype(np.float32))
        dataset["shown_image"] = (("shown", *(f"shown_{dim}" for dim in dims)), thumbnails)
    for name, values in outcome.examples.items():
        if name == "rank":
            dataset["example_rank"] = ("example_rank", values)
            continue
        of_image = {"reconstructed": ("example_rank", *dims)}.get(name, dims[: values.ndim - 1])
        dataset[f"example_{name}"] = (("example", *of_image), values)
