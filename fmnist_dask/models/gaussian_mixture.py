"""Mixtures of Gaussians: starts and most of EM on a subset, the rest in exact passes over all samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gaussians import (
    Gaussians,
    MixtureSums,
    SingularCovarianceError,
    maximized,
)
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions, begin, scales_of, subset_size
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.gaussians import EMSums
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import BoolArray, FloatArray

#: A component is degenerate with fewer rows than this, or if its variance in some direction is hardly more than what
#: has been added to it.
LEAST_ROWS = 2.0
FLAT = 4.0


@dataclass
class GaussianMixtureModel:
    """A mixture and how it was found. Units are those of the features.

    Attributes
    ----------
    weights : float64 array, shape (k,)
    means : float64 array, shape (k, d)
    covariances : float64 array, shape (k, d, d) or (k, d)
    lower_bound
        Mean log-likelihood of a sample, of the mixture before the last iteration's maximization, as in scikit-learn.
    converged
        Whether ``tol`` was reached.
    history
        Mean log-likelihood before each iteration over all samples.
    start_bounds
        Of each start, after its first iterations on a part of the subset.
    degenerate : bool array, shape (k,)
        Components of fewer than two samples, or flat in some direction.
    n
        Samples.
    subset
        Samples that EM began on; 0 where a start was given.
    diameter
        No two samples or means are farther apart.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    lower_bound: float
    converged: bool
    n: int
    history: list[float] = field(default_factory=list)
    start_bounds: list[float] = field(default_factory=list)
    degenerate: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    subset: int = 0
    diameter: float = 0.0

    @property
    def gaussians(self) -> Gaussians:
        """As the kernels take it."""
        return Gaussians.of(self.weights, self.means, self.covariances)

    @property
    def n_parameters(self) -> int:
        """Free ones."""
        k, d = (int(size) for size in self.means.shape)
        return k - 1 + k * d + k * (d * (d + 1) // 2 if self.covariances.ndim == 3 else d)

    def bic(self, log_likelihood: float) -> float:
        """Bayesian information criterion, from the summed log-likelihood (Schwarz 1978); lower is better."""
        return -2 * log_likelihood + self.n_parameters * float(np.log(self.n))

    def aic(self, log_likelihood: float) -> float:
        """Akaike's information criterion, from the summed log-likelihood; lower is better."""
        return -2 * log_likelihood + 2 * self.n_parameters


def gaussian_mixture(
    source: Readable, n: int, options: GaussianMixtureOptions, split: str = "all"
) -> Algorithm[GaussianMixtureModel]:
    """Fit a mixture to the samples of a split by expectation maximization (Dempster, Laird and Rubin 1977).

    Starts are seeds of k-means++ on a random subset. Each takes some iterations on a part of it, the best converge on
    all of it, and the best of these goes on over all samples, one pass an iteration. Sums are integers on a grid, so
    that results do not depend on chunks or workers.

    Raises
    ------
    UsageError
        Fewer samples than components, features that are not finite, a covariance without inverse.
    """
    _check(n, source, options)
    wanted: dict[str, Any] = {"range": FeatureRange()} if source.feature_dtype != "uint8" else {}
    count = subset_size(source, n)
    if options.start is None:
        wanted["subset"] = RandomSubset(count, n, options.seed)
    found = (yield Scan(wanted, split=split)) if wanted else {}
    low, high = np.zeros(source.n_features), np.full(source.n_features, 255.0)
    if "range" in found:
        grid_of(found["range"])  # refuses what is not finite
        low, high = found["range"]["low"], found["range"]["high"]
    bounds: list[float] = []
    if options.start is not None:
        weights, means, covariances = options.start
        low, high = np.minimum(low, means.min(axis=0)), np.maximum(high, means.max(axis=0))
    else:
        (weights, means, covariances), bounds = yield from begin(found["subset"]["features"], low, high, options)
    scales = scales_of(low, high, n)
    history: list[float] = []
    converged = False
    rows = np.zeros(options.n_components)
    while len(history) < options.max_iter and not converged:
        mixture = _inverted(weights, means, covariances, options)
        known = {"log-likelihood": history[-1]} if history else {}
        sums = (yield Scan({"sums": EMSums.of(mixture, scales)}, split=split, known=known))["sums"]
        history.append(sums.pop("log_likelihood") / n)
        converged = len(history) > 1 and abs(history[-1] - history[-2]) < options.tol
        weights, means, covariances, rows = maximized(
            MixtureSums(**sums), means, covariances, scales, options.reg_covar
        )
    _inverted(weights, means, covariances, options)
    return GaussianMixtureModel(
        weights=weights,
        means=means,
        covariances=covariances,
        lower_bound=history[-1],
        converged=converged,
        n=n,
        history=history,
        start_bounds=bounds,
        degenerate=(rows < LEAST_ROWS) | flat(covariances, options.reg_covar),
        subset=0 if options.start is not None else count,
        diameter=float(np.sqrt(np.square(high - low).sum())),
    )


def flat(covariances: FloatArray, ridge: float) -> BoolArray:
    """Which covariances have some direction of hardly more variance than was added."""
    least = np.linalg.eigvalsh(covariances)[:, 0] if covariances.ndim == 3 else covariances.min(axis=1)
    found: BoolArray = least < FLAT * ridge
    return found


def _check(n: int, source: Readable, options: GaussianMixtureOptions) -> None:
    if n < options.n_components:
        raise UsageError(
            f"Expected n_samples >= n_components but got n_components = {options.n_components}, n_samples = {n}",
            "ask for fewer components, or give more images",
        )
    k, d = options.n_components, source.n_features
    if options.start is None:
        return
    spread = (k, d, d) if options.covariance_type == "full" else (k, d)
    for name, values, wanted in zip(
        ("weights", "means", "covariances"), options.start, ((k,), (k, d), spread), strict=True
    ):
        if np.shape(values) != wanted:
            raise UsageError(f"the {name} to begin with have shape {np.shape(values)}, not {wanted}")


def _inverted(
    weights: FloatArray, means: FloatArray, covariances: FloatArray, options: GaussianMixtureOptions
) -> Gaussians:
    try:
        return Gaussians.of(weights, means, covariances)
    except SingularCovarianceError:
        raise UsageError(
            "the covariance of a component has no inverse: it has collapsed on a few samples, or features depend on "
            f"each other (reg_covar is {options.reg_covar:g})",
            "ask for fewer components, or increase reg_covar",
        ) from None
