"""Principal components: exact from the integer Gram matrix, streamed and randomized for many features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gram import scatter_of
from fmnist_dask.models.grids import grid_of
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.parameters import ArrayParameter, grid_scales, root_scales
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.codes import Sketch
from fmnist_dask.passes.reductions.moments import FeatureRange, Moments
from fmnist_dask.passes.reductions.scatter import Scatter, ScatterAbout
from fmnist_dask.typing import AnyArray, FloatArray

Solver = Literal["auto", "exact", "randomized"]
#: Features up to which the matrix of all their products is made: 128 MiB of float64.
MOST_EXACT_FEATURES = 4096
#: Directions that a randomized PCA carries beyond those asked for, and rounds of its iteration.
OVERSAMPLES = 10
ROUNDS = 5
#: What a sum of squares about a mean may be off by, as a share of that about the shift.
SQUARES_OFF = 1e-12


@dataclass(frozen=True)
class PCAOptions:
    """What is asked of a PCA.

    Attributes
    ----------
    n_components
        A number; a share of the variance below 1, which the components shall explain; ``None`` for all.
    solver
        ``exact`` makes the matrix of all products; ``randomized`` a subspace iteration (Halko, Martinsson and Tropp
        2011), one pass a round; ``auto`` takes the first up to 4,096 features.
    seed
        Of the randomized solver.
    """

    n_components: int | float | None = None
    solver: Solver = "auto"
    seed: int = 0


@dataclass
class PCAModel:
    """Principal components, in units of the features.

    Attributes
    ----------
    mean : float64 array, shape (d,)
    components : float64 array, shape (k, d)
        Unit vectors; the largest entry of each is positive.
    explained_variance : float64 array, shape (k,)
        With n − 1 degrees of freedom.
    total_variance
        Of all features.
    noise_variance
        Mean variance along the directions left out.
    n
        Samples.
    exact
        False if the components are those of a randomized method.
    extra
        What other reductions that shared the first pass returned.
    """

    mean: FloatArray
    components: FloatArray
    explained_variance: FloatArray
    total_variance: float
    noise_variance: float
    n: int
    exact: bool
    extra: dict[str, Any]

    @property
    def explained_variance_ratio(self) -> FloatArray:
        """Share of the total variance; zeros where nothing varies."""
        if self.total_variance <= 0:
            return np.zeros_like(self.explained_variance)
        return self.explained_variance / self.total_variance

    @property
    def singular_values(self) -> FloatArray:
        """Of the centred data."""
        result: FloatArray = np.sqrt(self.explained_variance * max(self.n - 1, 1))
        return result

    def directions(self, whiten: bool) -> FloatArray:
        """What projects centred samples to codes, shape (d, k); unit variance for whitened codes."""
        if not whiten:
            return self.components.T
        spread = np.sqrt(self.explained_variance)
        return self.components.T / np.where(spread > 0, spread, 1.0)


def pca(
    source: Readable,
    n: int,
    options: PCAOptions,
    split: str = "all",
    extra: dict[str, Reduction] | None = None,
) -> Algorithm[PCAModel]:
    """Principal components of the samples of a split.

    Parameters
    ----------
    n
        Samples of the split.
    extra
        Reductions to compute in the first pass.

    Raises
    ------
    UsageError
        More components than samples or features; features that are not finite.
    """
    _check(source, n, options)
    d = source.n_features
    exact = is_exact(options.solver, d)
    others = dict(extra or {})
    if exact and source.feature_dtype == "uint8":
        found = yield Scan({**others, "scatter": Scatter()}, split=split)
        gathered = found.pop("scatter")
        mean, scatter = scatter_of(gathered["gram"], gathered["sum"], gathered["n"])
        return from_scatter(mean, scatter, gathered["n"], options.n_components, found)
    if source.feature_dtype == "uint8":
        found = yield Scan({**others, "moments": Moments()}, split=split)
        moments, shift = found.pop("moments"), np.zeros(d)
    else:
        found = yield Scan({**others, "range": FeatureRange()}, split=split)
        grid = grid_of(found.pop("range"))
        moments, shift = (yield Scan({"moments": Moments(grid)}, split=split))["moments"], grid.shift.values
    mean = moments["sum"] / n + shift
    squares = squares_about(mean - shift, moments["square"], n)
    variance = float((moments["square"].sum() - ((mean - shift) ** 2).sum() * n) / max(n - 1, 1))
    if exact:
        about = ScatterAbout(ArrayParameter(mean), ArrayParameter(root_scales(2 * squares)))
        scatter = (yield Scan({"scatter": about}, split=split))["scatter"]
        return from_scatter(mean, scatter, n, options.n_components, found)
    return (yield from _randomized(mean, max(variance, 0.0), squares, n, options, split, found))


def is_exact(solver: Solver, d: int) -> bool:
    """Whether the matrix of all products is made."""
    return solver == "exact" or (solver == "auto" and d <= MOST_EXACT_FEATURES)


def sketch_width(n: int, d: int, n_components: int) -> int:
    """Directions that a randomized PCA carries."""
    return min(d, n, n_components + OVERSAMPLES)


def squares_about(mean: FloatArray, square: FloatArray, n: int) -> FloatArray:
    """Upper bound of each feature's sum of squares about its mean, from that about the shift."""
    bound: FloatArray = np.maximum(square - mean * mean * n, 0.0) + square * SQUARES_OFF
    return bound


def _check(source: Readable, n: int, options: PCAOptions) -> None:
    most = min(n, source.n_features)
    if n == 0:
        raise UsageError("there are no images to fit a PCA on", "choose another split")
    wanted = options.n_components
    if wanted is None:
        return
    if isinstance(wanted, float) and not wanted.is_integer():
        if not 0 < wanted < 1:
            raise UsageError(
                f"n_components={wanted}", "give a whole number, or a share of the variance between 0 and 1"
            )
        if options.solver == "randomized" or (options.solver == "auto" and source.n_features > MOST_EXACT_FEATURES):
            raise UsageError(
                f"n_components={wanted}: a randomized PCA cannot know how many components that takes",
                "give a whole number",
            )
        return
    if not 1 <= wanted <= most:
        raise UsageError(
            f"n_components={wanted!r} must be between 1 and min(n_samples, n_features)={most}",
            "ask for fewer components, or give more images",
        )


def from_scatter(
    mean: FloatArray, scatter: FloatArray, n: int, n_components: int | float | None, extra: dict[str, Any]
) -> PCAModel:
    """Components from the scatter matrix, by LAPACK's symmetric eigensolver on one thread."""
    import scipy.linalg

    d = len(scatter)
    total = float(np.trace(scatter))
    most = min(n, d)
    whole = n_components is None or (isinstance(n_components, float) and not n_components.is_integer())
    asked = most if n_components is None or whole else int(n_components)
    with one_blas_thread():
        lengths, vectors = scipy.linalg.eigh(scatter, subset_by_index=[d - asked, d - 1], overwrite_a=True)
    lengths = np.maximum(lengths[::-1], 0.0)
    if whole and n_components is not None:
        reached = np.cumsum(lengths) / total if total > 0 else np.ones(asked)
        asked = int(np.searchsorted(reached, n_components, side="right")) + 1
        asked = min(asked, most)
    lengths, components = lengths[:asked], oriented(vectors.T[::-1][:asked])
    freedom = max(n - 1, 1)
    left = min(n, d) - asked
    return PCAModel(
        mean=mean,
        components=components,
        explained_variance=lengths / freedom,
        total_variance=total / freedom,
        noise_variance=max(total - float(lengths.sum()), 0.0) / freedom / left if left > 0 else 0.0,
        n=n,
        exact=True,
        extra=extra,
    )


def oriented(components: AnyArray) -> FloatArray:
    """Components with the sign that makes the largest entry of each positive; ties go to the first."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    result: FloatArray = np.ascontiguousarray(components * np.where(signs == 0, 1.0, signs)[:, None])
    return result


def _randomized(
    mean: FloatArray,
    variance: float,
    squares: FloatArray,
    n: int,
    options: PCAOptions,
    split: str,
    extra: dict[str, Any],
) -> Algorithm[PCAModel]:
    """Subspace iteration on the covariance, which is never made: each round is one pass."""
    import scipy.linalg

    d = len(mean)
    asked = min(n, d) if options.n_components is None else int(options.n_components)
    width = sketch_width(n, d, asked)
    basis = np.random.default_rng([options.seed, 0x9CA]).standard_normal((d, width))
    basis = np.ascontiguousarray(scipy.linalg.qr(basis, mode="economic", overwrite_a=True)[0])
    # A feature's products with coordinates are at most the root of both sums of squares.
    scale = ArrayParameter(grid_scales(2 * np.sqrt(squares * squares.sum())))
    for _ in range(ROUNDS):
        product = (yield Scan({"sketch": Sketch(ArrayParameter(mean), ArrayParameter(basis), scale)}, split=split))[
            "sketch"
        ]
        with one_blas_thread():
            # Rayleigh and Ritz: the best directions within the span of the basis.
            small = basis.T @ product
            lengths, turn = scipy.linalg.eigh((small + small.T) / 2)
            ritz = basis @ turn[:, ::-1]
            basis = np.ascontiguousarray(scipy.linalg.qr(product, mode="economic", overwrite_a=True)[0])
    lengths = np.maximum(lengths[::-1][:asked], 0.0)
    freedom = max(n - 1, 1)
    left = min(n, d) - asked
    return PCAModel(
        mean=mean,
        components=oriented(ritz.T[:asked]),
        explained_variance=lengths / freedom,
        total_variance=variance,
        noise_variance=max(variance - float(lengths.sum()) / freedom, 0.0) / left if left > 0 else 0.0,
        n=n,
        exact=False,
        extra=extra,
    )
