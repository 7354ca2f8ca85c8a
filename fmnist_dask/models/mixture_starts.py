"""Where EM begins: starts on a random subset, compared after some iterations, the best of them converged there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fmnist_dask.kernels.gaussians import (
    LIKELIHOOD_BITS,
    Gaussians,
    Kind,
    MixtureScales,
    MixtureSums,
    SingularCovarianceError,
    add_shares,
    add_sums,
    maximized,
    mixture_bytes,
)
from fmnist_dask.kernels.nearest import CentreSets, nearest
from fmnist_dask.kernels.projection import PANEL_ROWS
from fmnist_dask.kernels.seeding import DIRECTIONS, StartSearch, plane_bytes, principal_plane, search_bytes
from fmnist_dask.models.extrapolation import State, extrapolations
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.parameters import grid_scale, grid_scales, root_scales
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Tasks
from fmnist_dask.passes.reductions.subset import subset_rows
from fmnist_dask.typing import AnyArray, FloatArray

#: Samples on which EM begins, and bytes of them beyond which fewer have to do.
SUBSET = 2**14
SUBSET_BYTES = 2**25
#: Starts take so many iterations on every fourth of these; so many of the best go on with all of them, for so many
#: iterations, and of these so many until they have converged.
FIRST_ITERATIONS = 25
FIRST_STRIDE = 4
KEPT_STARTS = 4
SECOND_ITERATIONS = 20
CONVERGED_STARTS = 2
#: On the subset, iterations end at this share of the tolerance: plateaus are long, and iterations cheap there.
SUBSET_TOLERANCE = 0.1
#: Rows of a panel on the subset, which is always the same.
SUBSET_PANEL = 2048
#: Iterations on the subset, at most.
MOST_ITERATIONS = 500
#: What starts share: features, their plane, range, options.
_Shared = tuple[AnyArray, AnyArray, FloatArray, FloatArray, "GaussianMixtureOptions"]


@dataclass(frozen=True)
class GaussianMixtureOptions:
    """What scikit-learn's GaussianMixture calls the same.

    Attributes
    ----------
    n_components
        Gaussians.
    covariance_type
        ``full`` or ``diag``.
    tol
        Iterations end when the mean log-likelihood of a sample gains less; on the subset, a tenth of it.
    reg_covar
        Added to all variances.
    max_iter
        Iterations over all samples, at most.
    n_init
        Starts, which are compared on the subset after some iterations.
    start
        Weights, means and covariances to begin with, instead of starts.
    seed
        Of the subset and the starts.
    """

    n_components: int = 1
    covariance_type: Kind = "full"
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: int = 100
    n_init: int = 10
    start: State | None = None
    seed: int = 0


def subset_size(source: Readable, n: int) -> int:
    """Samples that EM begins on."""
    least = min(SUBSET, max(SUBSET_BYTES // (8 * source.n_features), PANEL_ROWS))
    return min(n, subset_rows(source, n, least))


def scales_of(low: FloatArray, high: FloatArray, n: int) -> MixtureScales:
    """Of sums over ``n`` rows of features within ``low`` and ``high``, about means within them."""
    reach = high - low
    return MixtureScales(grid_scale(float(n)), grid_scales(reach * n), root_scales(reach * reach * n))


def begin(
    features: AnyArray, low: FloatArray, high: FloatArray, options: GaussianMixtureOptions
) -> Algorithm[tuple[State, list[float]]]:
    """The best of some starts, after EM on the subset; and what each of them has come to."""
    m, d = features.shape
    cost = plane_bytes(m, d)

    def nothing() -> list[Any]:
        return [(np.zeros((m, 2), dtype=np.float32), 1.0)]

    points, _ = (yield Tasks("starts plane", (Call(principal_plane),), cost, expected=nothing, shared=features))[0]
    shared = (features, points, low, high, options)
    k = options.n_components
    spread = np.ones((k, d)) if options.covariance_type == "diag" else np.broadcast_to(np.eye(d), (k, d, d)).copy()
    plausible = ((np.full(k, 1 / k), np.zeros((k, d)), spread), 0.0)
    cost = subset_bytes(m, d, options)
    starts = yield Tasks(
        "starts",
        tuple(Call(first_iterations, (number,)) for number in range(options.n_init)),
        cost,
        unit="starts",
        expected=partial(_alike, plausible, options.n_init),
        shared=shared,
    )
    bounds = [bound for _, bound in starts]
    for name, count, iterations in rounds_of(options.n_init):
        kept = _best(starts, count)
        starts = yield Tasks(
            name,
            tuple(Call(go_on, (*state, iterations)) for state, _ in kept),
            cost,
            unit="starts",
            expected=partial(_alike, plausible, len(kept)),
            shared=shared,
        )
    return _best(starts, 1)[0][0], bounds


def rounds_of(n_init: int) -> list[tuple[str, int, int]]:
    """(name, starts, iterations) of what follows the first iterations."""
    last = "starts converge", min(n_init, CONVERGED_STARTS), MOST_ITERATIONS
    if n_init <= CONVERGED_STARTS:
        return [last]
    return [("starts go on", min(n_init, KEPT_STARTS), SECOND_ITERATIONS), last]


def _alike(answer: tuple[State, float], count: int) -> list[tuple[State, float]]:
    """So many equal answers."""
    return [answer] * count


def _best(starts: list[tuple[State, float]], most: int) -> list[tuple[State, float]]:
    """So many of the starts, the likeliest first; of equals the earlier."""
    bounds = np.nan_to_num([bound for _, bound in starts], nan=-np.inf)
    return [starts[at] for at in np.argsort(-bounds, kind="stable")[:most].tolist()]


def subset_bytes(m: int, d: int, options: GaussianMixtureOptions) -> int:
    """Memory of a start beyond the subset."""
    k = options.n_components
    width = min(d, DIRECTIONS)
    em = mixture_bytes(d, k, options.covariance_type, m, min(m, SUBSET_PANEL))
    return search_bytes(m // FIRST_STRIDE + 1, width, k) + em + 8 * m * (d + k)


def first_iterations(shared: _Shared, number: int) -> tuple[State, float]:
    """Seed a start on a part of the subset, and iterate there; (weights, means, covariances), lower bound."""
    features, points, low, high, options = shared
    stride = FIRST_STRIDE if len(features) >= FIRST_STRIDE * SUBSET_PANEL else 1
    values = features[::stride].astype(np.float64)
    search = StartSearch(points[::stride])
    seeds = search.seeds(options.n_components, np.random.default_rng([options.seed, number]), "k-means++")
    scales = scales_of(low, high, len(values))
    with one_blas_thread():
        state = _from_labels(values, search.assigned(seeds), scales, options)
        return _iterated(values, state, scales, options, min(FIRST_ITERATIONS, options.max_iter))


def begin_beside(
    shared: tuple[AnyArray, FloatArray, FloatArray], centres: FloatArray, options: GaussianMixtureOptions
) -> tuple[State, float]:
    """The best of EM on a subset from the clusters of some centres, and from starts like those of :func:`begin`.

    Parameters
    ----------
    shared
        Features of the subset, and the range of those of all samples.
    centres : float64 array, shape (k, d)
    """
    features, low, high = shared
    points, _ = principal_plane(features)
    everything = (features, points, low, high, options)
    values = features.astype(np.float64)
    labels = nearest(features, CentreSets.of([centres], centres.mean(axis=0)))[:, 0]
    with one_blas_thread():
        from_clusters = _from_labels(values, labels, scales_of(low, high, len(values)), options)
    found = [go_on(everything, *from_clusters)]
    starts = [first_iterations(everything, number) for number in range(options.n_init)]
    if starts:
        found.append(go_on(everything, *max(starts, key=lambda start: start[1])[0]))
    # Of equals the first.
    return max(found, key=lambda state: state[1])


def go_on(
    shared: _Shared, weights: FloatArray, means: FloatArray, covariances: FloatArray, most: int = MOST_ITERATIONS
) -> tuple[State, float]:
    """Iterate on the whole subset until it has converged, or so many times."""
    features, _, low, high, options = shared
    values = features.astype(np.float64)
    scales = scales_of(low, high, len(values))
    with one_blas_thread():
        return _iterated(values, (weights, means, covariances), scales, options, most)


def _iterated(
    values: FloatArray, state: State, scales: MixtureScales, options: GaussianMixtureOptions, most: int
) -> tuple[State, float]:
    """At most so many iterations; (mixture, lower bound). Every third one begins where the two before seem to lead."""
    enough, bound, made = SUBSET_TOLERANCE * options.tol, -np.inf, 0
    try:
        while made < most:
            once, bound = _iteration(values, state, scales, options)
            made += 1
            if made == most:
                return once, bound
            twice, following = _iteration(values, once, scales, options)
            made += 1
            gained, bound = following - bound, following
            before, state = state, twice
            if abs(gained) < enough:
                break
            for trial in extrapolations(before, once, twice)[: most - made]:
                further, reached = _iteration(values, trial, scales, options)
                made += 1
                if reached >= bound:
                    state, bound = further, reached
                    break
    except SingularCovarianceError:
        pass  # all samples together may not be so degenerate; if they are, it is said there
    return state, bound


def _iteration(
    values: FloatArray, state: State, scales: MixtureScales, options: GaussianMixtureOptions
) -> tuple[State, float]:
    """One of EM: (mixture, mean log-likelihood before)."""
    m, d = values.shape
    zero = MixtureSums.zero(options.n_components, d, options.covariance_type)
    sums = add_sums(zero, Gaussians.of(*state), scales, values, np.arange(m), SUBSET_PANEL)
    bound = sums.log_likelihood / 2.0**LIKELIHOOD_BITS / m
    return maximized(sums, state[1], state[2], scales, options.reg_covar)[:3], bound


def _from_labels(values: FloatArray, labels: AnyArray, scales: MixtureScales, options: GaussianMixtureOptions) -> State:
    """The components that clusters make; covariances of few samples lean on what clusters have in common."""
    k, d = options.n_components, values.shape[1]
    sums = MixtureSums.zero(k, d, options.covariance_type)
    centre = np.broadcast_to(values.mean(axis=0), (k, d))
    for first in range(0, len(values), PANEL_ROWS):
        part = slice(first, first + PANEL_ROWS)
        shares = (labels[part, None] == np.arange(k)).astype(np.float64)
        add_shares(sums, centre, scales, values[part], shares)
    whole = values.var(axis=0)
    covariance = np.broadcast_to(np.diag(whole) if options.covariance_type == "full" else whole, sums.second.shape)
    weights, means, covariances, count = maximized(sums, centre, covariance, scales, options.reg_covar)
    shape = (k, *[1] * (covariances.ndim - 1))
    common = (weights.reshape(shape) * covariances).sum(axis=0)
    leaning = d + 1.0
    covariances = (count.reshape(shape) * covariances + leaning * common) / (count.reshape(shape) + leaning)
    return (weights + 1 / len(values)) / (weights + 1 / len(values)).sum(), means, covariances
