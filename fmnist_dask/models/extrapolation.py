"""Larger steps for EM on plateaus."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.gaussians import Gaussians, SingularCovarianceError
from fmnist_dask.typing import FloatArray

#: Weights, means and covariances of a mixture.
State = tuple[FloatArray, FloatArray, FloatArray]
#: Steps shorter than this, in steps of EM, are no gain.
LEAST_STEP = 1.5


def extrapolations(before: State, once: State, twice: State) -> list[State]:
    """Where two steps of EM seem to lead, the farthest first: SQUAREM (Varadhan and Roland 2008, scheme S3).

    Parameters
    ----------
    before, once, twice
        Mixtures, each a step of EM after the one before it.

    Returns
    -------
    list
        Mixtures, each nearer than the one before it, which may be worse than ``twice``; those that are none (negative
        weights, covariances without inverse) are left out.
    """
    first = [there - here for here, there in zip(before, once, strict=True)]
    change = [(end - there) - step for there, end, step in zip(once, twice, first, strict=True)]
    units = _units(before)
    ratio = _squares(first, units) / max(_squares(change, units), 1e-300)
    length = np.sqrt(ratio)
    found = []
    while length >= LEAST_STEP:
        weights, means, covariances = (
            here + 2 * length * step + length**2 * bend for here, step, bend in zip(before, first, change, strict=True)
        )
        if np.isfinite(length) and _is_mixture(weights, means, covariances):
            found.append((weights / weights.sum(), means, covariances))
        length = (length + 1) / 4
    return found


def _is_mixture(weights: FloatArray, means: FloatArray, covariances: FloatArray) -> bool:
    if not (weights > 0).all():
        return False
    try:
        Gaussians.of(weights, means, covariances)
    except SingularCovarianceError:
        return False
    return True


def _units(state: State) -> list[FloatArray]:
    """What differences of weights, means and covariances are divided by, so that they can be added up."""
    weights, _, covariances = state
    variances = np.einsum("kdd->kd", covariances) if covariances.ndim == 3 else covariances
    deviations = np.sqrt(np.maximum(variances, 1e-300))
    heavy = np.sqrt(np.maximum(weights, 1e-9))
    spread = deviations[:, :, None] * deviations[:, None, :] if covariances.ndim == 3 else variances
    shape = (-1, *[1] * (covariances.ndim - 1))
    return [heavy, deviations / heavy[:, None], spread / heavy.reshape(shape)]


def _squares(differences: list[FloatArray], units: list[FloatArray]) -> float:
    return float(sum(np.square(part / unit).sum() for part, unit in zip(differences, units, strict=True)))
