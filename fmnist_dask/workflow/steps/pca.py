"""``pca``: directions of variation, and every image's coordinates along them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.kernels.projection import project
from fmnist_dask.models.pca import ROUNDS, PCAModel, PCAOptions, Solver, is_exact, pca, sketch_width
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.codes import Codes, Sketch
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.subset import RandomSubset, subset_rows
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, unit_of

#: Cells along each side of the map of all images.
CELLS = 1280
#: Room beyond the outermost codes of the sample, as a share of their range.
MARGIN = 0.1


def _foresees(
    data: StepInput, *, n_components: int | float | None, solver: Solver, engine: str, **others: Any
) -> Iterator[Foreseen]:
    """Rounds of the randomized solver, and the projection."""
    d = data.source.n_features
    k = min(n_components, d, max(data.n, 1)) if isinstance(n_components, int) else min(d, data.n)
    if engine == "fmnist-dask" and not is_exact(solver, d):
        mean = ArrayParameter(np.zeros(d))
        basis = ArrayParameter(np.zeros((d, sketch_width(data.n, d, k))))
        scan = Scan({"sketch": Sketch(mean, basis, mean)}, split=data.split)
        yield Foreseen(f"each of {ROUNDS} rounds", scan, times=ROUNDS)
    column = Codes(ArrayParameter(np.zeros(d)), ArrayParameter(np.zeros((d, k))))
    yield Foreseen("projection", Scan({}, {"codes": column}))


def _width(data: StepInput, *, n_components: int | float | None, **others: Any) -> int:
    """Components; of a share of the variance, at most as many as there are features."""
    most = max(1, min(data.source.n_features, data.n))
    return min(n_components, most) if isinstance(n_components, int) else most


@step(
    "pca",
    version=2,
    figures="fmnist_dask.workflow.figures.pca:figures",
    libraries={
        "fmnist-dask": ("numpy", "scipy", "numba"),
        "dask-ml": ("numpy", "scipy", "numba", "dask-ml", "dask", "scikit-learn"),
    },
    accepts=("on", "images"),
    gives=("features",),
    foresees=_foresees,
    width=_width,
)
def pca_step(
    data: StepInput,
    *,
    n_components: Annotated[int, pydantic.Field(ge=1)] | Annotated[float, pydantic.Field(gt=0, lt=1)] | None = 50,
    whiten: bool = False,
    solver: Solver = "auto",
    engine: Literal["fmnist-dask", "dask-ml"] = "fmnist-dask",
    shown: Annotated[int, pydantic.Field(ge=0, le=5000)] = 1500,
) -> Algorithm[StepResult]:
    """Principal components, exact up to 4,096 features, and the projection of every image.

    Parameters
    ----------
    n_components
        How many (fewer where there are not so many images or features), or the share of the variance to explain.
    whiten
        Give codes unit variance.
    solver
        exact, randomized (streamed, for many features), or auto.
    engine
        fmnist-dask, or dask-ml for its IncrementalPCA.
    shown
        Images of a random sample to show on the map.
    """
    source, n = data.source, data.n
    if isinstance(n_components, int):
        n_components = max(1, min(n_components, n, source.n_features))
    sample = RandomSubset(subset_rows(source, n), n, data.seed)
    if engine == "dask-ml":
        from fmnist_dask.workflow.steps._dask_ml import incremental_pca

        model = yield from incremental_pca(data, n_components, {"sample": sample})
    else:
        wanted: dict[str, Reduction] = {"sample": sample}
        model = yield from pca(source, n, PCAOptions(n_components, solver, data.seed), data.split, wanted)
    unit = 1.0 if whiten else unit_of(source)
    directions = model.directions(whiten) / unit
    picked = _picked(model, directions, shown)
    column = Codes(
        ArrayParameter(model.mean),
        ArrayParameter(np.ascontiguousarray(directions)),
        None if picked.edges is None else ArrayParameter(picked.edges),
        CELLS,
    )
    images: dict[str, Reduction] = {}
    if picked.images is None and len(picked.rows):
        images["images"] = ImagesAt(tuple(picked.rows.tolist()), thumbnails=True)
    found = yield Scan(images, {"codes": column})
    if "images" in found:
        picked.images = found["images"]["image"]
    return StepResult(
        dataset=_dataset(model, picked, data, whiten, engine),
        metrics={"explained_variance_ratio_sum": float(model.explained_variance_ratio.sum())},
        exact=model.exact,
        n_used=model.n,
        n_total=source.n,
        columns=found["codes"],
        features="codes",
    )


@dataclass
class _Picked:
    """The sample that the map shows."""

    rows: AnyArray
    labels: AnyArray
    codes: FloatArray
    images: AnyArray | None
    edges: FloatArray | None


def _picked(model: PCAModel, directions: FloatArray, shown: int) -> _Picked:
    """A part of the subset, and the edges of the map from all of it."""
    sample = model.extra["sample"]
    codes = project(sample["features"], np.arange(len(sample["row"])), model.mean, directions)[:, :2]
    edges = None
    if codes.shape[1] == 2:
        low, high = codes.min(axis=0), codes.max(axis=0)
        room = MARGIN * np.where(high > low, high - low, 1.0)
        edges = np.stack([low - room, high + room], axis=1)
    # Rows ascend, so that evenly spaced ones are a random sample spread over the whole collection.
    chosen = np.unique(np.linspace(0, len(codes) - 1, min(shown, len(codes))).astype(np.int64))
    features = sample["features"][chosen]
    return _Picked(
        rows=sample["row"][chosen],
        labels=sample["label"][chosen],
        codes=codes[chosen],
        images=features if features.dtype == np.uint8 else None,
        edges=edges,
    )


def _dataset(model: PCAModel, picked: _Picked, data: StepInput, whiten: bool, engine: str) -> Any:
    import xarray as xr

    source = data.source
    dims, shape = _space(source)
    unit = unit_of(source)
    units = {"units": "brightness, 0 to 1"} if unit > 1 else {}
    variables: dict[str, Any] = {
        "mean": (dims, (model.mean / unit).reshape(shape), units),
        "components": (("component", *dims), model.components.reshape(-1, *shape)),
        "explained_variance": ("component", model.explained_variance / unit**2),
        "explained_variance_ratio": ("component", model.explained_variance_ratio),
        "singular_values": ("component", model.singular_values / unit),
        "noise_variance": ((), model.noise_variance / unit**2),
        "total_variance": ((), model.total_variance / unit**2),
    }
    if picked.edges is not None:
        images = np.zeros((0, *source.image_shape), np.uint8) if picked.images is None else picked.images
        thumbnails = images if source.feature_dtype != "uint8" else shrink(images.reshape(-1, *source.image_shape))
        image_dims = IMAGE_DIMS[: thumbnails.ndim - 1]
        variables |= {
            "plane_edge": (("axis", "edge"), picked.edges),
            "shown_row": ("shown", picked.rows),
            "shown_label": ("shown", picked.labels.astype(np.int16)),
            "shown_code": (("shown", "axis"), picked.codes.astype(np.float32)),
            "shown_image": (("shown", *(f"shown_{dim}" for dim in image_dims)), thumbnails),
        }
    method = "dask-ml" if engine == "dask-ml" else "exact" if model.exact else "randomized"
    attrs = {
        "split": data.split,
        "on": data.on,
        "method": method,
        "whiten": int(whiten),
        "n_features": source.n_features,
        "n": model.n,
    }
    return xr.Dataset(variables, attrs=attrs)


def _space(source: Readable) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Dimensions of one vector of features."""
    if source.feature_dtype == "uint8":
        return IMAGE_DIMS[: len(source.image_shape)], source.image_shape
    return ("feature",), (source.n_features,)
