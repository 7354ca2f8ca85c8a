"""The map of all images in the plane of the first two components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from bokeh.models import ColumnDataSource

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.kernels.spread import spread_order
from fmnist_dask.report.figures.categories import NONE_COLOUR
from fmnist_dask.report.figures.density import layers
from fmnist_dask.report.figures.plane import MapColours, Points, plane_map
from fmnist_dask.report.page import ORDER_MAP, Block, Figure, Section, Swatch, Switch
from fmnist_dask.report.sprites import Sprites, sprites
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import FloatArray, IntArray
from fmnist_dask.workflow.figures._plane import (
    Groups,
    Labelling,
    Tally,
    cells_of,
    count_cells,
    edges_of,
    everything,
    group,
    labellings,
)
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext

#: Which images are shown one by one.
SPREAD, RANDOM = "{} spread over it", "a random sample of {}"
#: Bytes of what is seen closer up, for all colourings of one map.
LAYER_BYTES = 4_800_000
#: Random numbers that decide between images of one cell.
ORDER_STREAM = 9401


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
    picked, sheet = _thumbnails(dataset)
    rows = values(dataset, "shown_row").astype(np.int64)[picked] if sheet else np.zeros(0, np.int64)
    tallies = count_cells(dataset, rows, sought)
    shown = _points(dataset, picked, sheet, sought, tallies) if sheet else None
    drawn_how = SPREAD if str(dataset.attrs.get("shown") or "") == "spread" else RANDOM
    budget = LAYER_BYTES // (2 * len(sought))
    choices: list[tuple[str, tuple[Block, ...]]] = []
    for at, ((drawn, groups), tally) in enumerate(zip(sought, tallies, strict=True)):
        cells = cells_of(dataset, tally)
        look = MapColours(groups.names, groups.colours, range(groups.own), f"colour_{at}")
        points = Points(*shown, f"group_{at}") if shown else None
        apart = layers(cells.counts, cells.edges, groups.colours, budget)
        closer = layers(tally.counts, edges_of(dataset), groups.colours, budget)
        plot = plane_map(cells, look, points, words.axes, apart, closer)
        caption = _caption(n, len(picked), drawn_how, int(cells.counts.sum(axis=0).max()), drawn)
        legend = _legend(groups) if drawn is not None else ()
        choices.append((drawn.title if drawn else "images", (Figure(plot, "", caption, legend, zoomable=True),)))
    return Section(
        title=words.title,
        short=words.short,
        anchor=words.anchor,
        lead=words.lead + _grey(sought),
        basis=words.basis,
        blocks=(Switch("Colour by", tuple(choices)),),
        order=ORDER_MAP,
    )


def _thumbnails(dataset: xarray.Dataset) -> tuple[IntArray, Sprites | None]:
    """Which images are shown, so that any number of the first ones is spread over the map, and their thumbnails."""
    if "shown_image" not in dataset or not dataset.sizes["shown"]:
        return np.zeros(0, np.int64), None
    rows = values(dataset, "shown_row").astype(np.int64)
    order = spread_order(values(dataset, "shown_code").astype(np.float64), random_bits(0, rows, ORDER_STREAM))
    sheet = sprites(np.asarray(dataset["shown_image"].values)[order])
    return order[: sheet.count if sheet else 0], sheet


def _points(
    dataset: xarray.Dataset,
    picked: IntArray,
    sheet: Sprites,
    sought: list[tuple[Labelling | None, Groups]],
    tallies: list[Tally],
) -> tuple[ColumnDataSource, list[str]]:
    """The shown images as one source of all maps, and its columns of text."""
    code = values(dataset, "shown_code").astype(np.float32)[picked]
    data: dict[str, Any] = {
        "x": code[:, 0],
        "y": code[:, 1],
        "row": values(dataset, "shown_row")[picked],
        "sprite": np.arange(len(picked), dtype=np.int32),
    }
    lines = []
    for at, ((labelling, groups), tally) in enumerate(zip(sought, tallies, strict=True)):
        if labelling is None:
            data[f"colour_{at}"] = [groups.colours[0]] * len(picked)
            data[f"group_{at}"] = np.zeros(len(picked), np.int32)
            continue
        # A group of negative numbers is only there if any image has one.
        colours = [*groups.colours, NONE_COLOUR]
        group = groups.group_of[tally.codes + 1]
        data[f"colour_{at}"] = [colours[which] for which in group.tolist()]
        data[f"group_{at}"] = group.astype(np.int32)
        data[f"line_{at}"] = [f"{labelling.title}: {labelling.name(number)}" for number in tally.codes.tolist()]
        lines.append(f"line_{at}")
    return ColumnDataSource(data, tags=[sheet.known()]), lines


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


def _caption(n: int, points: int, sample: str, fullest: int, labelling: Labelling | None) -> str:
    fullest_cell = count(fullest, "image")
    text = f"The stronger the colour of a cell, the more images are in it (log scale; the fullest has {fullest_cell}). "
    if labelling is not None:
        kind = "classes" if labelling.class_names else "clusters"
        text += f"Where {kind} share a cell, their colours mix. Names stand at the medians, or close by. "
    text += "+ and −, or a click and then wheel and drag, look closer (Esc lets go of the map)"
    if points:
        sample = f"of {sample.format(count(points, 'image'))} appear" if points < n else "of every image appear"
        text += f"; closer up, thumbnails {sample}. Dots are some of the same images: point at one"
    text += ". " + ("The legend hides and shows groups." if labelling is not None else "")
    return text.strip()
