"""What a map of all images is drawn from: columns of every image, read in blocks, counted by cell and group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.report.figures.categories import NONE_COLOUR, REST_COLOUR, category_colours, coloured
from fmnist_dask.report.figures.density import coarser
from fmnist_dask.report.figures.plane import Cells
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray
from fmnist_dask.workflow.figures._text import UNLABELLED, values
from fmnist_dask.workflow.registry import ReportContext

#: Rows read at a time: 1 MiB of the plane's cells.
BLOCK_ROWS = 2**18
#: Cells along each side of a map that is looked at as a whole.
OVERVIEW_CELLS = 320
#: A labelling with higher numbers than this is no clustering that a map could show.
MOST_CODES = 2**20


@dataclass(frozen=True)
class Labelling:
    """A column of numbers of classes or clusters.

    Attributes
    ----------
    title
        What it is called.
    column
        One number for each image; negative ones belong to none.
    class_names
        Names of the numbers; without, they are clusters.
    none
        What negative numbers are called.
    """

    title: str
    column: xarray.DataArray
    class_names: Sequence[str]
    none: str

    def name(self, code: int) -> str:
        """What a number is called."""
        if code < 0:
            return self.none
        return self.class_names[code] if code < len(self.class_names) else f"{self._noun} {code}"

    @property
    def _noun(self) -> str:
        return "class" if self.class_names else "cluster"


@dataclass(frozen=True)
class Groups:
    """What a map tells apart: categories with a colour of their own, then the rest, then what belongs to none.

    Attributes
    ----------
    names, colours, sizes
        Of the groups.
    own
        How many of them are single categories.
    categories
        Categories that have images.
    group_of : integer array
        Group of each number + 1, so that the first is that of −1.
    """

    names: list[str]
    colours: list[str]
    sizes: list[int]
    own: int
    categories: int
    group_of: IntArray


def labellings(dataset: xarray.Dataset, context: ReportContext) -> list[Labelling]:
    """The classes, and the labels of every other step of the run that has one for each image of this step's plane."""
    found = []
    if "label" in dataset and context.class_names:
        found.append(Labelling("class", dataset["label"], context.class_names, UNLABELLED))
    for name, open_other in context.others.items():
        other = open_other()
        if "labels" not in other or other["labels"].dims != ("sample",):
            continue
        if other.sizes["sample"] == dataset.sizes["sample"]:
            split = str(other.attrs.get("split") or "all")
            none = "in no cluster" if split == "all" else f"outside the split {split}"
            found.append(Labelling(f"cluster ({name})", other["labels"], (), none))
    return found


def blocks(n: int) -> Iterator[slice]:
    """Rows in blocks."""
    for start in range(0, n, BLOCK_ROWS):
        yield slice(start, min(n, start + BLOCK_ROWS))


def read(column: xarray.DataArray, rows: slice) -> AnyArray:
    """Some rows of a column."""
    return np.asarray(column.isel(sample=rows).values)


def placed(dataset: xarray.Dataset, cells: AnyArray) -> BoolArray | slice:
    """Which of some rows have a place in the plane, from their cells."""
    nowhere = dataset["plane"].attrs.get("nowhere")
    return slice(None) if nowhere is None else cells[:, 0] != int(nowhere)


def group(labelling: Labelling, dataset: xarray.Dataset) -> Groups | None:
    """Read a labelling once and say what the map of a dataset tells apart; ``None`` where nothing has a label."""
    sizes = np.zeros(1 + len(labelling.class_names), dtype=np.int64)
    partly = "nowhere" in dataset["plane"].attrs
    for rows in blocks(labelling.column.sizes["sample"]):
        codes = np.maximum(read(labelling.column, rows).astype(np.int64), -1) + 1
        if partly:
            codes = codes[placed(dataset, read(dataset["plane"], rows))]
        if codes.max(initial=0) > MOST_CODES:
            return None
        counted = np.bincount(codes, minlength=len(sizes))
        counted[: len(sizes)] += sizes
        sizes = counted
    none, sizes = int(sizes[0]), sizes[1:]
    if not sizes.any():
        return None
    own, colours = coloured(sizes), category_colours(sizes)
    group_of = np.full(1 + len(sizes), len(own), dtype=np.int64)
    group_of[1 + np.array(own)] = np.arange(len(own))
    names = [labelling.name(code) for code in own]
    own_colours = [colours[code] for code in own]
    own_sizes = sizes[own].tolist()
    rest = len(sizes) - len(own)
    if rest:
        kind = "classes" if labelling.class_names else "clusters"
        names.append(f"{rest:,} smaller {kind}")
        own_colours.append(REST_COLOUR)
        own_sizes.append(int(sizes.sum()) - sum(own_sizes))
    group_of[0] = len(names)
    if none:
        names.append(labelling.none)
        own_colours.append(NONE_COLOUR)
        own_sizes.append(none)
    return Groups(names, own_colours, own_sizes, len(own), int((sizes > 0).sum()), group_of)


def everything(n: int) -> Groups:
    """One group of all images, for maps without any labels."""
    return Groups(["images"], ["#0072b2"], [n], 0, 1, np.zeros(0, dtype=np.int64))


@dataclass
class Tally:
    """Counts by group and cell, shape (groups, side, side), and the numbers of chosen rows, for one labelling."""

    counts: IntArray
    codes: IntArray


def count_cells(
    dataset: xarray.Dataset, chosen: IntArray, sought: Sequence[tuple[Labelling | None, Groups]]
) -> list[Tally]:
    """Count the images of each group in each cell of the plane, in one reading of the columns.

    Parameters
    ----------
    chosen : integer array
        Rows whose numbers are wanted as well.
    """
    plane = dataset["plane"]
    side = cells_across(dataset)
    # Only the pages of cells that hold images are ever touched.
    made = [Tally(np.zeros((len(g.names), side, side), np.uint32), np.full(len(chosen), -1)) for _, g in sought]
    for rows in blocks(dataset.sizes["sample"]):
        cells = read(plane, rows)
        here = placed(dataset, cells)
        across, up = np.minimum(cells.astype(np.int64), side - 1).T
        cell = up * side + across
        inside = (chosen >= rows.start) & (chosen < rows.stop)
        for (labelling, groups), tally in zip(sought, made, strict=True):
            place = cell
            if labelling is not None:
                codes = np.maximum(read(labelling.column, rows).astype(np.int64), -1)
                place = groups.group_of[codes + 1] * side**2 + cell
                tally.codes[inside] = codes[chosen[inside] - rows.start]
            held, times = np.unique(place[here], return_counts=True)
            tally.counts.reshape(-1)[held] += times.astype(np.uint32)
    return made


def cells_across(dataset: xarray.Dataset) -> int:
    """Cells along each side of the plane."""
    return int(dataset["plane"].attrs.get("cells") or dataset.attrs.get("cells") or 320)


def cells_of(dataset: xarray.Dataset, tally: Tally) -> Cells:
    """The counts as a map's cells: blocks of the plane's, few enough for an overview."""
    factor = max(1, cells_across(dataset) // OVERVIEW_CELLS)
    return Cells(coarser(tally.counts, factor), edges_of(dataset)).cropped()


def edges_of(dataset: xarray.Dataset) -> FloatArray:
    """Low and high of both axes, never equal."""
    edges: FloatArray = values(dataset, "plane_edge").astype(np.float64)
    edges[:, 1] = np.where(edges[:, 1] > edges[:, 0], edges[:, 1], edges[:, 0] + 1.0)
    return edges
