"""``low_rank`` and ``imputed``: a few directions that all images are made of, and images filled in by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.models.code_fit import CodeOptions
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_codes import low_rank_by_codes
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions, Transform
from fmnist_dask.models.mixture import MixtureOptions, mixture_of_gaussians
from fmnist_dask.models.pca import MOST_EXACT_FEATURES
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Reduction, Scan
from fmnist_dask.passes.reductions.classes import ClassMoments
from fmnist_dask.passes.reductions.imputation import AnyImputer, ImputationScores, Imputed, Imputer, MaskedSubset
from fmnist_dask.passes.reductions.low_rank import CodeMoments, FilledMoments, ModelParameter
from fmnist_dask.passes.reductions.mixture import GroupMoments, MixtureImputer, MixtureParameter
from fmnist_dask.passes.reductions.pairs import ObservedSubset
from fmnist_dask.passes.reductions.subset import subset_rows
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._low_rank import CELLS, EXAMPLES, Outcome, metrics_of, outcome_dataset

Penalty = Annotated[float, pydantic.Field(ge=0)]
Groups = Annotated[int, pydantic.Field(ge=1, le=100)]
Regularizations = Literal["noise", "none", "quadratic", "non-negative"]
#: Passes after the start, at most: of EM, and of codes and archetypes in turns.
EM_PASSES, TURNS = 5, 50


#: Passes until a model has converged, with ordinary images: of EM, and of turns; and at most.
EM_PASSES, TURNS, MOST_TURNS = 7, 40, 1000


def _by_pairs(d: int, regularization: str) -> bool:
    """Whether moments of pairs of features do, or codes and archetypes are to be found in turns."""
    return d <= MOST_EXACT_FEATURES and regularization != "non-negative"


def _foresees(
    data: StepInput,
    *,
    rank: int,
    regularization: Regularizations,
    max_iter: int | None,
    groups: int,
    impute: bool | str = True,
    **others: Any,
) -> Iterator[Foreseen]:
    """Passes of EM, where pixels are missing, and the one that scores and fills in."""
    d = data.source.n_features
    k = min(rank, d, max(data.n, 1))
    archetypes = (typical_rows(data.source, k) - 128.0) / (255.0 * d**0.5)
    model = ModelParameter.of(np.full(d, 0.3), np.ones(d), archetypes, 1.0)
    # Complete images have an exact answer.
    gaps = not getattr(data.source, "is_complete", True)
    if not _by_pairs(d, regularization):
        scan, times = Scan({"codes": CodeMoments(model, rounder(1.0))}, split=data.split), min(TURNS, max_iter or TURNS)
        yield Foreseen("each turn", scan, times=times, most=max_iter or MOST_TURNS)
    elif gaps:
        scan = Scan({"filled": FilledMoments(model, rounder(1.0))}, split=data.split)
        times = min(EM_PASSES, max_iter or EM_PASSES)
        yield Foreseen("each pass of EM", scan, times=times, most=max_iter or MOST_TURNS)
    scale = ArrayParameter(np.ones(d, np.float32))
    imputer: AnyImputer = Imputer(model, scale)
    if groups > 1:
        arrays = (np.zeros((groups, d), np.float32), np.zeros((groups, d, d), np.float32), np.zeros(groups))
        centre, precision, weight = (ArrayParameter(array) for array in arrays)
        mixture = MixtureParameter(centre, precision, weight, model)
        yield Foreseen(
            "each pass of groups",
            Scan({"groups": GroupMoments(mixture, 1.0)}, split=data.split),
            times=min(EM_PASSES, max_iter or EM_PASSES),
            most=max_iter or MOST_TURNS,
        )
        imputer = MixtureImputer(mixture, scale, model)
    yield Foreseen("filling in", Scan({}, {"codes": Imputed(imputer, images=bool(impute))}))
    means = (
        ArrayParameter(np.zeros(d, np.float32)),
        ArrayParameter(np.zeros((max(1, len(data.source.class_names)), d), np.float32)),
    )
    if getattr(data.source, "fraction", 0.0):
        scores = ImputationScores((imputer,) * len(_ranks(k)), *means)
        yield Foreseen("scoring", Scan({"scores": scores}, split=data.split))


@step(
    "low_rank",
    version=3,
    figures="fmnist_dask.workflow.figures.low_rank:figures",
    libraries=("numpy", "scipy"),
    accepts=("mask", "missing", "images"),
    gives=("features",),
    foresees=_foresees,
    width=lambda data, *, rank, **parameters: min(rank, data.source.n_features),
)
def low_rank_step(
    data: StepInput,
    *,
    rank: Annotated[int, pydantic.Field(ge=1)] = 64,
    transform: Transform = "none",
    regularization: Regularizations = "noise",
    gamma_x: Penalty = 0.0,
    gamma_y: Penalty = 0.0,
    max_iter: Annotated[int, pydantic.Field(ge=0, le=1000)] | None = None,
    tol: Penalty = 1e-3,
    groups: Groups = 1,
    impute: bool | Literal["float32"] = True,
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
        noise: probabilistic PCA, where pixels have noise of one variance; none: least squares; quadratic: squares of
        codes and archetypes count, too; non-negative: neither codes nor archetypes are negative.
    gamma_x
        What squares of codes count for (quadratic or non-negative).
    gamma_y
        What squares of archetypes count for; one of the two alone bounds nothing.
    max_iter
        Most passes of EM where pixels are missing, 0 for the start, from all pairs of pixels; or most turns of codes
        and archetypes. By default 5 and 50.
    tol
        Relative change at which they end: of the variances, or without noise of the objective.
    groups
        More than 1: fill in by a mixture of so many Gaussians, found without labels, that begins with the model. Codes
        are the model's.
    impute
        Write the images with their missing pixels filled in: true for whole numbers, float32 for what is expected.
    shown
        Images of a random sample to show on the map.
    """
    asked = _Asked(rank, transform, regularization, gamma_x, gamma_y, max_iter, tol, groups)
    model = yield from _model(data, asked, shown)
    return (yield from _filled(data, model, asked, impute, shown))


@step(
    "imputed",
    version=3,
    figures="fmnist_dask.workflow.figures.low_rank:figures",
    libraries=("numpy", "scipy"),
    accepts=("mask", "missing", "images"),
    gives=("images",),
    foresees=_foresees,
)
def imputed(
    data: StepInput,
    *,
    rank: Annotated[int, pydantic.Field(ge=1)] = 64,
    transform: Transform = "none",
    regularization: Regularizations = "noise",
    gamma_x: Penalty = 0.0,
    gamma_y: Penalty = 0.0,
    max_iter: Annotated[int, pydantic.Field(ge=0, le=1000)] | None = None,
    tol: Penalty = 1e-3,
    groups: Groups = 1,
    shown: Annotated[int, pydantic.Field(ge=0, le=5000)] = 1500,
) -> Algorithm[StepResult]:
    """The images with their missing pixels filled in, for other steps to work on; found as ``low_rank`` does.

    Parameters
    ----------
    rank
        As of low_rank, like all others.
    transform
        What is done to each pixel first.
    regularization
        noise, none, quadratic or non-negative.
    gamma_x
        What squares of codes count for.
    gamma_y
        What squares of archetypes count for.
    max_iter
        Most passes.
    tol
        Relative change at which they end.
    groups
        Gaussians of a mixture.
    shown
        Images of a random sample to show on the map.
    """
    asked = _Asked(rank, transform, regularization, gamma_x, gamma_y, max_iter, tol, groups)
    model = yield from _model(data, asked, shown)
    result = yield from _filled(data, model, asked, "all", shown)
    result.features, result.pixels = None, "imputed"
    return result


@dataclass(frozen=True)
class _Asked:
    """Parameters of both steps."""

    rank: int
    transform: Transform
    regularization: Regularizations
    gamma_x: float
    gamma_y: float
    max_iter: int | None
    tol: float
    groups: int

    def check(self) -> None:
        """Refuse what means nothing."""
        gammas = f"gamma_x={self.gamma_x:g} and gamma_y={self.gamma_y:g}"
        if (self.gamma_x or self.gamma_y) and self.regularization in ("noise", "none"):
            raise UsageError(
                f"{gammas} do nothing with regularization {self.regularization}",
                "take them away, or take quadratic or non-negative regularization",
            )
        if bool(self.gamma_x) != bool(self.gamma_y):
            raise UsageError(
                f"{gammas}: one alone bounds nothing, since codes may be small and archetypes large",
                "give both, or none",
            )
        if self.groups > 1 and (self.regularization != "noise" or self.transform not in ("none", "demean")):
            raise UsageError(
                f"groups={self.groups} with regularization {self.regularization} and transform {self.transform}",
                "a mixture takes noise, and pixels as they are; or take groups away",
            )


def _model(data: StepInput, asked: _Asked, shown: int) -> Algorithm[FittedLowRank]:
    """Fit, by whichever way can do what is asked."""
    asked.check()
    source, n = data.source, data.n
    rank = max(1, min(asked.rank, n, source.n_features))
    extra: dict[str, Reduction] = {
        "sample": MaskedSubset(max(shown, 2 * EXAMPLES), n, data.seed),
        "classes": ClassMoments(),
    }
    if asked.groups > 1:
        extra["begin"] = ObservedSubset(subset_rows(source, n), n, data.seed)
    kind: Any = asked.regularization
    by_pairs = _by_pairs(source.n_features, kind)
    passes = asked.max_iter if asked.max_iter is not None else EM_PASSES if by_pairs else TURNS
    gammas: dict[str, Any] = {"gamma_x": asked.gamma_x, "gamma_y": asked.gamma_y}
    if by_pairs:
        options = LowRankOptions(rank, asked.transform, kind, max_iter=passes, tol=asked.tol, **gammas)
        return (yield from low_rank(source, n, options, data.split, extra))
    turns = CodeOptions(
        rank,
        regularization_x=kind,
        regularization_y="none" if kind == "noise" else kind,
        transform=asked.transform,
        max_iter=passes,
        tol=asked.tol,
        seed=data.seed,
        **gammas,
    )
    return (yield from low_rank_by_codes(source, n, turns, data.split, extra))


def _filled(data: StepInput, model: FittedLowRank, asked: _Asked, impute: Any, shown: int) -> Algorithm[StepResult]:
    """Codes of all images, these filled in, and how good that is."""
    scale = ArrayParameter(model.error_scale.astype(np.float32))
    ranks = _ranks(model.rank) if model.orthogonal else [model.rank]
    imputers: list[AnyImputer] = [Imputer(model.at_rank(k), scale) for k in ranks[:-1]]
    imputers.append(Imputer(model.parameter, scale))
    outcome = Outcome.of(data, model, ranks, imputers, shown)
    if asked.groups > 1 and not model.complete:
        options = MixtureOptions(asked.groups, model.rank, seed=data.seed)
        mixture = yield from mixture_of_gaussians(data.source, data.n, model, model.extra["begin"], options, data.split)
        imputers.append(MixtureImputer(mixture.parameter, scale, model.parameter))
        outcome.group_count = mixture.count
    imputer = imputers[-1]
    images = bool(impute) and (not model.complete or impute == "all")
    column = Imputed(
        imputer,
        None if outcome.edges is None else ArrayParameter(outcome.edges),
        CELLS,
        images,
        "float32" if impute == "float32" else "uint8",
    )
    scores: dict[str, Reduction] = {}
    if not model.complete:
        means = _means(model)
        scores["scores"] = ImputationScores(tuple(imputers), ArrayParameter(means[0]), ArrayParameter(means[1]))
    # All images get codes, those of the split are scored: one pass where these are the same.
    together = data.split == "all"
    found = yield Scan(scores if together else {}, {"codes": column})
    if scores and not together:
        found |= yield Scan(scores, split=data.split)
    outcome.scored = found.get("scores")
    return StepResult(
        dataset=outcome_dataset(data, outcome),
        metrics=metrics_of(data, outcome),
        exact=model.exact,
        n_used=model.n,
        n_total=data.source.n,
        columns=found["codes"],
        features="codes",
    )


def _ranks(rank: int) -> list[int]:
    """Powers of two from 2 on, and the rank itself; none that is nearly that."""
    return [*(2**power for power in range(1, 16) if 1.3 * 2**power < rank), rank]


def _means(model: FittedLowRank) -> tuple[AnyArray, AnyArray]:
    """Mean of each pixel where it is there, of all images and of each class; where a class lacks it, that of all."""
    classes = model.extra["classes"]
    total, count = classes["sum"], classes["count"]
    everywhere = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1) + OFFSET
    everywhere = np.where(count.sum(axis=0) > 0, everywhere, model.centre)
    by_class = np.where(count > 0, total / np.maximum(count, 1) + OFFSET, everywhere)
    by_class[-1] = everywhere  # nothing is known of the class of images without one
    return everywhere.astype(np.float32), by_class.astype(np.float32)
