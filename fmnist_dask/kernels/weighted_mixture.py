"""Mixtures of Gaussians of weighted points of up to three dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray

#: Components of less weight than this share of all are left out.
LEAST_MASS = 1e-9


@dataclass(frozen=True)
class WeightedMixture:
    """A mixture.

    Attributes
    ----------
    weight : float64 array, shape (k,)
        Shares; they add up to 1.
    mean : float64 array, shape (k, d)
    covariance : float64 array, shape (k, d, d)
    log_likelihood
        Mean of a unit of weight, before the last maximization.
    n_iter
        Iterations.
    """

    weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    log_likelihood: float = float("nan")
    n_iter: int = 0

    def densities(self) -> tuple[FloatArray, FloatArray]:
        """Roots of the inverse covariances, and logarithms of weights and densities at the means."""
        d = self.mean.shape[1]
        lower = np.linalg.cholesky(self.covariance)
        root = np.ascontiguousarray(np.linalg.inv(lower).transpose(0, 2, 1))
        with np.errstate(divide="ignore"):
            constant = np.log(self.weight) + np.log(np.einsum("kdd->kd", root)).sum(axis=1)
        return root, constant - d / 2 * np.log(2 * np.pi)

    def labels(self, points: FloatArray) -> AnyArray:
        """The most likely component of each point, int32."""
        from fmnist_dask.kernels.compiled_mixture import most_likely

        found = np.empty(len(points), dtype=np.int32)
        most_likely(points, self.mean, *self.densities(), found)
        return found


def fitted_mixture(
    points: FloatArray, weight: FloatArray, labels: AnyArray, ridge: float, most: int = 200, tol: float = 1e-3
) -> WeightedMixture:
    """Expectation maximization (Dempster, Laird and Rubin 1977), begun from clusters.

    Parameters
    ----------
    points : float64 array, shape (m, d)
    weight : float64 array, shape (m,)
        Samples that each stands for.
    labels : int array, shape (m,)
        Cluster of each.
    ridge
        Added to all variances.
    tol
        Ends where the mean log-likelihood gains less.
    """
    from fmnist_dask.kernels.compiled_mixture import expectation

    k, d = int(labels.max()) + 1, points.shape[1]
    floor = ridge * np.eye(d)
    total = float(weight.sum())
    mass = np.maximum(np.bincount(labels, weight, k), LEAST_MASS * total)
    mean = np.stack([np.bincount(labels, weight * column, k) / mass for column in points.T], axis=1)
    apart = points - mean[labels]
    covariance = np.empty((k, d, d))
    for one in range(d):
        for other in range(d):
            covariance[:, one, other] = np.bincount(labels, weight * apart[:, one] * apart[:, other], k) / mass
    mixture = WeightedMixture(mass / mass.sum(), mean, covariance + floor)
    mass, first, second = np.empty(k), np.empty((k, d)), np.empty((k, d, d))
    for iteration in range(1, most + 1):
        root, constant = mixture.densities()
        likelihood = expectation(points, weight, mixture.mean, root, constant, mass, first, second) / total
        held = np.maximum(mass, LEAST_MASS * total)
        moved = first / held[:, None]
        lower = np.tril(second)
        scatter = lower + np.tril(second, -1).transpose(0, 2, 1)
        covariance = scatter / held[:, None, None] - np.einsum("ki,kj->kij", moved, moved) + floor
        gained = likelihood - mixture.log_likelihood
        mixture = WeightedMixture(held / held.sum(), mixture.mean + moved, covariance, likelihood, iteration)
        if abs(gained) < tol:
            break
    return mixture
