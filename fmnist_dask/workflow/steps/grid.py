"""``grid``: the images of a map side by side without gaps, each near its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.errors import UsageError, nearest
from fmnist_dask.kernels.assignment import cell_centres, squared_distances
from fmnist_dask.models.grid import (
    BATCH,
    SIDE,
    GridModel,
    Method,
    exact_bytes,
    grid,
    grid_shape,
    method_for,
    scaled,
    window_bytes,
)
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.placed import PlacedSubset
from fmnist_dask.report.sheets import background_of, enlarged, file_name, png_file, scattered, sheet
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._maps import spread_rows
from fmnist_dask.workflow.steps._names import IMAGE_DIMS
from fmnist_dask.workflow.steps._seconds import assignment_seconds, windows_rounds

#: Images where nothing says how many.
IMAGES = 2500
#: What ``per`` may say beside names of classes.
ALL, EACH = "all", "class"
#: Which grids: of all, of each class, of one class, of several classes together.
Per = str | list[str | Annotated[list[str], pydantic.Field(min_length=1)]]
#: Share of a class's images that may lie beyond each side of its square.
OUTSIDE = 0.03
#: Random numbers for grids that show the wrong images.
SHUFFLE_STREAM = 7


@dataclass(frozen=True)
class _Drawn:
    """One grid: of which images (positions in the sample), where they were, and where they are."""

    name: str
    members: AnyArray
    points: FloatArray
    model: GridModel
    shuffled: bool = False

    @property
    def cells(self) -> AnyArray:
        """Positions of images in the sample, -1 where none is; shape (rows, columns)."""
        found = np.full(self.model.rows * self.model.columns, -1, dtype=np.int64)
        found[self.model.cells] = self.members
        return found.reshape(self.model.rows, self.model.columns)


def _check(data: StepInput) -> None:
    if data.source.n_features != 2:
        raise UsageError(
            f"a grid is made of places in a plane, of two features; {data.on} has {data.source.n_features:,}",
            'name a step that gives two as "on", for instance a tsne or a umap',
        )


def _wanted(per: Per, classes: tuple[str, ...]) -> dict[str, tuple[int, ...] | None]:
    """Names of the grids to make, and labels of the classes of each; ``None`` for all images."""
    wanted: dict[str, tuple[int, ...] | None] = {}

    def add(labels: tuple[int, ...]) -> None:
        name = " + ".join(classes[label] for label in labels)
        while name == ALL or wanted.get(name, labels) != labels:
            name += " (class)"
        wanted[name] = labels

    for entry in [per] if isinstance(per, str) else per:
        if isinstance(entry, list):
            add(tuple(sorted({_label(name, classes) for name in entry})))
        elif entry == EACH and EACH not in classes:
            if not classes:
                raise UsageError("per: class needs images with classes, and these have none", "leave it out: per: all")
            for label in range(len(classes)):
                add((label,))
        elif entry == ALL:
            wanted[ALL] = None
        else:
            add((_label(entry, classes),))
    return wanted


def _label(name: str, classes: tuple[str, ...]) -> int:
    if name not in classes:
        raise UsageError(f'per: there is no class "{name}"', nearest(name, [ALL, EACH, *classes]))
    return classes.index(name)


def _subset(
    data: StepInput, images: int | None, wanted: dict[str, tuple[int, ...] | None], room: int | None
) -> PlacedSubset:
    labels = None
    if None not in wanted.values():
        labels = tuple(sorted({label for some in wanted.values() for label in some or ()}))
    most = images or (room if room is not None and len(wanted) == 1 else IMAGES)
    return PlacedSubset(min(most, data.n), data.seed, labels)


def _foresees(
    data: StepInput,
    *,
    images: int | None,
    rows: int | None,
    columns: int | None,
    per: Per,
    method: Method,
    **others: Any,
) -> Iterator[Foreseen]:
    """Thumbnails, and the assignment of the largest grid."""
    _check(data)
    room = rows * columns if rows and columns else None
    subset = _subset(data, images, _wanted(per, data.source.class_names), room)
    m = subset.count
    images_of = ImagesAt(spread_rows(data.n, m))
    yield Foreseen("thumbnails", Scan({"images": images_of}, split=data.split))
    if method_for(m, method) == "exact":
        seconds = assignment_seconds(m)
        yield Foreseen("assignment", calls=1, task_bytes=exact_bytes(m, m), seconds=seconds, late=True)
        return
    windows = -(-m // SIDE**2)
    rounds, calls = windows_rounds(m), max(1, -(-windows // BATCH))
    seconds = assignment_seconds(SIDE**2) * windows / calls
    yield Foreseen("assignment", None, calls, window_bytes(SIDE), times=rounds, seconds=seconds)


@step(
    "grid",
    figures="fmnist_dask.workflow.figures.grid:figures",
    libraries=("numpy", "scipy", "pillow"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def grid_step(
    data: StepInput,
    *,
    images: Annotated[int, pydantic.Field(ge=1, le=250_000)] | None = None,
    rows: Annotated[int, pydantic.Field(ge=1, le=4000)] | None = None,
    columns: Annotated[int, pydantic.Field(ge=1, le=4000)] | None = None,
    per: Per = ALL,
    method: Method = "auto",
    shuffled: bool = False,
) -> Algorithm[StepResult]:
    """Lay the images of a map side by side in a grid without gaps, each near its place (linear assignment).

    Works on places in a plane: ``on: tsne``, ``on: umap``.

    Parameters
    ----------
    images
        Images, drawn at random from those that have a place; by default as many as ``rows`` × ``columns`` says, or
        2,500.
    rows, columns
        Of each grid; by default the squarest that holds its images.
    per
        all: one grid of all. class: one for each class. The name of a class: one of its images. Or a list of these, in
        which a list of classes stands for one grid of them together.
    method
        exact: least sum of squared distances, for up to 6,400 cells. tiled: usually within a hundredth of it, for any
        number. auto: exact for up to 1,024 cells.
    shuffled
        Draw the first grid once more with the places of other images, for comparison: what no order looks like.
    """
    _check(data)
    wanted = _wanted(per, data.source.class_names)
    subset = _subset(data, images, wanted, rows * columns if rows and columns else None)
    sample = (yield Scan({"sample": subset}, split=data.split))["sample"]
    if not len(sample["row"]):
        raise UsageError("none of the images has a place", "look at the step that this one works on")
    thumbnails = ImagesAt(tuple(sample["row"].tolist()))
    pictures = (yield Scan({"images": thumbnails}, split=data.split))["images"]["image"]
    drawn: list[_Drawn] = []
    for name, labels in wanted.items():
        members = np.arange(len(sample["row"])) if labels is None else np.flatnonzero(np.isin(sample["label"], labels))
        if not len(members):
            continue
        points = scaled(sample["features"][members].astype(np.float64), 0.0 if labels is None else OUTSIDE)
        shape = grid_shape(len(members), rows, columns)
        drawn.append(_Drawn(name, members, points, (yield from grid(points, *shape, method=method))))
    if not drawn:
        raise UsageError(f"none of {len(sample['row']):,} images is of the classes {', '.join(wanted)}", "use per: all")
    if shuffled:
        drawn.append(_wrong(drawn[0], data.seed))
    return _result(data, sample, pictures, drawn)


def _wrong(right: _Drawn, seed: int) -> _Drawn:
    """The grid with each image in the cell of another."""
    order = np.random.default_rng([seed, SHUFFLE_STREAM]).permutation(len(right.members))
    cells = right.model.cells[order]
    centres = cell_centres(right.model.rows, right.model.columns)
    cost = float(((right.points - centres[cells]) ** 2).sum() / len(cells))
    model = GridModel(cells, right.model.rows, right.model.columns, np.array([cost]), False)
    return _Drawn(right.name, right.members, right.points, model, shuffled=True)


def _random_cost(drawn: _Drawn) -> float:
    """Mean squared distance of all points to all cells: what cells drawn at random would come to."""
    centres = cell_centres(drawn.model.rows, drawn.model.columns)
    middle = centres.mean(axis=0, keepdims=True)
    spread = float(((centres - middle) ** 2).sum(axis=1).mean())
    return spread + float(squared_distances(drawn.points, middle).mean())


def _result(data: StepInput, sample: dict[str, Any], pictures: AnyArray, drawn: list[_Drawn]) -> StepResult:
    right = [grid for grid in drawn if not grid.shuffled]

    def metric(values: list[Any]) -> Any:
        return values[0] if len(right) == 1 else dict(zip((grid.name for grid in right), values, strict=True))

    background = background_of(pictures)
    files: dict[str, bytes] = {}
    keys: list[str] = []
    for each in drawn:
        keys.append(file_name(each.name + ("-shuffled" if each.shuffled else ""), keys))
        files[keys[-1]] = png_file(enlarged(sheet(each.cells, pictures, background)))
        if not each.shuffled:
            across = max(each.cells.shape)
            places = scattered(each.points, pictures[each.members], across, background)
            files[f"{keys[-1]}-places"] = png_file(enlarged(places))
    return StepResult(
        dataset=_dataset(data, sample, pictures, drawn, keys),
        metrics={
            "shape": metric([[each.model.rows, each.model.columns] for each in right]),
            "cost": metric([each.model.cost for each in right]),
            "cost_random": metric([_random_cost(each) for each in right]),
            "n_images": metric([len(each.members) for each in right]),
        },
        exact={"cost": all(each.model.exact for each in right)},
        n_used=len(sample["row"]),
        n_total=data.source.n,
        pictures=files,
    )


def _dataset(data: StepInput, sample: dict[str, Any], pictures: AnyArray, drawn: list[_Drawn], keys: list[str]) -> Any:
    import xarray as xr

    image_dims = IMAGE_DIMS[: pictures.ndim - 1]
    variables: dict[str, Any] = {
        "image": (("image_row", *(f"image_{dim}" for dim in image_dims)), pictures, {"long_name": "thumbnails"}),
        "image_sample": ("image_row", sample["row"], {"long_name": "sample of each thumbnail"}),
        "label": ("image_row", sample["label"], {"long_name": "class"}),
    }
    for at, (each, key) in enumerate(zip(drawn, keys, strict=True)):
        cells = each.cells
        known = {
            "long_name": "sample in each cell; -1: none",
            "grid": each.name,
            "file": key,
            "cost": each.model.cost,
            "exact": int(each.model.exact),
            "shuffled": int(each.shuffled),
        }
        rows = np.where(cells >= 0, sample["row"][cells], -1)
        variables[f"grid_{at}"] = ((f"row_{at}", f"column_{at}"), rows, known)
        variables[f"member_{at}"] = (f"of_{at}", sample["row"][each.members])
        variables[f"point_{at}"] = ((f"of_{at}", "axis"), each.points, {"long_name": "place, from the upper left"})
        variables[f"cell_{at}"] = (f"of_{at}", each.model.cells, {"long_name": "row × columns + column"})
        variables[f"history_{at}"] = (f"sweep_{at}", each.model.history)
    attrs = {"split": data.split, "on": data.on, "n_placed": int(sample["n"]), "grids": len(drawn)}
    return xr.Dataset(variables, attrs=attrs)
