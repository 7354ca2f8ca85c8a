"""PCA with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, Self

from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.components import ComponentsMixin
from fmnist_dask.models.estimators.inputs import read, seed_of
from fmnist_dask.models.pca import PCAModel, PCAOptions, Solver, pca

#: What scikit-learn's and dask-ml's solvers are here.
SOLVERS: dict[str, Solver] = {
    "auto": "auto",
    "full": "exact",
    "covariance_eigh": "exact",
    "arpack": "exact",
    "tsqr": "exact",
    "randomized": "randomized",
}


class PCA(ComponentsMixin):
    """Principal components of arrays in memory or larger than it, the same to the last bit for any chunking.

    Up to 4,096 features they are the eigenvectors of an exactly known scatter matrix: one pass over integers of 8 bits,
    three over floats. Beyond, ``auto`` is a randomized subspace iteration, one pass a round. Each pass reads a Dask
    array once: ``persist`` it if it fits into memory.

    Parameters
    ----------
    n_components : int, float or None
        A number, a share of the variance between 0 and 1, or all.
    copy, tol, iterated_power
        Accepted from code written for scikit-learn or dask-ml, without effect: samples are never changed.
    whiten : bool
        Scale coordinates to unit variance.
    svd_solver : {"auto", "full", "covariance_eigh", "arpack", "tsqr", "randomized"}
        All but ``auto`` and ``randomized`` are the exact one.
    random_state : int, RandomState or None
        Of the randomized solver.

    Attributes
    ----------
    components_ : float64 array of shape (n_components_, n_features_in_)
        The largest entry of each is positive.
    explained_variance_, explained_variance_ratio_, singular_values_ : float64 arrays of shape (n_components_,)
    mean_ : float64 array of shape (n_features_in_,)
    noise_variance_ : float
        Mean variance along the directions left out.
    n_components_, n_samples_, n_features_in_ : int
    exact_ : bool
        Whether the components are those of all products of features, rather than of a randomized method.
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import PCA
    >>> pixels = np.array([[0, 1], [10, 21], [20, 41]], dtype=np.uint8)
    >>> PCA(1).fit(pixels).explained_variance_
    array([500.])
    """

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        copy: bool = True,
        whiten: bool = False,
        svd_solver: str = "auto",
        tol: float = 0.0,
        iterated_power: int | str = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.copy = copy
        self.whiten = whiten
        self.svd_solver = svd_solver
        self.tol = tol
        self.iterated_power = iterated_power
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Find the components.

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
        samples = read(self, X, reset=True, counted=True)
        solver = SOLVERS[checks.one_of(self, "svd_solver", tuple(SOLVERS))]
        options = PCAOptions(checks.components(self), solver, seed_of(self.random_state))
        model: PCAModel = samples.run(lambda source, n: pca(source, n, options))
        self.components_ = model.components
        self.explained_variance_ = model.explained_variance
        self.explained_variance_ratio_ = model.explained_variance_ratio
        self.singular_values_ = model.singular_values
        self.mean_ = model.mean
        self.noise_variance_ = model.noise_variance
        self.n_components_ = len(model.components)
        self.n_samples_ = model.n
        self.exact_ = model.exact
        return self
