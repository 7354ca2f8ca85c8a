"""Principal components in the report: how much they explain, what they look like, a map of all images."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.heatmaps import colour_bar
from fmnist_dask.report.figures.scree import MILESTONES, cumulative_scree, scree, scree_source
from fmnist_dask.report.figures.style import difference_mapper
from fmnist_dask.report.page import (
    ORDER_DIRECTIONS,
    Block,
    Card,
    Contribution,
    Figure,
    Gallery,
    Grid,
    Picture,
    Section,
    Tile,
)
from fmnist_dask.report.pictures import brightness_picture, signed_picture
from fmnist_dask.report.words import count, listing
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.figures._map import map_section
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext

#: Components shown as pictures: before the fold, and at all.
FEW_PICTURES, MOST_PICTURES = 24, 120
CARD_PICTURES = 4
METHODS = {"randomized": "approximate (randomized)", "dask-ml": "approximate (dask-ml's IncrementalPCA)"}


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """How images vary, and where each of them lies."""
    share = np.nan_to_num(values(dataset, "explained_variance_ratio").astype(np.float64))
    sections = [_directions_section(dataset, share, context)]
    if "plane" in dataset and "plane_edge" in dataset and share.any():
        sections.append(map_section(dataset, share, context))
    return Contribution(cards=(_card(dataset, share),), sections=tuple(sections))


def _card(dataset: xarray.Dataset, share: FloatArray) -> Card:
    pictures = [tile.pictures[0] for tile in _tiles(dataset, share[:CARD_PICTURES])] if share.any() else []
    return Card(
        value=_percent(share.sum()),
        label=f"of the variance in {count(len(share), 'component')}",
        note=_milestones(share) if share.any() else "Nothing varies: all images are the same.",
        pictures=tuple(Picture(shown.uri, shown.alt) for shown in pictures[-CARD_PICTURES:]),
        link="directions",
        order=70,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _milestones(share: FloatArray) -> str:
    """How many components explain half of the variance, and so on; shares that all of them do not reach come last."""
    together = np.cumsum(share)
    reached: list[tuple[int, str]] = []
    beyond: list[tuple[int, str]] = []
    for part in MILESTONES:
        # Ten million images are summed to about this much.
        first = int(np.searchsorted(together, part - 1e-9)) + 1
        (reached if first <= len(share) else beyond).append((first, f"{part:.0%}".replace("%", " %")))
    parts = [f"{count(first, 'component')} explain{'s' if first == 1 else ''} {name}" for first, name in reached[:1]]
    parts += [f"{first:,} explain{'s' if first == 1 else ''} {name}" for first, name in reached[1:]]
    more = f"{listing((name for _, name in beyond), 'or')} would take more than {len(share):,}" if beyond else ""
    return "; ".join(part for part in (listing(parts), more) if part) + "."


def _directions_section(dataset: xarray.Dataset, share: FloatArray, context: ReportContext) -> Section:
    features = int(dataset.attrs.get("n_features") or 0)
    total = len(share)
    if share.any():
        of = f" of {features:,}" if features else ""
        lead = f"{count(total, 'component')}{of} {'explains' if total == 1 else 'explain'} {_percent(share.sum())} of "
        lead += f"the variance: {_milestones(share)}"
    else:
        lead = "Nothing varies: all images are the same, and there are no directions to show."
    source = scree_source(values(dataset, "explained_variance").astype(np.float64), share)
    charts: list[Figure] = [Figure(scree(source), title="Share of the variance along each component")]
    if total > 1:
        charts.append(
            Figure(
                cumulative_scree(source),
                title="Together with all components before it",
                caption=f"Dashed: {listing(f'{part:.0%}'.replace('%', ' %') for part in MILESTONES)}.",
            )
        )
    method = str(dataset.attrs.get("method") or "exact")
    return Section(
        title="Directions of variation",
        short="Components",
        anchor="directions",
        lead=lead,
        basis=context_basis(context, exact=method == "exact", inexact=METHODS.get(method, f"approximate ({method})")),
        blocks=(Grid(tuple(charts), min_width=480), *_pictures(dataset, share)) if share.any() else (),
        order=ORDER_DIRECTIONS,
    )


def _is_image(dataset: xarray.Dataset) -> bool:
    """Whether components have pixels; those of another step's features cannot be looked at."""
    return dataset["components"].ndim in (3, 4)


def _limit(dataset: xarray.Dataset, shown: int) -> float:
    """The scale of all pictures ends here: the few pixels beyond would leave all others pale."""
    largest = np.abs(np.nan_to_num(dataset["components"][:shown].values))
    return float(np.quantile(largest, 0.998)) or float(largest.max(initial=0)) or 1.0


def _tiles(dataset: xarray.Dataset, share: FloatArray) -> list[Tile]:
    """The mean image, and one tile for each of these components."""
    if not _is_image(dataset):
        return []
    limit = _limit(dataset, min(MOST_PICTURES, dataset.sizes["component"]))
    mean = brightness_picture(values(dataset, "mean").astype(np.float64), "the mean image", ("mean image",))
    tiles = [Tile((mean,))]
    for at, part in enumerate(share[:MOST_PICTURES].tolist()):
        caption = (f"component {at + 1}", _percent(part))
        alt = f"component {at + 1}, {_percent(part)} of the variance"
        weights = dataset["components"][at].values.astype(np.float64)
        tiles.append(Tile((signed_picture(weights, limit, alt, caption),)))
    return tiles


def _pictures(dataset: xarray.Dataset, share: FloatArray) -> list[Block]:
    tiles = _tiles(dataset, share)
    if not tiles:
        return []
    first = "" if len(share) <= MOST_PICTURES else f" The first {MOST_PICTURES} of {len(share):,} are shown."
    if dataset["components"].ndim == 4 and dataset["components"].shape[-1] == 3:
        note = (
            "Grey: no change. An image far out along a component differs from the mean image by these colours; far out "
        )
        note += f"on the other side, by their opposites.{first}"
        return [Gallery(tuple(tiles), heading="Components as images", note=note, visible=1 + FEW_PICTURES)]
    note = (
        "Where a component is blue, images far out along it are brighter than the mean image, and where it is brown, "
    )
    note += f"darker; on the other side it is the other way round. All have the same scale.{first}"
    limit = _limit(dataset, min(MOST_PICTURES, len(share)))
    bar = Figure(colour_bar(difference_mapper(limit), "weight of the pixel (squares of all add up to 1)"))
    return [
        Gallery(tuple(tiles), heading="Components as images", note=note, visible=1 + FEW_PICTURES),
        Grid((bar,), min_width=280),
    ]
