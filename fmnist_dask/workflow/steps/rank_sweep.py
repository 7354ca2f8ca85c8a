"""``rank_sweep``: how well classes are told apart from low-rank codes, rank by rank, and from all pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.models.classifiers import Classifier, ClassifierOptions, Transform, training_bytes
from fmnist_dask.models.rank_sweep import TREES_A_CALL, Sweep, SweepOptions, factor_bytes, rank_sweep
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._seconds import boosting_seconds, factor_seconds, forest_seconds

Rank = Annotated[int, pydantic.Field(ge=1)]
RANKS = (2, 4, 8, 16, 32, 64, 128, 256)


def _foresees(
    data: StepInput,
    *,
    ranks: tuple[int, ...],
    raw: bool,
    classifiers: tuple[Classifier, ...],
    folds: int,
    images: int,
    trees: int,
    leaky: bool,
    iterations: int,
    **others: Any,
) -> Iterator[Foreseen]:
    """Factors, and the classifiers that take most."""
    n, d, classes = min(data.n, images), data.source.n_features, len(data.source.class_names)
    shared = n * (row_bytes(data.source) + 4)
    fitting = tuple(rank for rank in ranks if rank <= d)
    if fitting:
        calls, cost, seconds = 1 if leaky else folds, factor_bytes(n, d), factor_seconds(n, d)
        yield Foreseen("factors", None, calls, cost, shared, seconds=seconds, late=True)
    for rank in (*fitting, *([0] if raw else [])):
        calls = folds * sum(1 if name == "boosting" else -(-trees // TREES_A_CALL) for name in classifiers)
        need = max(training_bytes(n, d, rank or d, classes, name) for name in classifiers)
        work = sum(
            boosting_seconds(n, rank or d, classes, iterations)
            if name == "boosting"
            else forest_seconds(n, rank or d, trees, pixels=not rank and data.on == "pixels")
            for name in classifiers
        )
        title = f"classifiers of {f'rank {rank}' if rank else 'all values'}"
        yield Foreseen(title, None, calls, need, shared, seconds=folds * work / calls, late=True)


@step(
    "rank_sweep",
    figures="fmnist_dask.workflow.figures.rank_sweep:figures",
    libraries=("numpy", "scipy", "scikit-learn"),
    accepts=("images", "on"),
    foresees=_foresees,
)
def rank_sweep_step(
    data: StepInput,
    *,
    ranks: Annotated[tuple[Rank, ...], pydantic.Field(max_length=32)] = RANKS,
    raw: bool = True,
    classifiers: Annotated[tuple[Classifier, ...], pydantic.Field(min_length=1)] = ("forest", "boosting"),
    folds: Annotated[int, pydantic.Field(ge=2, le=100)] = 4,
    images: Annotated[int, pydantic.Field(ge=4)] = 60_000,
    transform: Transform = "none",
    leaky: bool = False,
    trees: Annotated[int, pydantic.Field(ge=1)] = 100,
    min_samples_leaf: Annotated[int, pydantic.Field(ge=1)] | None = None,
    iterations: Annotated[int, pydantic.Field(ge=1)] = 60,
    learning_rate: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.15,
) -> Algorithm[StepResult]:
    """Cross-validated accuracy of random forests and boosted trees on low-rank codes of each rank, and on all pixels.

    Parameters
    ----------
    ranks
        Numbers of codes; those that there are not enough images or pixels for are left out.
    raw
        Compare with the features as they are.
    classifiers
        forest, boosting (histogram gradient boosting).
    folds
        Of the cross-validation.
    images
        Images that are used at most, drawn at random.
    transform
        What is done to each pixel before codes are made: none, demean, standardize, normalize.
    leaky
        Make one set of factors from all images, also those that accuracy is measured on.
    trees
        Of a forest.
    min_samples_leaf
        Of a forest; null for many where codes are few.
    iterations
        Of boosting, each a tree for each class.
    learning_rate
        Of boosting.
    """
    most = min(data.source.n_features, min(data.n, images) * (folds - 1) // folds)
    chosen = sorted({rank for rank in ranks if rank <= most})
    options = SweepOptions(
        ranks=(*chosen, *([0] if raw or not chosen else [])),
        classifiers=tuple(dict.fromkeys(classifiers)),
        folds=folds,
        images=images,
        transform=transform,
        leaky=leaky,
        like=ClassifierOptions(trees, min_samples_leaf, iterations, learning_rate, data.seed),
    )
    sweep = yield from rank_sweep(data.source, data.n, options, data.split)
    return StepResult(
        dataset=_dataset(data, options, sweep),
        metrics=_metrics(options, sweep),
        exact=sweep.n == data.n,
        n_used=sweep.n,
        n_total=data.source.n,
    )


def _metrics(options: SweepOptions, sweep: Sweep) -> dict[str, Any]:
    """Accuracy and time by rank: of the first classifier, and of others under their names."""
    found: dict[str, Any] = {}
    for at, name in enumerate(options.classifiers):
        suffix = f"_{name}" if at else ""
        found[f"accuracy{suffix}"] = _by_rank(options.ranks, sweep.accuracy[at].mean(axis=1))
        found[f"seconds{suffix}"] = _by_rank(options.ranks, sweep.seconds[at])
    return found


def _by_rank(ranks: tuple[int, ...], values: Any) -> dict[str, float]:
    return {str(rank): float(value) for rank, value in zip(ranks, values, strict=True)}


def _dataset(data: StepInput, options: SweepOptions, sweep: Sweep) -> Any:
    import xarray as xr

    variables: dict[str, Any] = {
        "accuracy": (("classifier", "rank", "fold"), sweep.accuracy, {"long_name": "share told right"}),
        "class_accuracy": (("classifier", "rank", "class"), sweep.class_accuracy),
        "seconds": (("classifier", "rank"), sweep.seconds, {"units": "s", "long_name": "of one processor, all folds"}),
        "factor_seconds": ((), sweep.factor_seconds, {"units": "s"}),
    }
    coords = {
        "classifier": list(options.classifiers),
        "rank": ("rank", np.array(options.ranks), {"long_name": "codes; 0 for the features as they are"}),
        "class": list(data.source.class_names),
    }
    attrs = {
        "split": data.split,
        "on": data.on,
        "n": sweep.n,
        "whole": int(sweep.n == data.n),
        "folds": options.folds,
        "leaky": int(options.leaky),
        "trees": options.like.trees,
        "iterations": options.like.iterations,
        "source": str(getattr(data.source, "name", "")),
        "n_features": data.source.n_features,
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)
