"""Low-rank models with scikit-learn's interface: codes, archetypes, missing values filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fmnist_dask.errors import UsageError
from fmnist_dask.models.code_fit import CodeOptions
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import Samples, read, read_codes, with_missing
from fmnist_dask.models.estimators.low_rank_engines import FromModel, Pairs, Whole, options_of
from fmnist_dask.models.low_rank import gather_pairs, low_rank
from fmnist_dask.models.low_rank_codes import low_rank_by_codes, polished
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions
from fmnist_dask.models.online_fit import OnlineFit
from fmnist_dask.passes.low_rank_rows import LowRankCodes, LowRankValues
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.passes.reductions.pairs import merged_pairs
from fmnist_dask.passes.rows import Coordinates


class LowRankModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Samples as sums of few archetypes, ``x ≈ centre + scale · z Y``, although values are missing.

    A generalized low-rank model (Udell et al. 2016) with quadratic loss. Missing values are NaN, or said by
    ``missing``. With ``regularization_x="noise"`` it is probabilistic PCA (Tipping and Bishop 1999): what archetypes do
    not explain is noise of one variance, found from the samples, and codes are the mean of what they may be.

    Three engines, of which ``engine_`` names the one that was used:

    - ``pairs``: moments of all pairs of features in one pass; of complete samples the solution is exact and follows
      from them, otherwise EM begins there, one pass for each iteration. Up to 4,096 features, without constraints.
    - ``codes``: codes and archetypes in turns, one pass for each; codes are never stored.
    - ``batches``: with ``batch_size``, and by :meth:`partial_fit`. Samples are read once, a batch at a time: moments of
      pairs are added where these are enough, else archetypes follow the averages over batches. :meth:`fit` ends with
      one pass over all samples that polishes.

    Parameters
    ----------
    rank : int
        Codes of a sample.
    loss : {"quadratic"}
    regularization_x : {"noise", "none", "quadratic", "non-negative"}
        Of the codes.
    regularization_y : {"none", "quadratic", "non-negative"}
        Of the archetypes.
    gamma_x, gamma_y : float
        What squares of codes and of archetypes count for in the objective. One alone would bound nothing: codes could
        be as small, and archetypes as large, as one likes.
    transform : {"none", "demean", "standardize", "normalize"}
        What is done to each feature first: nothing, its mean subtracted, also divided by its standard deviation, or by
        its range. Constant features are not divided.
    max_iter : int
        Most passes after the start.
    tol : float
        Relative change at which they end: of the objective, or with noise of the variances.
    batch_size : int or None
        Samples of a batch; ``None`` for passes over all samples until the model has converged.
    init : {"svd", "random"} or array of shape (rank, n_features)
        Archetypes that the engine ``codes`` begins with.
    random_state : int, RandomState or None
        Of the rows and numbers that it begins with.

    Attributes
    ----------
    components_ : float64 array of shape (rank, n_features_in_)
        Archetypes Y, in transformed units: orthogonal where there are no constraints, the longest first, with the sign
        that makes the largest entry of each positive.
    mean_, scale_ : float64 arrays of shape (n_features_in_,)
        What is subtracted from features, and what they are divided by.
    noise_variance_ : float
        In transformed units; 0 without noise.
    error_scale_ : float64 array of shape (n_features_in_,)
        Standard deviation of each feature about what the others say of it.
    objective_history_ : list of float
        After each pass: squared residuals of the observed values, in transformed units, and what regularization counts
        for. Of batches, per sample.
    n_iter_, n_samples_seen_ : int
    engine_ : str
    converged_, exact_ : bool
        Whether passes ended before ``max_iter``; whether this is the best model there is.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import LowRankModel
    >>> rows = np.outer(np.arange(1.0, 7), [1.0, 2.0, 3.0, 4.0])
    >>> rows[2, 1] = np.nan
    >>> model = LowRankModel(1, regularization_x="none").fit(rows)
    >>> float(model.impute(rows)[2, 1].round(3))
    6.0
    """

    components_: Any = FromModel("factors")
    mean_: Any = FromModel("centre")
    scale_: Any = FromModel("scale")
    noise_variance_: Any = FromModel("noise")
    error_scale_: Any = FromModel("error_scale")
    objective_history_: Any = FromModel("objective")
    converged_: Any = FromModel("converged")
    exact_: Any = FromModel("exact")
    n_iter_: Any = FromModel("n_iter")
    n_samples_seen_: Any = FromModel("n")
    engine_: str

    def __init__(
        self,
        rank: int = 10,
        *,
        loss: str = "quadratic",
        regularization_x: str = "noise",
        regularization_y: str = "none",
        gamma_x: float = 0.0,
        gamma_y: float = 0.0,
        transform: str = "none",
        max_iter: int = 100,
        tol: float = 1e-4,
        batch_size: int | None = None,
        init: Any = "svd",
        random_state: Any = None,
    ) -> None:
        self.rank = rank
        self.loss = loss
        self.regularization_x = regularization_x
        self.regularization_y = regularization_y
        self.gamma_x = gamma_x
        self.gamma_y = gamma_y
        # A method has the name; see __setattr__.
        self._transform = transform
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.init = init
        self.random_state = random_state

    def __setattr__(self, name: str, value: Any) -> None:
        """As usual; the parameter ``transform`` is kept apart from the method of that name."""
        super().__setattr__("_transform" if name == "transform" else name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, as scikit-learn asks for them."""
        found: dict[str, Any] = super().get_params(deep)
        return found | {"transform": self._transform}

    def fit(self, X: Any, y: Any = None, *, missing: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Find archetypes.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like; NaN where
            values are missing. Of a collection all images are used, with the pixels that it says are missing.
        y
            Not used.
        missing : boolean array, optional
            True where a value is missing: of the shape of X, or of images without their channels.

        Raises
        ------
        ValueError
            Samples or parameters that cannot be worked with; :class:`fmnist_dask.errors.UsageError` among them.
        """
        self._forget()
        samples = read(self, with_missing(X, missing), reset=True, counted=True, missing=True)
        options = options_of(self, samples)
        if self.batch_size is not None:
            size = checks.whole(self, "batch_size", 1)
            for batch in samples.batches(size, self.rank):
                self._take(Samples(batch, False, samples.dress), options)
            self._polish(samples, options)
        elif isinstance(options, LowRankOptions):
            self._fitted: Any = Whole(samples.run(lambda source, n: low_rank(source, n, options)))
            self.engine_ = "pairs"
        else:
            self._fitted = Whole(samples.run(lambda source, n: low_rank_by_codes(source, n, options)))
            self.engine_ = "codes"
        return self

    def partial_fit(self, X: Any, y: Any = None, *, missing: Any = None) -> Self:  # noqa: N803
        """Take in one more batch, which need not be seen again; parameters as in :meth:`fit`."""
        first = "_fitted" not in vars(self) or self.engine_ != "batches"
        if first:
            self._forget()
        samples = read(self, with_missing(X, missing), reset=first, counted=True, missing=True)
        self._take(samples, options_of(self, samples))
        return self

    def fit_transform(self, X: Any, y: Any = None, *, missing: Any = None) -> Any:  # noqa: N803
        """Fit, and the codes of the samples."""
        return self.fit(X, missing=missing).transform(X, missing=missing)

    def transform(self, X: Any, *, missing: Any = None) -> Any:  # noqa: N803
        """Codes of each sample given what is observed of it, shape (n_samples, rank); lazy for Dask arrays."""
        check_is_fitted(self)
        samples = read(self, with_missing(X, missing), reset=False, missing=True)
        return samples.apply(LowRankCodes(self._parameter, samples.result_dtype), "component")

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """Samples with these codes, shape (n_samples, n_features); lazy for Dask arrays."""
        check_is_fitted(self)
        model, k = self._fitted.model, len(self.components_)
        codes = read_codes(X, k, "archetypes")
        back = Coordinates(np.zeros(k), model.factors * model.scale, model.centre, codes.result_dtype)
        return codes.apply(back, "feature")

    def reconstruct(self, X: Any, *, missing: Any = None) -> Any:  # noqa: N803
        """What the model expects of every value, also of observed ones, shape (n_samples, n_features)."""
        return self._values(X, missing, "reconstruct")

    def impute(
        self,
        X: Any,  # noqa: N803
        *,
        missing: Any = None,
        return_std: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> Any:
        """The samples with their missing values filled in.

        Parameters
        ----------
        X, missing
            As in :meth:`fit`.
        return_std
            Also give the standard deviation of each value that is filled in, 0 for those that are there.
        min_value, max_value
            What values that are filled in are kept within, such as 0 and 255 for pixels.

        Returns
        -------
        float array of shape (n_samples, n_features), or two; lazy for Dask arrays
        """
        limits = (-np.inf if min_value is None else min_value, np.inf if max_value is None else max_value)
        if not limits[0] < limits[1]:
            raise UsageError(f"min_value={min_value} is not below max_value={max_value}")
        filled = self._values(X, missing, "impute", limits)
        return (filled, self._values(X, missing, "deviation", limits)) if return_std else filled

    def _values(self, given: Any, missing: Any, what: Any, limits: tuple[float, float] = (-np.inf, np.inf)) -> Any:
        check_is_fitted(self)
        samples = read(self, with_missing(given, missing), reset=False, missing=True)
        function = LowRankValues(
            self._parameter, samples.result_dtype, self._fitted.model.error_scale, limits[0], limits[1], what
        )
        return samples.apply(function, "feature")

    @property
    def _parameter(self) -> ModelParameter:
        model: FittedLowRank = self._fitted.model
        return model.parameter

    def _forget(self) -> None:
        for name in ("_fitted", "engine_"):
            self.__dict__.pop(name, None)

    def _take(self, samples: Samples, options: LowRankOptions | CodeOptions) -> None:
        """One batch."""
        fitted = vars(self).get("_fitted")
        if isinstance(options, LowRankOptions):
            moments = samples.run(gather_pairs)
            if fitted is not None:
                moments = merged_pairs(fitted.moments, moments)
            elif self.rank > int(moments["n"]):
                raise UsageError(f"rank={self.rank} of a first batch of {moments['n']} samples", "take larger batches")
            self._fitted = Pairs(moments, options)
        else:
            online = fitted or OnlineFit(options)
            for batch in samples.batches(max(int(samples.values.shape[0]), 1), 1):
                online.take(batch)
            self._fitted = online
        self.engine_ = "batches"

    def _polish(self, samples: Samples, options: LowRankOptions | CodeOptions) -> None:
        """One pass over all samples."""
        fitted = self._fitted
        if isinstance(options, LowRankOptions):
            once, moments = replace(options, max_iter=1), fitted.moments
            self._fitted = Whole(samples.run(lambda source, n: low_rank(source, n, once, moments=moments)))
        else:
            self._fitted = Whole(samples.run(lambda source, n: polished(source, n, fitted.fit, fitted.model)))

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
