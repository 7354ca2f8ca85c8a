"""PCA of samples that come in batches, with scikit-learn's interface."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn import decomposition

from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.components import ComponentsMixin
from fmnist_dask.models.estimators.inputs import Samples, read
from fmnist_dask.models.estimators.scatter import AnyScatter, gather_scatter
from fmnist_dask.models.pca import MOST_EXACT_FEATURES, PCAModel, from_scatter
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.typing import FloatArray


@dataclass(frozen=True, eq=False)
class _Exact:
    """What has been seen, and its components once somebody asks for them."""

    scatter: AnyScatter
    n_components: int | None

    @functools.cached_property
    def _model(self) -> PCAModel:
        about = self.scatter.about_mean()
        # The solver overwrites its matrix.
        with one_blas_thread():
            return from_scatter(about.mean, about.scatter.copy(), about.n, self.n_components, {})

    @property
    def components_(self) -> FloatArray:
        return self._model.components

    @property
    def explained_variance_(self) -> FloatArray:
        return self._model.explained_variance

    @property
    def explained_variance_ratio_(self) -> FloatArray:
        return self._model.explained_variance_ratio

    @property
    def singular_values_(self) -> FloatArray:
        return self._model.singular_values

    @property
    def noise_variance_(self) -> float:
        return self._model.noise_variance

    @property
    def n_components_(self) -> int:
        return len(self._model.components)

    @property
    def mean_(self) -> FloatArray:
        return self.scatter.mean

    @property
    def var_(self) -> FloatArray:
        about = self.scatter.about_mean()
        variance: FloatArray = np.diagonal(about.scatter) / about.n
        return variance


class _Found:
    """An attribute of the fit: worked out when it is asked for, since that costs more than taking in a batch."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        fitted = vars(estimator).get("_fitted")
        if fitted is None:
            raise AttributeError(f"this {type(estimator).__name__} has no {self.name!r} before it is fitted")
        return getattr(fitted, self.name)


class IncrementalPCA(ComponentsMixin):
    """Principal components of all batches seen so far, exact up to 4,096 features.

    scikit-learn keeps the leading components of what it has seen and loses the rest with every batch. Here the scatter
    matrix of all samples is kept (8 bytes for each pair of features): integer sums of 8-bit integers, else merged in
    float64. So the components are those of a :class:`PCA` of all samples at once, whatever the batches were. Beyond
    4,096 features, batches go to scikit-learn's own method and ``exact_`` is false.

    Parameters
    ----------
    n_components : int or None
        ``None`` are all: the lesser of samples seen and features. scikit-learn stays with the size of the first batch.
    whiten : bool
        Scale coordinates to unit variance.
    batch_size : int or None
        Samples that :meth:`fit` hands to scikit-learn's method at a time; five times the features by default. The exact
        components do not depend on it.
    copy, svd_solver, iterated_power, random_state
        Accepted from code written for scikit-learn or dask-ml, without effect: samples are never changed, and nothing
        is random.

    Attributes
    ----------
    components_, explained_variance_, explained_variance_ratio_, singular_values_, mean_, noise_variance_, n_components_
        As of :class:`PCA`.
    var_ : float64 array of shape (n_features_in_,)
        Variance of each feature, with n degrees of freedom.
    n_samples_seen_, batch_size_, n_features_in_ : int
    exact_ : bool
        Whether the components are those of all samples at once.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import IncrementalPCA
    >>> batch = np.array([[0, 1], [10, 21], [20, 41]], dtype=np.uint8)
    >>> IncrementalPCA(1).partial_fit(batch).partial_fit(batch).n_samples_seen_
    6
    """

    components_: Any = _Found()
    explained_variance_: Any = _Found()
    explained_variance_ratio_: Any = _Found()
    singular_values_: Any = _Found()
    mean_: Any = _Found()
    var_: Any = _Found()
    noise_variance_: Any = _Found()
    n_components_: Any = _Found()

    def __init__(
        self,
        n_components: int | None = None,
        *,
        whiten: bool = False,
        copy: bool = True,
        batch_size: int | None = None,
        svd_solver: str = "auto",
        iterated_power: int | str = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.copy = copy
        self.batch_size = batch_size
        self.svd_solver = svd_solver
        self.iterated_power = iterated_power
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Forget what was seen, and take in all samples.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like. Of a collection
            all images are used; select rows of ``collection.to_xarray().image`` for those of a split.
        y
            Not used.

        Raises
        ------
        ValueError
            Samples or parameters that cannot be worked with; :class:`fmnist_dask.errors.UsageError` among them.
        """
        for name in ("_fitted", "n_samples_seen_", "exact_", "batch_size_"):
            self.__dict__.pop(name, None)
        samples = read(self, X, reset=True, counted=True)
        return self._take(samples, whole=True)

    def partial_fit(self, X: Any, y: Any = None, check_input: bool = True) -> Self:  # noqa: N803
        """Take in one more batch.

        Parameters
        ----------
        X
            As in :meth:`fit`.
        y, check_input
            Not used: what a batch holds is always looked at.

        Raises
        ------
        ValueError
            As in :meth:`fit`.
        """
        return self._take(read(self, X, reset=not hasattr(self, "_fitted"), counted=True), whole=False)

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in vars(self)

    def _take(self, samples: Samples, whole: bool) -> Self:
        wanted = None if self.n_components is None else checks.whole(self, "n_components", 1)
        n, d = int(samples.values.shape[0]), samples.n_features
        batch_size = 5 * d if self.batch_size is None else checks.whole(self, "batch_size", 1)
        fitted = vars(self).get("_fitted")
        if wanted is not None and wanted > d:
            raise ValueError(
                f"n_components={wanted} invalid for n_features={d}, need more rows than columns for IncrementalPCA "
                "processing"
            )
        if wanted is not None and wanted > n and fitted is None:
            raise ValueError(
                f"n_components={wanted} must be less or equal to the batch number of samples {n} for the first "
                "partial_fit call."
            )
        if d > MOST_EXACT_FEATURES:
            # Its estimator is its own state.
            inner = fitted or decomposition.IncrementalPCA(wanted)
            for batch in samples.batches(batch_size if whole else n, wanted or 0):
                inner.partial_fit(batch)
            self._fitted, seen = inner, int(inner.n_samples_seen_)
        else:
            scatter: AnyScatter = samples.run(gather_scatter)
            if fitted is not None:
                scatter = fitted.scatter.plus(scatter)
            self._fitted, seen = _Exact(scatter, wanted), scatter.n
        self.exact_ = d <= MOST_EXACT_FEATURES
        self.batch_size_ = batch_size
        self.n_samples_seen_ = seen
        return self
