"""The map of all images in the plane of the first two components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from bokeh.models import ColumnDataSource

from fmnist_dask.report.figures.categories import NONE_COLOUR
from fmnist_dask.report.figures.plane import MapColours, plane_map
from fmnist_dask.report.page import ORDER_MAP, Block, Figure, Section, Swatch, Switch
from fmnist_dask.report.pictures import hover_pictures
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.figures._plane import (
    Groups,
    Labelling,
    Tally,
    cells_of,
    count_cells,
    everything,
    group,
    labellings,
)
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext

#: Points that show their image on hover.
MOST_POINTS = 1500


@dataclass(frozen=True)
class MapWords:
    """What a map says of itself.

    Attributes
    ----------
    lead
        One or two sentences.
    axes
        Labels of x and y.
    basis
        What it rests on.
    """

    lead: str
    axes: tuple[str, str]
    basis: str
    title: str = "Map of all images"
    short: str = "Map"
    anchor: str = "map"


def map_section(dataset: xarray.Dataset, explained: FloatArray, context: ReportContext) -> Section:
    """The plane of the first two components."""
    n = dataset.sizes["sample"]
    fitted = "" if context.split == "all" else f"; the components are those of the split {context.split}"
    both = f"The first two components, which explain {100 * explained[:2].sum():.1f} % of the variance"
    words = MapWords(
        lead=f"{both}, place each of {count(n, 'image')} on this map; what else tells images apart does not show here.",
        axes=_axes(dataset, explained),
        basis=f"all {count(n, 'image')}, each in its cell{fitted}",
    )
    return plane_section(dataset, n, context, words)


def plane_section(dataset: xarray.Dataset, n: int, context: ReportContext, words: MapWords) -> Section:
    """Every image as part of a cell, coloured by class and by each clustering of the run.

    Parameters
    ----------
    n
        Images that have a place in the plane.
    """
    sought: list[tuple[Labelling | None, Groups]] = []
    for labelling in labellings(dataset, context):
        groups = group(labelling, dataset)
        if groups is not None:
            sought.append((labelling, groups))
    if not sought:
        sought.append((None, everything(n)))
    picked, addresses = _thumbnails(dataset)
    rows = values(dataset, "shown_row").astype(np.int64)[picked] if picked else np.zeros(0, np.int64)
    tallies = count_cells(dataset, rows, sought)
    points, lines = _points(dataset, picked, addresses, sought, tallies) if picked else (None, [])
    choices: list[tuple[str, tuple[Block, ...]]] = []
    for at, ((drawn, groups), tally) in enumerate(zip(sought, tallies, strict=True)):
        cells = cells_of(dataset, tally, groups)
        look = MapColours(groups.names, groups.colours, range(groups.own), f"colour_{at}")
        plot = plane_map(cells, look, points, lines, words.axes)
        caption = _caption(n, len(picked), int(cells.counts.sum(axis=0).max()), drawn)
        legend = _legend(groups) if drawn is not None else ()
        choices.append((drawn.title if drawn else "images", (Figure(plot, caption=caption, legend=legend),)))
    return Section(
        title=words.title,
        short=words.short,
        anchor=words.anchor,
        lead=words.lead + _grey(sought),
        basis=words.basis,
        blocks=(Switch("Colour by", tuple(choices)),),
        order=ORDER_MAP,
    )


def _thumbnails(dataset: xarray.Dataset) -> tuple[list[int], list[str]]:
    if "shown_image" not in dataset or not dataset.sizes["shown"]:
        return [], []
    total = dataset.sizes["shown"]
    # Evenly spaced in a random sample: a random sample again.
    few = np.unique(np.linspace(0, total - 1, min(total, MOST_POINTS)).astype(np.intp))
    chosen, addresses = hover_pictures(np.asarray(dataset["shown_image"][few].values))
    return few[chosen].tolist(), addresses


def _points(
    dataset: xarray.Dataset,
    picked: list[int],
    addresses: list[str],
    sought: list[tuple[Labelling | None, Groups]],
    tallies: list[Tally],
) -> tuple[ColumnDataSource, list[str]]:
    """The sample as one source of all maps, and its columns of text."""
    code = values(dataset, "shown_code").astype(np.float32)[picked]
    data: dict[str, Any] = {
        "x": code[:, 0],
        "y": code[:, 1],
        "row": values(dataset, "shown_row")[picked],
        "image": addresses,
    }
    lines = []
    for at, ((labelling, groups), tally) in enumerate(zip(sought, tallies, strict=True)):
        if labelling is None:
            data[f"colour_{at}"] = [groups.colours[0]] * len(picked)
            continue
        # A group of negative numbers is only there if any image has one.
        colours = [*groups.colours, NONE_COLOUR]
        data[f"colour_{at}"] = [colours[which] for which in groups.group_of[tally.codes + 1].tolist()]
        data[f"line_{at}"] = [f"{labelling.title}: {labelling.name(number)}" for number in tally.codes.tolist()]
        lines.append(f"line_{at}")
    return ColumnDataSource(data), lines


def _axes(dataset: xarray.Dataset, explained: FloatArray) -> tuple[str, str]:
    whitened = ", whitened" if int(dataset.attrs.get("whiten") or 0) else ""
    first, second = (f"component {at + 1}, {100 * explained[at]:.1f} % of variance{whitened}" for at in (0, 1))
    return first, second


def _legend(groups: Groups) -> tuple[Swatch, ...]:
    total = sum(groups.sizes)
    return tuple(
        Swatch(colour, name, f"{size:,} · {share(size, total)}")
        for name, colour, size in zip(groups.names, groups.colours, groups.sizes, strict=True)
    )


def _grey(sought: list[tuple[Labelling | None, Groups]]) -> str:
    """A sentence on groups without a colour of their own."""
    many = [
        f"the {groups.own} largest of {groups.categories:,} {'classes' if labelling.class_names else 'clusters'}"
        for labelling, groups in sought
        if labelling is not None and groups.own < groups.categories
    ]
    return f" Colours are for {listing(many)}; the rest is grey." if many else ""


def _caption(n: int, points: int, fullest: int, labelling: Labelling | None) -> str:
    fullest_cell = count(fullest, "image")
    text = f"The stronger the colour of a cell, the more images are in it (log scale; the fullest has {fullest_cell}). "
    if labelling is not None:
        kind = "classes" if labelling.class_names else "clusters"
        text += f"Where {kind} share a cell, their colours mix. Names stand at the medians, or close by. "
    if points:
        sample = f"a random sample of {count(points, 'image')}" if points < n else "every image"
        text += f"Dots: thumbnails for {sample}; point at one for its picture, row and groups."
    return text.strip()
