"""What is behind the estimator of low-rank models: parameters of its engines, and what they have come to so far."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from fmnist_dask.errors import UsageError
from fmnist_dask.models.code_fit import CodeOptions
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import Samples, seed_of
from fmnist_dask.models.low_rank import fitted_pairs
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions
from fmnist_dask.models.pair_fit import PairFit
from fmnist_dask.models.pca import MOST_EXACT_FEATURES
from fmnist_dask.passes.blas import one_blas_thread

LOSSES = ("quadratic",)
REGULARIZERS_X = ("noise", "none", "quadratic", "non-negative")
REGULARIZERS_Y = ("none", "quadratic", "non-negative")
TRANSFORMS = ("none", "demean", "standardize", "normalize")
INITS = ("svd", "random")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Moments of all pairs of features so far, and the model that follows from them once somebody asks."""

    moments: dict[str, Any]
    options: LowRankOptions

    @functools.cached_property
    def model(self) -> FittedLowRank:
        """Worked out once."""
        with one_blas_thread():
            fit = PairFit(len(self.moments["both"]), int(self.moments["n"]), self.options, self.moments)
            complete = bool((self.moments["both"] == fit.n).all())
            return fitted_pairs(fit, self.moments, [fit.residual] if complete else [], np.zeros(0), complete, {})


@dataclass(frozen=True, eq=False)
class Whole:
    """A model of all samples at once."""

    model: FittedLowRank


class FromModel:
    """An attribute of the fitted model, which batches leave to be worked out until it is asked for.

    Parameters
    ----------
    attribute
        What the model calls it.
    """

    def __init__(self, attribute: str) -> None:
        self.attribute = attribute

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        fitted = vars(estimator).get("_fitted")
        if fitted is None:
            raise AttributeError(f"this {type(estimator).__name__} has no {self.name!r} before it is fitted")
        return getattr(fitted.model, self.attribute)


def options_of(estimator: Any, samples: Samples) -> LowRankOptions | CodeOptions:
    """What the parameters of the estimator ask for, for the engine that can do it.

    Raises
    ------
    UsageError
        They cannot be met.
    """
    rank = checks.whole(estimator, "rank", 1)
    checks.one_of(estimator, "loss", LOSSES)
    x: Any = checks.one_of(estimator, "regularization_x", REGULARIZERS_X)
    y: Any = checks.one_of(estimator, "regularization_y", REGULARIZERS_Y)
    transform: Any = checks.one_of(estimator, "transform", TRANSFORMS, estimator._transform)
    gamma_x, gamma_y = checks.number(estimator, "gamma_x"), checks.number(estimator, "gamma_y")
    gamma_x, gamma_y = (0.0 if kind in ("none", "noise") else gamma for kind, gamma in ((x, gamma_x), (y, gamma_y)))
    if bool(gamma_x) != bool(gamma_y) and x != "noise":
        raise UsageError(
            f"gamma_x={gamma_x:g} and gamma_y={gamma_y:g} of {x} codes and {y} archetypes: one alone bounds "
            "nothing, since codes may be small and archetypes large",
            "give both, or none",
        )
    max_iter, tol = checks.whole(estimator, "max_iter", 0), checks.number(estimator, "tol")
    init: Any = estimator.init
    if isinstance(init, str):
        checks.one_of(estimator, "init", INITS)
    else:
        init = check_array(init, dtype=np.float64, copy=True, input_name="init")
    n, d = int(samples.values.shape[0]), samples.n_features
    if "_fitted" not in vars(estimator) and rank > min(n, d):
        raise UsageError(f"rank={rank} must be between 1 and min(samples, features)={min(n, d)}", "take less")
    free = "non-negative" not in (x, y) and not (x == "noise" and gamma_y)
    if free and d <= MOST_EXACT_FEATURES and isinstance(init, str) and init == "svd":
        kind: Any = "noise" if x == "noise" else "quadratic" if gamma_x else "none"
        return LowRankOptions(rank, transform, kind, gamma_x, gamma_y, max_iter, tol)
    seed = seed_of(estimator.random_state)
    return CodeOptions(rank, x, y, gamma_x, gamma_y, transform, max_iter, tol, init, seed)
