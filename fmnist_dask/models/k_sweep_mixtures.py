"""Mixtures of Gaussians of several numbers of components at once, begun beside the clusters of a k-means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.seeding import plane_bytes
from fmnist_dask.models.gaussian_mixture import GaussianMixtureModel, gaussian_mixture
from fmnist_dask.models.kmeans_starts import Seen
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions, begin_beside, subset_bytes
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.gaussians import GaussiansParameter, LikelihoodSum
from fmnist_dask.passes.together import together
from fmnist_dask.typing import FloatArray


@dataclass(frozen=True)
class SweptMixture:
    """A mixture, and the sum of the logarithms of all samples' densities."""

    model: GaussianMixtureModel
    log_likelihood: float


def swept_mixtures(
    source: Readable,
    data: Seen,
    centres: Mapping[int, FloatArray],
    like: GaussianMixtureOptions,
    split: str,
) -> Algorithm[dict[int, SweptMixture | None]]:
    """Mixtures of as many components as there are centres, which share their passes.

    Each begins with the best that EM makes of a subset, from the clusters and from other starts.

    Parameters
    ----------
    centres
        By number of components.
    like
        Everything else that is asked of them.

    Returns
    -------
    dict
        By number of components; ``None`` where a covariance has no inverse.
    """
    assert data.subset is not None
    features = data.subset["features"]
    d = features.shape[1]
    options = {k: replace(like, n_components=k) for k in centres}

    def plausible() -> list[Any]:
        return [((np.full(k, 1 / k), np.zeros((k, d)), _spread(k, d, like.covariance_type)), 0.0) for k in centres]

    begun = yield Tasks(
        "mixtures begin",
        tuple(Call(begin_beside, (centres[k], options[k]), k) for k in centres),
        max(subset_bytes(len(features), d, one) for one in options.values()) + plane_bytes(len(features), d),
        unit="components",
        expected=plausible,
        shared=(features, data.low, data.high),
    )
    running = {}
    for k, (start, _) in zip(centres, begun, strict=True):
        begins = replace(options[k], start=start)
        running[f"mixture of {k}"] = _mixture(source, data.n, begins, split)
    found = yield from together(running, source)
    return {k: found[f"mixture of {k}"] for k in centres}


def _spread(k: int, d: int, kind: str) -> FloatArray:
    return np.ones((k, d)) if kind == "diag" else np.broadcast_to(np.eye(d), (k, d, d)).copy()


def _mixture(source: Readable, n: int, options: GaussianMixtureOptions, split: str) -> Algorithm[SweptMixture | None]:
    try:
        model = yield from gaussian_mixture(source, n, options, split)
    except UsageError:
        # A component has collapsed; numbers of components beside this one are none the worse.
        return None
    likelihood = LikelihoodSum(GaussiansParameter.of(model.gaussians))
    total = (yield Scan({"log_likelihood": likelihood}, split=split))["log_likelihood"]
    return SweptMixture(model, float(total))
