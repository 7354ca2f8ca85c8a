"""dask-ml's own estimators as engines of steps. Imported only where a workflow asks for them: they are heavy."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np

from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FeatureCollection, KeptImages
from fmnist_dask.errors import RunError
from fmnist_dask.models.kmeans import KMeansModel
from fmnist_dask.models.kmeans_starts import KMeansOptions, look
from fmnist_dask.models.pca import PCAModel, oriented
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps._names import unit_of

#: Rows that dask-ml's IncrementalPCA takes at a time.
BATCH_ROWS = 4096


def samples(data: StepInput) -> Any:
    """The split's features as a Dask array of float32, shape (n, d), pixels scaled to [0, 1].

    Raises
    ------
    RunError
        The images are other than those that are stored.
    """
    source = data.source
    if isinstance(source, FeatureCollection):
        import dask.array as da

        array = da.from_zarr(source.path)
    else:
        collection = source.base if isinstance(source, KeptImages) else source
        if not isinstance(collection, Collection):
            raise RunError("the engine dask-ml works on stored images only", 'take "on", "mask" or "engine" away')
        array = collection.to_xarray().image.data
    if data.split_code is not None:
        array = array[_rows(source, data.split_code)]
    flat = array.reshape(len(array), -1).astype("float32")
    return flat / np.float32(unit_of(source))


def _rows(source: Readable, code: int) -> Any:
    """Rows of a split: a slice where they are consecutive."""
    step = source.chunk_rows
    parts = [
        start + np.flatnonzero(source.read("split", start, min(start + step, source.n)) == code)
        for start in range(0, source.n, step)
    ]
    rows = np.concatenate(parts)
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def dask_ml_kmeans(data: StepInput, options: KMeansOptions) -> Algorithm[KMeansModel]:
    """dask-ml's KMeans. Its centres are used; labels and inertia come from an exact pass over all images.

    dask-ml starts once, whatever ``n_init``, and takes ``tol`` as an absolute number: it is given one that means what
    it means here.
    """
    from dask_ml.cluster import KMeans

    unit, n, d = unit_of(data.source), data.n, data.source.n_features
    given = replace(options, init=np.zeros((options.n_clusters, d)))  # dask-ml looks for starts itself
    seen = yield from look(data.source, n, given, data.split)
    method = "k-means||" if options.init == "k-means++" else options.init
    estimator = KMeans(
        n_clusters=options.n_clusters,
        init=method,
        max_iter=options.max_iter,
        tol=options.tol * seen.variance / unit**2,
        random_state=data.seed,
    )
    estimator.fit(samples(data).persist())
    return KMeansModel(
        centres=np.asarray(estimator.cluster_centers_, dtype=np.float64) * unit,
        n_iter=int(estimator.n_iter_),
        shift=seen.shift,
        grid=seen.grid,
        square_sum=seen.square_sum,
        n=n,
        variance=seen.variance,
    )


def incremental_pca(
    data: StepInput, n_components: int | float | None, extra: dict[str, Reduction]
) -> Algorithm[PCAModel]:
    """dask-ml's IncrementalPCA, with the solver ``full``: its default explains a seventh less.

    Raises
    ------
    RunError
        The number of components is not a whole number.
    """
    from dask_ml.decomposition import IncrementalPCA

    if not isinstance(n_components, int):
        raise RunError(f"n_components={n_components}: the engine dask-ml wants a whole number")
    found = yield Scan(extra, split=data.split)
    unit = unit_of(data.source)
    options = {"svd_solver": "full"} if "svd_solver" in inspect.signature(IncrementalPCA).parameters else {}
    size = max(BATCH_ROWS, n_components)
    estimator = IncrementalPCA(n_components=n_components, batch_size=size, **options)
    estimator.fit(samples(data).rechunk({0: size}))
    variance = np.asarray(estimator.explained_variance_, dtype=np.float64)
    total = float(np.sum(estimator.var_)) * data.n / max(data.n - 1, 1)
    return PCAModel(
        mean=np.asarray(estimator.mean_, dtype=np.float64) * unit,
        components=oriented(np.asarray(estimator.components_, dtype=np.float64)),
        explained_variance=variance * unit**2,
        total_variance=total * unit**2,
        noise_variance=float(estimator.noise_variance_) * unit**2,
        n=data.n,
        exact=False,
        extra=found,
    )
