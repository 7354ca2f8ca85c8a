"""A low-rank model in the report: what it is made of, how well it fills in what is missing, a map of all images."""

from __future__ import annotations

import math

import numpy as np
import xarray
from bokeh.models import LinearColorMapper

from fmnist_dask.report.figures.convergence import objective_lines
from fmnist_dask.report.figures.heatmaps import Panel, colour_bar, panels
from fmnist_dask.report.figures.ranks import error_by_rank
from fmnist_dask.report.figures.style import difference_mapper, spread_mapper
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
    Table,
    Text,
    Tile,
)
from fmnist_dask.report.pictures import brightness_picture, picture, signed_picture
from fmnist_dask.report.words import count
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.figures._map import map_section
from fmnist_dask.workflow.figures._text import context_basis, texts, values
from fmnist_dask.workflow.registry import ReportContext

FEW_PICTURES, MOST_PICTURES = 24, 120
#: What missing pixels are drawn with.
HOLE = np.array([214, 107, 44], np.uint8)
#: Least probability at which pixels count as missing at random.
LEAST_P = 0.001
ERROR = "root mean square error, of brightness from 0 to 1"


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """How images are made of few directions, and what that says of missing pixels."""
    sections = [_archetypes(dataset, context)]
    partial = not int(dataset.attrs.get("complete", 1))
    if partial:
        sections.append(_filling(dataset, context))
    share = values(dataset, "explained_variance_ratio").astype(np.float64)
    if "plane" in dataset and "plane_edge" in dataset and share.any():
        sections.append(map_section(dataset, share, context))
    return Contribution(cards=(_card(dataset, context),), sections=tuple(sections))


def _card(dataset: xarray.Dataset, context: ReportContext) -> Card:
    error = context.metrics.get("rmse_heldout")
    rank = int(dataset.attrs["rank"])
    if error is not None:
        base = ", ".join(f"{name} {value:.3f}" for name, value in _baselines(dataset))
        return Card(
            value=f"{error:.3f}",
            label=f"error of hidden pixels, {_called(dataset)}",
            note=f"Brightness from 0 to 1. {base[:1].upper()}{base[1:]}.",
            pictures=tuple(Picture(tile.uri, tile.alt) for tile in _example_pictures(dataset, 0)[:3]),
            link="filled-in",
            order=75,
        )
    share = float(values(dataset, "explained_variance_ratio").sum())
    return Card(
        value=f"{100 * share:.1f} %",
        label=f"of the sum of squares at rank {rank}",
        note=f"{count(rank, 'direction')} instead of {int(dataset.attrs['n_features']):,} pixels.",
        link="archetypes",
        order=75,
    )


def _called(dataset: xarray.Dataset) -> str:
    """The way that images are filled in."""
    if "group_size" in dataset:
        return f"mixture of {dataset.sizes['group']} Gaussians"
    return f"rank {int(dataset.attrs['rank'])}"


def _baselines(dataset: xarray.Dataset) -> list[tuple[str, float]]:
    if "method" not in dataset:
        return []
    ranks, errors = values(dataset, "method_rank"), values(dataset, "rmse")
    names = texts(dataset, "method")
    return [(names[at], float(errors[at])) for at in np.flatnonzero(ranks <= 0)]


def _archetypes(dataset: xarray.Dataset, context: ReportContext) -> Section:
    components = dataset["components"]
    rank = components.shape[0]
    limit = float(np.quantile(np.abs(components[: min(rank, 8)].values), 0.998)) or 1.0
    tiles = [Tile((brightness_picture(values(dataset, "mean").astype(np.float64), "the centre", ("centre",)),))]
    for at in range(min(rank, MOST_PICTURES)):
        caption = (f"archetype {at + 1}", f"{100 * float(dataset['explained_variance_ratio'][at]):.1f} %")
        weights = components[at].values.astype(np.float64)
        tiles.append(Tile((signed_picture(weights, limit, f"archetype {at + 1}", caption),)))
    shown = "" if rank <= MOST_PICTURES else f" The first {MOST_PICTURES} of {rank:,} are shown."
    note = f"Blue: brighter along it, brown: darker; what an image with a code of 1 gains. One scale for all.{shown}"
    blocks: list[Block] = [
        Gallery(tuple(tiles), heading="Archetypes", note=note, visible=1 + FEW_PICTURES),
        Grid((Figure(colour_bar(difference_mapper(limit), "weight of the pixel, in its own units")),), min_width=280),
    ]
    blocks += _reconstructions(dataset)
    objective = values(dataset, "objective").astype(np.float64)
    if len(objective) > 1:
        above = 100 * (objective / objective.min() - 1)
        blocks.append(
            Figure(
                objective_lines([above], 0, "pass", "objective, % above the least"),
                title="How the model came to rest",
                caption=""
                if int(dataset.attrs.get("converged", 1))
                else "It has not: more passes (max_iter) may help.",
            )
        )
    complete = bool(int(dataset.attrs.get("complete", 1)))
    nonnegative = bool(int(dataset.attrs.get("nonnegative", 0)))
    exact = complete and not nonnegative
    lead = f"Each image is the centre and {count(rank, 'archetype')}, each times a number: its code. "
    gone = _percent(context.metrics.get("missing_fraction") or 0)
    if exact:
        lead += "No pixel is missing: this is the best model of its rank."
    elif nonnegative:
        lead += "Neither codes nor archetypes are negative, so that images are sums of parts."
    else:
        lead += f"{gone} of all pixels are missing or hidden; the model was found from the others."
    return Section(
        title="Low-rank model",
        short="Low rank",
        anchor="archetypes",
        lead=lead,
        basis=context_basis(context, exact=exact, inexact="in turns" if nonnegative else "by EM"),
        blocks=tuple(blocks),
        order=ORDER_DIRECTIONS + 4,
    )


def _reconstructions(dataset: xarray.Dataset) -> list[Block]:
    """Images beside what codes of several ranks make of them."""
    if "example_reconstructed" not in dataset:
        return []
    ranks = values(dataset, "example_rank").tolist()
    tiles = []
    for at in range(dataset.sizes["example"]):
        row = int(dataset["example_row"][at])
        truth = picture(dataset["example_truth"][at].values, f"image {row}", ("image",))
        made = [
            picture(
                dataset["example_reconstructed"][at, level].values, f"image {row} at rank {rank}", (f"rank {rank}",)
            )
            for level, rank in enumerate(ranks)
        ]
        tiles.append(Tile((truth, *made)))
    note = "What is left of images in so many codes, all pixels reconstructed from those that are there."
    return [Gallery(tuple(tiles), heading="Images and their reconstructions", note=note, visible=4)]


def _whether_at_random(dataset: xarray.Dataset, context: ReportContext) -> list[Block]:
    """Whether pixels are missing whatever the class is, which start and deviations take for granted."""
    p_value = context.metrics.get("missing_by_class_p")
    if p_value is None:
        return []
    if p_value >= LEAST_P:
        return [
            Text(f"Pixels are missing as often in every class (p = {p_value:.2g}), as the model takes for granted.")
        ]
    shares, classes = values(dataset, "class_missing"), texts(dataset, "missing_class")
    low, high = int(np.nanargmin(shares)), int(np.nanargmax(shares))
    most = _percent(float(dataset["class_missing_largest"]))
    return [
        Text(
            f"What is missing depends on the class: {_percent(shares[high])} of the pixels of {classes[high]}, "
            f"{_percent(shares[low])} of {classes[low]}; single pixels by up to {most} more or less than overall. "
            "The model takes them to be missing whatever they are: deviations may be too small.",
            tone="warn",
        )
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _with_holes(image: AnyArray, missing: AnyArray) -> AnyArray:
    """An image in colour, with its missing pixels marked."""
    colours = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3].copy()
    if colours.shape[-1] != 3:
        colours = np.repeat(colours[..., :1], 3, axis=-1)
    colours[missing.astype(bool)] = HOLE
    return colours


def _example_pictures(dataset: xarray.Dataset, at: int) -> list[Picture]:
    """One image: with its holes, filled in, as it is, and how far off it is expected to be."""
    if "example_truth" not in dataset or at >= dataset.sizes["example"]:
        return []
    truth, missing = dataset["example_truth"][at].values, dataset["example_missing"][at].values
    row = int(dataset["example_row"][at])
    deviation = dataset["example_deviation"][at].values.astype(np.float64) / 255
    uncertain = np.where(missing if deviation.ndim == 2 else missing[..., None], deviation, 0.0)
    return [
        picture(_with_holes(truth, missing), f"image {row} with missing pixels marked", ("missing",)),
        picture(dataset["example_imputed"][at].values, f"image {row} filled in", ("filled in",)),
        picture(truth, f"image {row} as it is", ("truth",)),
        brightness_picture(4 * uncertain, f"standard deviation of image {row}", ("off by × 4",)),
    ]


def _filling(dataset: xarray.Dataset, context: ReportContext) -> Section:
    blocks: list[Block] = []
    tiles = [Tile(tuple(_example_pictures(dataset, at))) for at in range(dataset.sizes.get("example", 0))]
    if tiles:
        note = "Orange: missing. Off by: the standard deviation expected of each filled-in pixel, four times as bright."
        blocks.append(Gallery(tuple(tiles), heading="Examples, of all classes", note=note, visible=6))
    blocks += _whether_at_random(dataset, context)
    lead = "Missing pixels are filled in by what the model expects of them, given the others of their image."
    if "method" in dataset and context.metrics.get("rmse_heldout") is not None:
        blocks += _scores(dataset)
        coverage = context.metrics.get("coverage_95")
        within = (
            f"Within {float(dataset['interval_95']):.2f} standard deviations, where 95 % of observed pixels are of "
        )
        within += f"what the others say of them, lie {_percent(coverage or 0)} of the hidden ones."
        hidden = count(int(dataset["hidden"]), "hidden pixel")
        lead += f" {hidden} tell how well: the error is {context.metrics['rmse_heldout']:.4f}. {within}"
    return Section(
        title="Missing pixels, filled in",
        short="Filled in",
        anchor="filled-in",
        lead=lead,
        basis=context_basis(context, exact=False, inexact="by EM"),
        blocks=tuple(blocks),
        order=ORDER_DIRECTIONS + 5,
    )


def _scores(dataset: xarray.Dataset) -> list[Block]:
    ranks, errors, absolute = (values(dataset, name) for name in ("method_rank", "rmse", "mae"))
    of_model = np.flatnonzero(ranks > 0)
    pixel: FloatArray = values(dataset, "pixel_rmse").astype(np.float64)
    pixel = pixel.mean(axis=-1) if pixel.ndim == 3 else pixel
    mapper = LinearColorMapper(
        palette=spread_mapper().palette, low=0, high=math.ceil(20 * float(np.nanmax(pixel))) / 20 or 1.0
    )
    heat = Figure(
        panels([Panel("error", pixel, mapper, as_picture=False)]),
        title="Error of each pixel",
        caption="Where images differ most, least can be told.",
    )
    by_rank = Figure(
        error_by_rank(ranks[of_model].tolist(), errors[of_model], _baselines(dataset), "error of hidden pixels"),
        title="Error by rank",
        caption="Dashed: other ways to fill in.",
    )
    classes, names = texts(dataset, "class"), texts(dataset, "method")
    by_class = values(dataset, "class_rmse")
    shown = [int(of_model[-1]), *np.flatnonzero(ranks <= 0).tolist()]
    all_methods = Table(
        ("way to fill in", "RMSE", "MAE"),
        tuple((names[at], f"{errors[at]:.4f}", f"{absolute[at]:.4f}") for at in range(len(names))),
        caption=f"At hidden pixels: {ERROR}, and mean absolute error.",
    )
    table = Table(
        ("class", *(names[at] for at in shown)),
        tuple((name, *(f"{by_class[at, number]:.4f}" for at in shown)) for number, name in enumerate(classes)),
        caption=f"By class: {ERROR}.",
    )
    bar = Figure(colour_bar(mapper, "root mean square error, brightness 0 to 1"))
    return [Grid((by_rank, heat), min_width=380), Grid((bar,), min_width=280), all_methods, table]
