"""What estimators of principal components share: coordinates along them, and the normal density that they stand for."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fmnist_dask.models.estimators.inputs import read, read_codes
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.rows import Coordinates, LogLikelihood
from fmnist_dask.typing import FloatArray


class ComponentsMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """For estimators with ``components_``, ``mean_``, ``explained_variance_``, ``noise_variance_`` and ``whiten``."""

    components_: FloatArray
    explained_variance_: FloatArray
    mean_: FloatArray
    noise_variance_: float
    whiten: bool

    def transform(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Coordinates of each sample along the components, shape (n_samples, n_components); lazy for Dask arrays.

        Whitened coordinates have unit variance; those along which the samples of the fit did not vary (beyond rounding)
        are left as they are.
        """
        check_is_fitted(self)
        samples = read(self, X, reset=False)
        directions = np.asarray(self.components_).T / self._spread
        return samples.apply(Coordinates(self.mean_, directions, None, samples.result_dtype), "component")

    def inverse_transform(self, X: Any) -> Any:  # noqa: N803
        """Samples with these coordinates, shape (n_samples, n_features); lazy for Dask arrays."""
        check_is_fitted(self)
        k = len(self.components_)
        codes = read_codes(X, k, "components")
        directions = self.components_ * self._spread[:, None]
        back = Coordinates(np.zeros(k), directions, self.mean_, codes.result_dtype)
        return codes.apply(back, "feature")

    def get_covariance(self) -> FloatArray:
        """Covariance of the normal density: the components' variance, and the noise in all other directions.

        Returns
        -------
        float64 array of shape (n_features, n_features)
        """
        check_is_fitted(self)
        beyond = np.maximum(self.explained_variance_ - self.noise_variance_, 0.0)
        with one_blas_thread():
            covariance: FloatArray = (self.components_.T * beyond) @ self.components_
        covariance.flat[:: len(covariance) + 1] += self.noise_variance_
        return covariance

    def get_precision(self) -> FloatArray:
        """Inverse of the covariance, shape (n_features, n_features).

        Raises
        ------
        numpy.linalg.LinAlgError
            It has none: there is no noise, and some direction does not vary.
        """
        check_is_fitted(self)
        if self.noise_variance_ == 0.0:
            inverse: Any = np.linalg.inv(self.get_covariance())
            return cast(FloatArray, inverse)
        # Components are orthonormal, so that each direction's variance is inverted on its own.
        variance = np.maximum(self.explained_variance_, self.noise_variance_)
        share = (variance - self.noise_variance_) / variance
        with one_blas_thread():
            precision: FloatArray = -(self.components_.T * share) @ self.components_
        precision.flat[:: len(precision) + 1] += 1.0
        return precision / self.noise_variance_

    def score_samples(self, X: Any) -> Any:  # noqa: N803
        """Log-likelihood of each sample (Tipping and Bishop 1999), shape (n_samples,); lazy for Dask arrays."""
        check_is_fitted(self)
        return read(self, X, reset=False).apply(self._density)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Mean log-likelihood of the samples."""
        check_is_fitted(self)
        values = np.asarray(read(self, X, reset=False).plain(self._density))
        # Rounded once: NumPy's sum depends on where the values lie in memory.
        return math.fsum(values.tolist()) / len(values)

    @property
    def _density(self) -> LogLikelihood:
        precision = self.get_precision()
        with one_blas_thread():
            determinant = float(np.linalg.slogdet(precision)[1])
        constant = 0.5 * (determinant - len(precision) * math.log(2 * math.pi))
        return LogLikelihood(self.mean_, precision, constant)

    @property
    def _spread(self) -> FloatArray:
        """What coordinates are divided by."""
        variance = np.asarray(self.explained_variance_)
        if not self.whiten:
            return np.ones(len(variance))
        least = np.finfo(np.float64).eps * len(self.mean_) * variance.max(initial=0.0)
        return np.sqrt(np.where(variance > least, variance, 1.0))

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
