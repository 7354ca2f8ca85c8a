"""The colours that were quantized, as points: two channels at a time, and a map with each method's clusters."""

from __future__ import annotations

import numpy as np

from fmnist_dask.models.colour_map import FEWEST
from fmnist_dask.report.blocks import Block, Figure, Grid, Swatch, Switch, Text
from fmnist_dask.report.figures.categories import REST_COLOUR
from fmnist_dask.report.figures.colours import ColourPoints, channel_plane, hex_codes, level_bars, map_plane
from fmnist_dask.report.page import ORDER_COLOURS, Section
from fmnist_dask.report.words import share as percent
from fmnist_dask.typing import IntArray
from fmnist_dask.workflow.figures._quantized import SPACES, Quantized
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext

#: Points that figures hold, and clusters that a legend names.
MOST_POINTS, MOST_NAMED = 4000, 16
MAPS = {"umap": "UMAP", "tsne": "t-SNE"}
PLANES = (("red", "green"), ("red", "blue"), ("green", "blue"))


def colour_section(found: Quantized, context: ReportContext) -> Section | None:
    """Where the colours lie; ``None`` for a single one, which the palettes show."""
    dataset = found.dataset
    if "map_color" not in dataset or dataset.sizes["point"] < 2:
        return None
    blocks = (_levels(found),) if found.grey else _points(found)
    return Section(
        title="The levels of grey" if found.grey else "The colours",
        short="Levels of grey" if found.grey else "Colours",
        anchor="colours",
        lead=_lead(found),
        basis=found.basis(context.n_used, context.split),
        blocks=tuple(blocks),
        order=ORDER_COLOURS,
    )


def _lead(found: Quantized) -> str:
    if found.grey:
        return "How many pixels have each level of grey, and the levels that take their place."
    drawn = min(found.dataset.sizes["point"], MOST_POINTS)
    which = f"{drawn:,} of {found.n_distinct:,}" if drawn < found.n_distinct else f"All {drawn:,}"
    return f"Each point is a colour, drawn in itself; the larger, the more pixels have it. {which} are drawn."


def _levels(found: Quantized) -> Block:
    dataset = found.dataset
    levels = values(dataset, "map_color")[:, 0].astype(np.int64)
    counts = values(dataset, "map_count").astype(np.int64)
    kept = np.zeros(0, np.int64)
    caption = ""
    if "palette" in dataset and not found.each:
        used = values(dataset, "share")[0] > 0
        kept = values(dataset, "palette")[0][used, 0].astype(np.int64)
        caption = f"Dashed: the {found.several(len(kept))} that {found.names[0]} keeps."
    if len(kept) > 2 * MOST_NAMED:
        kept, caption = kept[:0], ""
    return Figure(level_bars(levels, counts, kept), caption=caption)


def _points(found: Quantized) -> list[Block]:
    dataset = found.dataset
    total = dataset.sizes["point"]
    few = np.unique(np.linspace(0, total - 1, min(total, MOST_POINTS)).astype(np.intp))
    colours, counts = values(dataset, "map_color")[few], values(dataset, "map_count").astype(np.int64)[few]
    place = values(dataset, "map_place").astype(np.float64)[few] if "map_place" in dataset else None
    points = ColourPoints.of(colours, counts, place)
    planes = tuple(
        Figure(channel_plane(points, across, up), title=f"{across.capitalize()} and {up}") for across, up in PLANES
    )
    blocks: list[Block] = [Grid(planes, min_width=330)]
    if place is None and (found.each or total < FEWEST):
        return blocks
    if place is None:
        blocks.append(
            Text('There is no map of the colours: those by UMAP need the extra [map], pip install "fmnist-dask[map]".')
        )
        return blocks
    return [*blocks, _map(found, points, few)]


def _map(found: Quantized, points: ColourPoints, few: IntArray) -> Block:
    """The plane of the map: colours themselves, then the clusters of each method."""
    dataset = found.dataset
    method = MAPS.get(str(dataset.attrs["map"]), str(dataset.attrs["map"]))
    caption = _map_caption(found, method, len(few))
    choices: list[tuple[str, tuple[Block, ...]]] = [
        ("own colours", (Figure(map_plane(points, method, None), f"Map by {method}", caption),))
    ]
    # Images with palettes of their own have no clusters in common.
    if any(name not in dataset for name in ("map_label", "map_match", "palette", "share")):
        return choices[0][1][0]
    labels = values(dataset, "map_label").astype(np.int64)[:, few]
    families = _families(found)
    same = "The same colour and number stand for the same family of colours by every method" if len(labels) > 1 else ""
    for at, name in enumerate(found.names):
        codes = families[at]
        points.add_clusters(at, labels[at], [codes.get(label, REST_COLOUR) for label in labels[at].tolist()])
        legend, left_out = _legend(found, at, codes)
        told = [f"Clusters by {name}, each in a colour of its palette", same, left_out]
        if at:
            told[0] = f"Clusters by {name}, each in the colour that {found.names[0]} gives its family"
        words = ". ".join(part for part in told if part)
        figure = Figure(map_plane(points, method, at), f"Map by {method}", f"{words}. {caption}", legend)
        choices.append((name, (figure,)))
    return Switch("Colour by", tuple(choices))


def _families(found: Quantized) -> list[dict[int, str]]:
    """A colour for each matched number by each method: that of the first method, where it has the number in use."""
    match = values(found.dataset, "map_match").astype(np.int64)
    palettes, shares = values(found.dataset, "palette"), values(found.dataset, "share")
    known: list[dict[int, str]] = []
    for at in range(len(found.methods)):
        codes = hex_codes(palettes[at])
        used = np.flatnonzero(shares[at] > 0).tolist()
        own = {int(match[at, color]): codes[color] for color in used}
        known.append(own | {number: known[0][number] for number in own if at and number in known[0]})
    return known


def _legend(found: Quantized, at: int, codes: dict[int, str]) -> tuple[tuple[Swatch, ...], str]:
    """The largest clusters with their shares of pixels, and a remark on those that are not named."""
    match = values(found.dataset, "map_match").astype(np.int64)[at]
    shares = values(found.dataset, "share").astype(np.float64)[at]
    used = np.flatnonzero(shares > 0).tolist()
    # In the order of numbers, which is the same for all methods.
    named = sorted((int(match[color]), percent(shares[color], 1)) for color in used[:MOST_NAMED])
    swatches = [Swatch(codes[number], f"cluster {number}", told) for number, told in named]
    rest = len(used) - len(swatches)
    return tuple(swatches), f"Named are the {MOST_NAMED} largest, by pixels, of {len(used):,}" if rest else ""


def _map_caption(found: Quantized, method: str, drawn: int) -> str:
    dataset = found.dataset
    total, neighbours = dataset.sizes["point"], int(dataset.attrs.get("map_neighbors") or 0)
    of = f"{total:,} of {found.n_distinct:,}" if total < found.n_distinct else f"all {total:,}"
    near = f", {neighbours} neighbours of each" if neighbours else ""
    shown = f"; {drawn:,} of them are drawn" if drawn < total else ""
    space = SPACES.get(str(dataset.attrs["space"]), str(dataset.attrs["space"]))
    return (
        f"{method} of {of} distinct colours{near}, by distances in {space}{shown}. What is near is alike; distances "
        "between groups mean little."
    )
