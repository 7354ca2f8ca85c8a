"""See what is in a collection of images that is bigger than memory.

``run`` carries out a workflow, ``plan`` says what it would take, ``open_run`` and ``open_collection`` open what it
leaves behind; ``KMeans``, ``MiniBatchKMeans``, ``GaussianMixture``, ``AgglomerativeClustering``,
``SpectralClustering``, ``PCA``, ``IncrementalPCA`` and ``LowRankModel`` are estimators as scikit-learn has them. Names
are imported when first used: workers import this package for its kernels and need nothing else of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmnist_dask.api import Run, ingest, open_collection, open_run, plan, run
    from fmnist_dask.collection.store import Collection
    from fmnist_dask.models.estimators.agglomerative import AgglomerativeClustering
    from fmnist_dask.models.estimators.gaussian_mixture import GaussianMixture
    from fmnist_dask.models.estimators.incremental_pca import IncrementalPCA
    from fmnist_dask.models.estimators.kmeans import KMeans
    from fmnist_dask.models.estimators.low_rank import LowRankModel
    from fmnist_dask.models.estimators.mini_batch_kmeans import MiniBatchKMeans
    from fmnist_dask.models.estimators.pca import PCA
    from fmnist_dask.models.estimators.spectral import SpectralClustering

__version__ = "0.1.0"

_LAZY = {
    "run": "fmnist_dask.api",
    "plan": "fmnist_dask.api",
    "ingest": "fmnist_dask.api",
    "open_run": "fmnist_dask.api",
    "open_collection": "fmnist_dask.api",
    "Run": "fmnist_dask.api",
    "Collection": "fmnist_dask.collection.store",
    "AgglomerativeClustering": "fmnist_dask.models.estimators.agglomerative",
    "GaussianMixture": "fmnist_dask.models.estimators.gaussian_mixture",
    "IncrementalPCA": "fmnist_dask.models.estimators.incremental_pca",
    "KMeans": "fmnist_dask.models.estimators.kmeans",
    "LowRankModel": "fmnist_dask.models.estimators.low_rank",
    "MiniBatchKMeans": "fmnist_dask.models.estimators.mini_batch_kmeans",
    "SpectralClustering": "fmnist_dask.models.estimators.spectral",
    "PCA": "fmnist_dask.models.estimators.pca",
}

__all__ = [
    "PCA",
    "AgglomerativeClustering",
    "Collection",
    "GaussianMixture",
    "IncrementalPCA",
    "KMeans",
    "LowRankModel",
    "MiniBatchKMeans",
    "Run",
    "SpectralClustering",
    "__version__",
    "ingest",
    "open_collection",
    "open_run",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
