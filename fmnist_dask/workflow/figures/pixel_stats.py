"""Pixel statistics in the report: heatmaps on one scale, what differs between splits, all pixel values, a table."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import xarray

from fmnist_dask.kernels.histogram import extremes, moments, quantiles
from fmnist_dask.report.figures.heatmaps import Panel, colour_bar, panels, reduction_factor
from fmnist_dask.report.figures.histograms import value_histogram
from fmnist_dask.report.figures.style import brightness_mapper, difference_mapper, split_colours, spread_mapper
from fmnist_dask.report.page import (
    ORDER_PIXELS,
    ORDER_SPLITS,
    ORDER_TABLE,
    ORDER_VALUES,
    Block,
    Contribution,
    Figure,
    Grid,
    Section,
    Table,
)
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import AnyArray, FloatArray, IntArray
from fmnist_dask.workflow.figures._text import context_basis, names, values
from fmnist_dask.workflow.registry import ReportContext

#: Classes drawn as heatmaps: the largest; the table has all.
MOST_CLASSES = 24
#: Chance that equal splits would be called different.
FALSE_ALARM = 0.01
BRIGHTNESS = "brightness, 0 black to 1 white"
SPREAD = "standard deviation of brightness, 0 to 0.5"


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What the pixels are like."""
    sections = [_heatmap_section(dataset, context), _values_section(dataset, context), _table_section(dataset, context)]
    if "split_mean" in dataset and dataset.sizes["split"] > 1:
        sections.append(_split_section(dataset, context))
    return Contribution(sections=tuple(sections))


def _scaled(dataset: xarray.Dataset, name: str) -> FloatArray:
    return values(dataset, name).astype(np.float64) / 255


def _median_at(dataset: xarray.Dataset) -> int | None:
    """Position of the median among the quantiles; a workflow may have asked for others."""
    at = np.flatnonzero(np.isclose(values(dataset, "quantile"), 0.5))
    return int(at[0]) if len(at) else None


def _heatmap_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    brightness, spread = brightness_mapper(), spread_mapper()
    median = _median_at(dataset)
    mean = _scaled(dataset, "mean")

    def three(of_mean: FloatArray, of_median: FloatArray | None, of_std: FloatArray) -> list[Panel]:
        parts = [Panel("mean", of_mean, brightness)]
        parts += [] if of_median is None else [Panel("median", of_median, brightness)]
        return [*parts, Panel("standard deviation", of_std, spread, as_picture=False)]

    overall = three(mean, None if median is None else _scaled(dataset, "quantiles")[median], _scaled(dataset, "std"))
    bars = [Figure(colour_bar(spread, SPREAD))]
    colour = mean.ndim == 3 and mean.shape[-1] == 3
    if not colour:
        bars.insert(0, Figure(colour_bar(brightness, BRIGHTNESS)))
    grain = _grain(mean.shape[:2])
    blocks: list[Block] = [
        Figure(panels(overall, text_share=0.16), title=f"All {count(int(dataset['n']), 'image')}", caption=grain),
        Grid(tuple(bars), min_width=280),
    ]
    classes = names(dataset, "class")
    if classes:
        images = values(dataset, "class_n")
        chosen = np.sort(np.argsort(-images, kind="stable")[:MOST_CLASSES])
        stacks = {name: _scaled(dataset, f"class_{name}") for name in ("mean", "std", "quantiles")}
        small = []
        for at in chosen.tolist():
            parts = three(
                stacks["mean"][at], None if median is None else stacks["quantiles"][at, median], stacks["std"][at]
            )
            plot = panels(
                [
                    Panel("std" if p.label == "standard deviation" else p.label, p.values, p.mapper, p.as_picture)
                    for p in parts
                ]
            )
            small.append(Figure(plot, title=classes[at], caption=f"{count(int(images[at]), 'image')}"))
        of_all = "" if len(chosen) == len(classes) else f", the {len(chosen)} largest of {len(classes):,}"
        blocks.append(Grid(tuple(small), min_width=250, heading=f"By class{of_all}, on the same colour scales"))
    if colour:
        reading = "Mean and median are pictures in colour; standard deviations are means over the channels."
    else:
        reading = "Bright in the median: bright in more than half of the images."
    return Section(
        title="Brightness of each pixel",
        short="Brightness",
        anchor="brightness",
        lead=f"{_brightness_sentence(context)} {reading} Where the standard deviation is high, images differ most.",
        basis=context_basis(context),
        blocks=tuple(blocks),
        order=ORDER_PIXELS,
    )


def _grain(shape: tuple[int, ...]) -> str:
    """How many pixels there are, and how many of them each cell of a panel shows."""
    factor = reduction_factor(shape)
    told = f"{shape[0]} rows, {shape[1]} columns"
    if factor == 1:
        return f"{told}. Point at a pixel for its place and values."
    return (
        f"{told}; each square is the mean of {factor} × {factor} pixels, and results.zarr has them all. "
        "Point at one for its place and values."
    )


def _brightness_sentence(context: ReportContext) -> str:
    mean, std = context.metrics.get("mean"), context.metrics.get("std")
    if mean is None or std is None:
        return ""
    return f"Over all pixels, the mean brightness is {mean:.4f} and the standard deviation {std:.4f}."


def _split_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    splits = names(dataset, "split")
    mean, std, images = _scaled(dataset, "split_mean"), _scaled(dataset, "split_std"), values(dataset, "split_n")
    if mean.ndim == 4:
        mean, std = mean.mean(axis=-1), std.mean(axis=-1)
    difference = mean - mean[:1]
    brightness = brightness_mapper()
    diverging = difference_mapper(float(np.abs(difference).max()))
    drawn = []
    for at, name in enumerate(splits[1:], start=1):
        parts = [Panel(splits[0], mean[0], brightness), Panel(name, mean[at], brightness)]
        plot = panels([*parts, Panel(f"{name} − {splits[0]}", difference[at], diverging)], text_share=0.18)
        drawn.append(Figure(plot, caption=f"Blue: brighter in {name}. Brown: brighter in {splits[0]}."))
    findings = [
        _verdict(splits[0], name, difference[at], std[[0, at]], images[[0, at]]) for at, name in enumerate(splits) if at
    ]
    bars = (
        Figure(colour_bar(brightness, BRIGHTNESS)),
        Figure(colour_bar(diverging, "difference of mean brightness")),
    )
    return Section(
        title="Do the splits look alike?",
        short="Splits",
        anchor="splits",
        lead=" ".join(findings),
        basis=f"exact, {listing(f'{int(size):,} {name} images' for name, size in zip(splits, images, strict=True))}",
        blocks=(Grid(tuple(drawn), min_width=420), Grid(bars, min_width=280)),
        order=ORDER_SPLITS,
    )


def _verdict(first: str, other: str, difference: FloatArray, std: FloatArray, images: IntArray) -> str:
    """Whether means differ by more than two random halves of one collection would."""
    row, column = np.unravel_index(int(np.abs(difference).argmax()), difference.shape)
    largest = float(difference[row, column])
    if largest == 0 or not images.all():
        return f"The mean pixels of {first} and {other} are the same."
    error = np.sqrt((std**2 / images.reshape(-1, *[1] * (std.ndim - 1))).sum(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.nan_to_num(np.abs(difference) / error, nan=0.0, posinf=math.inf)
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / (2 * difference.size))
    beyond = int((score > limit).sum())
    where = f"The largest difference between the mean pixels of {other} and {first}"
    where += f" is {abs(largest):.4f} (column {column}, row {row})"
    if not beyond:
        return f"{where}: no more than chance makes of splits of this size."
    return (
        f"{where}; {count(beyond, 'pixel')} of {difference.size:,} differ by more than chance would: "
        f"{other} is not a random sample of the same images."
    )


def _values_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    overall = values(dataset, "histogram").astype(np.int64)
    splits = names(dataset, "split") if "split_histogram" in dataset else []
    colours = split_colours(splits)
    table = values(dataset, "split_histogram").astype(np.int64) if splits else None
    # The split that the area shows needs no line of its own.
    lines = {name: table[at] for at, name in enumerate(splits) if table is not None and name != context.split}
    total, peak = int(overall.sum()), int(overall.argmax())
    used = int((overall > 0).sum())
    missing = "all 256 values occur" if used == 256 else f"{used} of 256 values occur"
    named = {0: " (black)", 255: " (white)"}
    told = dict.fromkeys((peak, 0, 255))
    shares = listing(f"{share(int(overall[level]), total)} are {level}{named.get(level, '')}" for level in told)
    shares = f"Of all pixel values, {shares}"
    return Section(
        title="All pixel values",
        short="Pixel values",
        anchor="values",
        lead=f"{shares}; {missing}. Spikes and gaps are traces of scaling or compression.",
        basis=f"{context_basis(context)}, {count(total, 'pixel value')}",
        blocks=(
            Figure(
                value_histogram(overall, lines, "all images" if context.split == "all" else context.split, colours),
                caption="The axis is logarithmic: each line up is ten times as many pixels."
                + (" Each split is drawn in shares of its own pixels." if lines else ""),
            ),
        ),
        order=ORDER_VALUES,
    )


def _table_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    whole = "all images" if context.split == "all" else f"all of {context.split}"
    rows = [_summary(whole, int(dataset["n"]), values(dataset, "histogram"))]
    classes = names(dataset, "class")
    if classes:
        images, histogram = values(dataset, "class_n"), values(dataset, "class_histogram")
        rows += [_summary(name, int(images[at]), histogram[at]) for at, name in enumerate(classes)]
    by = " by class" if classes else ""
    lead = "Pixel values from 0 (black) to 255 (white), over all pixels of all images."
    if len(classes) > 1:
        means = moments(values(dataset, "class_histogram"))[0]
        brightest, darkest = classes[int(np.nanargmax(means))], classes[int(np.nanargmin(means))]
        lead += f" {brightest} is the brightest class, {darkest} the darkest."
    return Section(
        title=f"Pixel values{by} in numbers",
        short="In numbers",
        anchor="numbers",
        lead=lead,
        basis=context_basis(context),
        blocks=(
            Table(
                ("images of", "images", "minimum", "q25", "median", "q75", "maximum", "mean", "std", "share of 0"),
                tuple(rows),
            ),
        ),
        order=ORDER_TABLE,
    )


def _summary(name: str, images: int, histogram: AnyArray) -> tuple[str, ...]:
    counts = histogram.astype(np.int64)
    lowest, highest = extremes(counts)
    q25, median, q75 = quantiles(counts, np.array([0.25, 0.5, 0.75]))
    mean, std = moments(counts)
    numbers = [f"{float(value):g}" for value in (lowest, q25, median, q75, highest)]
    return (
        name,
        f"{images:,}",
        *numbers,
        f"{float(mean):.2f}",
        f"{float(std):.2f}",
        share(int(counts[0]), int(counts.sum())),
    )
