"""Mixtures of Gaussians with scikit-learn's interface."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, check_random_state

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gaussians import Gaussians, Kind, SingularCovarianceError
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import read, seed_of
from fmnist_dask.models.gaussian_mixture import GaussianMixtureModel, gaussian_mixture
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.gaussians import GaussiansParameter, LikelihoodSum
from fmnist_dask.passes.rows import LikeliestComponent, LogDensity, Shares
from fmnist_dask.typing import AnyArray, FloatArray

KINDS: tuple[Kind, ...] = ("full", "diag")


class GaussianMixture(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Mixture of Gaussians of arrays in memory or larger than it, the same to the last bit for any chunking.

    EM begins and converges on a random subset (16,384 samples), then goes on over all samples, which each iteration
    reads once: ``persist`` Dask arrays if they fit into memory. From the same start the iterations are scikit-learn's.

    Parameters
    ----------
    n_components : int
    covariance_type : {"full", "diag"}
    tol : float
        Iterations end when the mean log-likelihood gains less.
    reg_covar : float
        Added to all variances.
    max_iter : int
        Iterations over all samples, at most.
    n_init : int
        Starts, which are compared on the subset after some iterations.
    init_params : {"k-means++"}
        How components begin where ``means_init`` is not given.
    weights_init, means_init, precisions_init : arrays or None
        Where ``means_init`` is given, iterations begin there, over all samples: with equal weights and the covariance
        of unit matrices where the others are not.
    random_state : int, RandomState or None
    warm_start : bool
        Begin with the components of the last fit.
    verbose, verbose_interval
        Accepted from code written for scikit-learn, without effect.

    Attributes
    ----------
    weights_ : float64 array of shape (n_components,)
    means_ : float64 array of shape (n_components, n_features_in_)
    covariances_, precisions_, precisions_cholesky_ : float64 arrays
        Of shape (n_components, n_features_in_, n_features_in_), or without the last axis for ``diag``.
    converged_ : bool
    n_iter_ : int
        Iterations over all samples.
    lower_bound_ : float
        Mean log-likelihood before the last maximization.
    lower_bounds_ : list of float
        Before each.
    degenerate_ : bool array of shape (n_components,)
        Components of fewer than two samples, or flat in some direction.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import GaussianMixture
    >>> points = np.array([[0.0], [0.1], [0.2], [9.0], [9.2], [9.1]])
    >>> GaussianMixture(2, random_state=0).fit(points).weights_.round(3).tolist()
    [0.5, 0.5]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 10,
        init_params: str = "k-means++",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Find the components.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like.
        y
            Not used.

        Raises
        ------
        ValueError
            Samples or parameters that cannot be worked with; :class:`fmnist_dask.errors.UsageError` among them.
        """
        samples = read(self, X, reset=True, counted=True)
        options = self._options(samples.n_features)
        model: GaussianMixtureModel = samples.run(lambda source, n: gaussian_mixture(source, n, options))
        self.weights_, self.means_, self.covariances_ = model.weights, model.means, model.covariances
        self.precisions_cholesky_ = root = model.gaussians.root
        self.precisions_ = root**2 if root.ndim == 2 else root @ root.transpose(0, 2, 1)
        self.converged_, self.n_iter_ = model.converged, len(model.history)
        self.lower_bound_, self.lower_bounds_ = model.lower_bound, list(model.history)
        self.degenerate_ = model.degenerate
        self._warn()
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """:meth:`fit`, then the components of the same samples."""
        return self.fit(X).predict(X)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Likeliest component of each sample; lazy for Dask arrays."""
        return self._read(X).apply(LikeliestComponent(self._gaussians))

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Probability of each component, shape (n_samples, n_components); lazy for Dask arrays."""
        return self._read(X).apply(Shares(self._gaussians), "component")

    def score_samples(self, X: Any) -> Any:  # noqa: N803
        """Logarithm of the density of each sample; lazy for Dask arrays."""
        return self._read(X).apply(LogDensity(self._gaussians))

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Mean log-likelihood of these samples."""
        total, n = self._likelihood(X)
        return total / n

    def bic(self, X: Any) -> float:  # noqa: N803
        """Bayesian information criterion of these samples; lower is better."""
        total, n = self._likelihood(X)
        return self._model(n).bic(total)

    def aic(self, X: Any) -> float:  # noqa: N803
        """Akaike's information criterion of these samples; lower is better."""
        total, n = self._likelihood(X)
        return self._model(n).aic(total)

    def sample(self, n_samples: int = 1) -> tuple[FloatArray, AnyArray]:
        """Random samples of the mixture and their components, by component."""
        check_is_fitted(self)
        if n_samples < 1:
            raise UsageError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.",
                "ask for 1 or more",
            )
        generator = check_random_state(self.random_state)
        counts = generator.multinomial(n_samples, self.weights_ / self.weights_.sum())
        parts = [
            generator.multivariate_normal(mean, spread if spread.ndim == 2 else np.diag(spread), int(count))
            for mean, spread, count in zip(self.means_, self.covariances_, counts, strict=True)
        ]
        return np.concatenate(parts), np.repeat(np.arange(len(counts)), counts)

    def _read(self, X: Any, counted: bool = False) -> Any:  # noqa: N803
        check_is_fitted(self)
        return read(self, X, reset=False, counted=counted)

    def _likelihood(self, X: Any) -> tuple[float, int]:  # noqa: N803
        """Summed log-likelihood, and samples."""
        found = self._read(X, counted=True).run(lambda source, n: _measure(source, n, self._gaussians))
        return float(found[0]), int(found[1])

    def _model(self, n: int) -> GaussianMixtureModel:
        return GaussianMixtureModel(self.weights_, self.means_, self.covariances_, 0.0, True, n)

    @property
    def _gaussians(self) -> Gaussians:
        return Gaussians(self.weights_, self.means_, self.precisions_cholesky_)

    def _options(self, d: int) -> GaussianMixtureOptions:
        checks.one_of(self, "init_params", ("k-means++",))
        k = checks.whole(self, "n_components", 1)
        kind: Any = checks.one_of(self, "covariance_type", KINDS)
        return GaussianMixtureOptions(
            n_components=k,
            covariance_type=kind,
            tol=checks.number(self, "tol"),
            reg_covar=checks.number(self, "reg_covar"),
            max_iter=checks.whole(self, "max_iter", 1),
            n_init=checks.whole(self, "n_init", 1),
            start=self._start(k, d, kind),
            seed=seed_of(self.random_state),
        )

    def _start(self, k: int, d: int, kind: Kind) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        if self.warm_start and hasattr(self, "means_"):
            return self.weights_, self.means_, self.covariances_
        if self.means_init is None:
            for name in ("weights_init", "precisions_init"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name} is given without means_init", "give means_init, too")
            return None
        shape = (k, d, d) if kind == "full" else (k, d)
        means = _given(self.means_init, "means", (k, d))
        weights = np.full(k, 1 / k) if self.weights_init is None else _given(self.weights_init, "weights", (k,))
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-6:
            raise UsageError(
                f"weights_init goes from {weights.min():g} to {weights.max():g} and adds up to {weights.sum():g}",
                "give weights that are not negative and add up to 1",
            )
        if self.precisions_init is None:
            covariances = np.ones(shape) if kind == "diag" else np.broadcast_to(np.eye(d), shape).copy()
            return weights, means, covariances
        precisions = _given(self.precisions_init, "precisions", shape)
        try:
            root = Gaussians.of(weights, means, precisions).root
        except SingularCovarianceError:
            raise UsageError("precisions_init are not positive definite") from None
        return weights, means, root**2 if kind == "diag" else root @ root.transpose(0, 2, 1)

    def _warn(self) -> None:
        if not self.converged_ and self.max_iter > 1:
            warnings.warn(
                f"EM gained more than tol={self.tol:g} in the last of {self.n_iter_} iterations; increase max_iter",
                ConvergenceWarning,
                stacklevel=3,
            )
        if self.degenerate_.any():
            which = ", ".join(map(str, np.flatnonzero(self.degenerate_)[:10]))
            warnings.warn(
                f"fewer than two samples, or no variance in some direction: component {which} (see degenerate_); ask "
                "for fewer components, or increase reg_covar",
                ConvergenceWarning,
                stacklevel=3,
            )


def _measure(source: Readable, n: int, mixture: Gaussians) -> Algorithm[tuple[float, int]]:
    found = yield Scan({"sum": LikelihoodSum(GaussiansParameter.of(mixture))})
    return found["sum"], n


def _given(values: Any, name: str, shape: tuple[int, ...]) -> FloatArray:
    found: FloatArray = check_array(
        values, dtype=np.float64, ensure_2d=False, allow_nd=True, copy=True, input_name=f"{name}_init"
    )
    if found.shape != shape:
        raise UsageError(f"The parameter '{name}' should have the shape of {shape}, but got {found.shape}")
    return found
