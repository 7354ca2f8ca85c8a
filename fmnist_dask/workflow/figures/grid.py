"""Grids in the report: where images lie on the map, how they move to their cells, and the grids themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.kernels.assignment import cell_centres
from fmnist_dask.report.blocks import Picture, Plate
from fmnist_dask.report.figures.categories import NONE_COLOUR, REST_COLOUR, category_colours
from fmnist_dask.report.figures.places import moves, place_scatter
from fmnist_dask.report.page import ORDER_GRID, Block, Contribution, Figure, Section, Swatch, Switch
from fmnist_dask.report.sheets import background_of, page_uri, scattered, sheet, tinted
from fmnist_dask.report.words import count
from fmnist_dask.typing import AnyArray, FloatArray, UInt8Array
from fmnist_dask.workflow.figures._text import UNLABELLED, values
from fmnist_dask.workflow.registry import ReportContext

#: Points and arrows that a figure holds.
MOST_POINTS = 3000
#: Bytes of all pictures of one step, and the most of one.
BUDGET, MOST_BYTES = 3_600_000, 900_000


@dataclass(frozen=True)
class _Images:
    """The thumbnails of a step, and what is known of them."""

    image: UInt8Array
    sample: AnyArray
    label: AnyArray
    classes: tuple[str, ...]
    background: int

    @property
    def colours(self) -> list[str]:
        """Of each image: that of its class."""
        if not self.classes:
            return [REST_COLOUR] * len(self.label)
        sizes = np.bincount(np.maximum(self.label, 0), minlength=len(self.classes))
        palette = [*category_colours(sizes), NONE_COLOUR]
        return [palette[label] for label in self.label.tolist()]

    @property
    def names(self) -> list[str]:
        """Of each image: that of its class."""
        known = [*self.classes, UNLABELLED]
        return [known[label] for label in self.label.tolist()]

    def positions(self, samples: AnyArray) -> AnyArray:
        """Positions of samples, −1 for −1."""
        return np.where(samples >= 0, np.searchsorted(self.sample, samples), -1)


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Where images were, and where they are in their grids."""
    image = values(dataset, "image")
    label = values(dataset, "label").astype(np.int64)
    classes = tuple(context.class_names) if (label >= 0).any() else ()
    images = _Images(image, values(dataset, "image_sample"), label, classes, background_of(image))
    total = int(dataset.attrs["grids"])
    budget = min(MOST_BYTES, BUDGET // (2 * total + 1))
    choices: list[tuple[str, tuple[Block, ...]]] = []
    for at in range(total):
        known = dataset[f"grid_{at}"].attrs
        name = "all images" if known["grid"] == "all" else str(known["grid"])
        title = f"{name}, shuffled" if known["shuffled"] else name
        choices.append((title, tuple(_blocks(dataset, at, images, budget, context))))
    sections = [
        Section(
            title="Images in a grid",
            short="Grid",
            anchor="grid",
            lead=_lead(dataset, context),
            basis=_basis(dataset, context),
            blocks=(Switch("Show", tuple(choices)),),
            order=ORDER_GRID + 1,
        )
    ]
    if dataset["grid_0"].attrs["grid"] == "all":
        sections.insert(0, _moves(dataset, images, context))
    return Contribution(sections=tuple(sections))


def _lead(dataset: xarray.Dataset, context: ReportContext) -> str:
    on = dataset.attrs["on"]
    exact = all(int(dataset[f"grid_{at}"].attrs["exact"]) or int(dataset[f"grid_{at}"].attrs["shuffled"])
                for at in range(int(dataset.attrs["grids"])))  # fmt: skip
    how = "as small as it can be" if exact else "made small by assignments within windows"
    text = (
        f"Each image of the map by {on} gets a cell of its own near its place: the sum of squared distances is {how}. "
        "What lies side by side is alike."
    )
    cost, chance = context.metrics.get("cost"), context.metrics.get("cost_random")
    if isinstance(cost, float) and isinstance(chance, float) and cost > 0:
        text += (
            f" The root mean square distance of an image from its place is {100 * cost**0.5:.1f} % of the side of the "
            f"grid, and would be {100 * chance**0.5:.0f} % in cells drawn at random."
        )
    return text


def _basis(dataset: xarray.Dataset, context: ReportContext) -> str:
    m, placed = context.n_used, int(dataset.attrs["n_placed"])
    split = "" if context.split == "all" else f" of the split {context.split}"
    if m == placed:
        return f"{count(m, 'image')}{split}, all that have a place"
    return f"a random sample of {m:,} of {placed:,} images{split} that have a place"


def _blocks(dataset: xarray.Dataset, at: int, images: _Images, budget: int, context: ReportContext) -> list[Block]:
    """One grid, and its images at their places."""
    known = dataset[f"grid_{at}"].attrs
    rows, columns = dataset[f"grid_{at}"].shape
    cells = images.positions(values(dataset, f"grid_{at}"))
    of = "all classes" if known["grid"] == "all" and images.classes else f"{known['grid']}"
    spare = int((cells < 0).sum())
    empty = f", {spare:,} of them empty" if spare else ""
    told = f"{rows:,} × {columns:,} cells{empty}; sample rows of cells: grid_{at} of the step's result."
    if known["shuffled"]:
        told = f"The same images, each in the cell of another: no order. {told}"
    file = f"pictures/{context.name}-{known['file']}"
    plain = sheet(cells, images.image, images.background)
    alt = f"grid of {rows} × {columns} images, {of}"
    picture = Picture(page_uri(plain, budget), alt, (told,))
    found: list[Block] = [Plate(picture, (), f"{file}.png", "Print size (PNG)")]
    if known["shuffled"]:
        return found
    if known["grid"] == "all" and images.classes:
        ink = sheet(cells, tinted(images.image, images.colours, images.background), 255)
        in_colour = Plate(Picture(page_uri(ink, budget), f"{alt}, in the colours of classes"), _legend(images))
        found = [Switch("Colours", (("as they are", tuple(found)), ("by class", (in_colour,))))]
    points = values(dataset, f"point_{at}")
    members = images.positions(values(dataset, f"member_{at}"))
    places = scattered(points, images.image[members], max(rows, columns), images.background)
    caption = ("The same images at their places on the map; where they overlap, none hides another.",)
    if known["grid"] != "all":
        caption = (f"{caption[0]} The few that lie far outside stand at the edge.",)
    shown = Picture(page_uri(places, budget), f"images at their places on the map, {of}", caption)
    return [*found, Plate(shown, (), f"{file}-places.png", "Print size (PNG)")]


def _legend(images: _Images) -> tuple[Swatch, ...]:
    seen: dict[int, tuple[str, str]] = {}
    for label, name, colour in zip(images.label.tolist(), images.names, images.colours, strict=True):
        seen.setdefault(label, (colour, name))
    order = sorted(seen, key=lambda label: (label < 0, label))
    sizes = {label: int((images.label == label).sum()) for label in order}
    return tuple(Swatch(*seen[label], f"{sizes[label]:,}") for label in order)


def _moves(dataset: xarray.Dataset, images: _Images, context: ReportContext) -> Section:
    """The map as points, and the way of each to its cell."""
    points = values(dataset, "point_0")
    rows, columns = dataset["grid_0"].shape
    ends: FloatArray = cell_centres(rows, columns)[values(dataset, "cell_0")]
    m = len(points)
    # Evenly spaced in a random sample: a random sample again.
    few = np.unique(np.linspace(0, m - 1, min(m, MOST_POINTS)).astype(np.intp))
    note = "" if len(few) == m else f" A random sample of {len(few):,} of {m:,} is drawn."
    names, colours = np.array(images.names, dtype=object), np.array(images.colours, dtype=object)
    look = (names[few].tolist(), colours[few].tolist())
    legend = _legend(images) if images.classes else ()
    scatter = Figure(
        place_scatter(points[few], images.sample[few], *look, images.classes),
        caption=f"Each axis is scaled by itself to fill the square. Names stand at medians, or close by.{note}",
        legend=legend,
    )
    arrows = Figure(
        moves(points[few], ends[few], images.sample[few], *look),
        caption=f"A line leads from each image's place to its cell, which a dot marks.{note}",
        legend=legend,
    )
    return Section(
        title="From the map to the grid",
        short="Places and cells",
        anchor="grid-places",
        lead=f"{count(m, 'image')} on the map by {dataset.attrs['on']}, and the way of each to its cell.",
        basis=_basis(dataset, context),
        blocks=(Switch("Show", (("places", (scatter,)), ("ways to cells", (arrows,)))),),
        order=ORDER_GRID,
    )
