"""Expectation maximization of weighted points of few dimensions, compiled by numba. Imported where it runs."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, inline="always")
def _log_joint(points, at, mean, root, constant, out):  # pragma: no cover - compiled
    """Logarithm of each component's weight times its density at a point; the largest."""
    k, d = mean.shape
    largest = -np.inf
    for c in range(k):
        square = 0.0
        for column in range(d):
            value = 0.0
            for axis in range(column + 1):
                value += (points[at, axis] - mean[c, axis]) * root[c, axis, column]
            square += value * value
        out[c] = constant[c] - 0.5 * square
        largest = max(largest, out[c])
    return largest


@numba.njit(nogil=True, cache=True)
def expectation(points, weight, mean, root, constant, mass, first, second):  # pragma: no cover - compiled
    """Shares of all components in all points, summed; the summed log-likelihood.

    Parameters
    ----------
    points : float64 array, shape (m, d)
    weight : float64 array, shape (m,)
    mean : float64 array, shape (k, d)
    root : float64 array, shape (k, d, d)
        Upper triangular R with R Rᵀ the inverse covariance.
    constant : float64 array, shape (k,)
        Logarithm of weight and density at the mean; −inf for a component that is left out.
    mass, first, second
        Filled: shape (k,), (k, d), (k, d, d), the latter about the old means, and of its lower triangle.
    """
    k, d = mean.shape
    mass[:] = 0.0
    first[:] = 0.0
    second[:] = 0.0
    share = np.empty(k)
    likelihood = 0.0
    for at in range(points.shape[0]):
        largest = _log_joint(points, at, mean, root, constant, share)
        total = 0.0
        for c in range(k):
            # What is 2^-50 of the largest does not count.
            share[c] = np.exp(share[c] - largest) if share[c] - largest > -35.0 else 0.0
            total += share[c]
        likelihood += weight[at] * (largest + np.log(total))
        for c in range(k):
            if share[c] > 0.0:
                part = weight[at] * share[c] / total
                mass[c] += part
                for axis in range(d):
                    apart = part * (points[at, axis] - mean[c, axis])
                    first[c, axis] += apart
                    for other in range(axis + 1):
                        second[c, axis, other] += apart * (points[at, other] - mean[c, other])
    return likelihood


@numba.njit(nogil=True, cache=True)
def most_likely(points, mean, root, constant, labels):  # pragma: no cover - compiled
    """The component of each point, of equals the first; shapes as above."""
    k = mean.shape[0]
    joint = np.empty(k)
    for at in range(points.shape[0]):
        largest = _log_joint(points, at, mean, root, constant, joint)
        labels[at] = 0
        for c in range(k):
            if joint[c] == largest:
                labels[at] = c
                break
