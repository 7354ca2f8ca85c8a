"""Properties of images in the report: sizes, a mosaic of samples, distributions by class, images that stand out."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.bars import count_bars
from fmnist_dask.report.figures.ridges import ridges
from fmnist_dask.report.page import (
    ORDER_LISTED,
    ORDER_PROPERTIES,
    ORDER_SAMPLE,
    ORDER_SIZES,
    Block,
    Card,
    Contribution,
    Figure,
    Gallery,
    Grid,
    Mosaic,
    Picture,
    Section,
    Tile,
)
from fmnist_dask.report.pictures import picture, stretched
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.figures._text import UNLABELLED, context_basis, is_labelled, names, shown_names, texts, values
from fmnist_dask.workflow.registry import ReportContext

MOST_CLASSES = 30
#: Pictures of the sample mosaic: with more classes, fewer of each.
MOST_SAMPLES = 360
MOST_SIZES = 15
#: Suspicious images of each reason before the fold.
MOST_TILES = 16
CARD_PICTURES = 4
HERO_PICTURES = 40
#: Why an image is listed → the property that tells, and what the reason means.
REASONS = {
    "blank": ("brightness", "every pixel has the same value, black or white"),
    "constant": ("brightness", "every pixel has the same value"),
    "very dark": ("brightness", "mean brightness below the limit"),
    "very bright": ("brightness", "mean brightness above the limit"),
    "low contrast": ("contrast", "standard deviation of the pixels below the limit"),
    "outlier": ("score", "a property far from the median of all images, in robust standard deviations"),
}


#: Reasons whose images show little; they are drawn a second time with full contrast.
HARD_TO_SEE = ("very dark", "very bright", "low contrast")
#: An image whose values span more shows itself.
FLAT = 128


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What single images are like."""
    samples, listed = _samples(dataset), _listed(dataset)
    sections = [
        _sizes_section(dataset, context),
        _properties_section(dataset, context),
        _listed_section(listed, context),
    ]
    if samples:
        sections.append(_sample_section(samples, dataset, context))
    return Contribution(cards=(_card(listed, context),), sections=tuple(sections), hero=_hero(samples))


def _samples(dataset: xarray.Dataset) -> dict[str, list[Picture]]:
    """Random pictures of each class, in the order of the classes."""
    images, rows, labels = (
        values(dataset, "sample_image"),
        values(dataset, "sample_sample"),
        texts(dataset, "sample_label"),
    )
    largest = set(_largest(dataset))
    classes = [name for at, name in enumerate(names(dataset, "class")) if at in largest and name in set(labels)]
    each = max(1, MOST_SAMPLES // max(1, len(classes)))
    chosen: dict[str, list[Picture]] = {name: [] for name in classes}
    for image, row, label in zip(images, rows.tolist(), labels, strict=True):
        if label in chosen and len(chosen[label]) < each:
            chosen[label].append(picture(image, f"{label}, row {row:,}"))
    return chosen


def _largest(dataset: xarray.Dataset) -> list[int]:
    """Positions of the classes that figures show: the largest, in their order."""
    images = values(dataset, "histogram")[:, 0].sum(axis=1)
    return sorted(np.argsort(-images, kind="stable")[:MOST_CLASSES].tolist())


def _of_all(dataset: xarray.Dataset) -> str:
    classes = dataset.sizes["class"]
    return f" The {MOST_CLASSES} largest of {classes:,} classes." if classes > MOST_CLASSES else ""


def _hero(samples: dict[str, list[Picture]]) -> tuple[Picture, ...]:
    """One of each class, then the next of each, and so on."""
    longest = max((len(row) for row in samples.values()), default=0)
    mixed = [row[at] for at in range(longest) for row in samples.values() if at < len(row)]
    return tuple(mixed[:HERO_PICTURES])


def _sample_section(samples: dict[str, list[Picture]], dataset: xarray.Dataset, context: ReportContext) -> Section:
    labelled = is_labelled(list(samples))
    shown = sum(len(row) for row in samples.values())
    return Section(
        title="A random sample of each class" if labelled else "A random sample",
        short="Sample",
        anchor="sample",
        lead=f"What do the classes look like, and does any picture stand in the wrong row?{_of_all(dataset)}"
        if labelled
        else "What do the images look like?",
        basis=f"random, {shown:,} of {count(context.n_used, 'image')}",
        blocks=(Mosaic(tuple((name if labelled else "", tuple(row)) for name, row in samples.items())),),
        order=ORDER_SAMPLE,
    )


def _sizes_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    height, width, images = (values(dataset, f"size_{name}").astype(np.int64) for name in ("height", "width", "images"))
    order = np.argsort(-images, kind="stable")
    labels = [f"{width[at]} × {height[at]}" for at in order]
    blocks: tuple[Block, ...] = ()
    if len(order) == 0:
        lead = "There are no images."
    elif len(order) == 1:
        lead = f"All {count(int(images[0]), 'image')} are {labels[0]} pixels."
    else:
        part = share(int(images[order[0]]), int(images.sum()))
        lead = f"{count(len(order), 'size')}; the most common is {labels[0]} pixels ({part} of the images)."
        shown = order[:MOST_SIZES]
        chart = count_bars(labels[:MOST_SIZES], images[shown].tolist(), "images", "width × height (pixels)")
        rest = f"The {MOST_SIZES} most common sizes of {len(order):,}." if len(order) > MOST_SIZES else ""
        blocks = (Figure(chart, caption=f"Sizes before images were brought to one size. {rest}"),)
    return Section(
        title="Sizes",
        anchor="sizes",
        lead=lead,
        basis=context_basis(context),
        blocks=blocks,
        order=ORDER_SIZES,
    )


def _properties_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    classes, properties = names(dataset, "class"), names(dataset, "property")
    counts, quartiles = values(dataset, "histogram").astype(np.int64), values(dataset, "quartiles")
    widths, meanings = values(dataset, "bin_width"), texts(dataset, "meaning")
    chosen, called = _largest(dataset), shown_names(classes)
    drawn = []
    for at, name in enumerate(properties):
        edges = np.arange(counts.shape[2] + 1) * widths[at]
        plot = ridges(
            [called[c] for c in chosen], counts[chosen, at], edges, quartiles[chosen, at], name.replace("_", " ")
        )
        drawn.append(Figure(plot, title=name.replace("_", " ").capitalize(), caption=meanings[at]))
    return Section(
        title="How bright, how contrasted, how sharp" + (", by class" if is_labelled(classes) else ""),
        short="Properties",
        anchor="properties",
        lead=f"{_contrast_of_classes(classes, quartiles, properties)}Hills are histograms, each to its own height; the "
        f"bar is the middle half of the images, the dot their median. Look for hills with two tops.{_of_all(dataset)}",
        basis=context_basis(context, note="to 1/4,096 of the range"),
        blocks=(Grid(tuple(drawn), min_width=330),),
        order=ORDER_PROPERTIES,
    )


def _contrast_of_classes(classes: list[str], quartiles: AnyArray, properties: list[str]) -> str:
    known = [at for at, name in enumerate(classes) if name != UNLABELLED and not np.isnan(quartiles[at, 0, 2])]
    if len(known) < 2 or "brightness" not in properties:
        return ""
    median = quartiles[known, properties.index("brightness"), 2]
    if median.max() - median.min() < 0.02:
        return "The typical images of all classes are about equally bright. "
    darkest, brightest = known[int(median.argmin())], known[int(median.argmax())]
    return (
        f"The typical {classes[brightest]} image is the brightest (median {median.max():.2f}), "
        f"the typical {classes[darkest]} image the darkest ({median.min():.2f}). "
    )


def _listed(dataset: xarray.Dataset) -> dict[str, list[Tile]]:
    """Tiles of each reason, the most extreme first. An image stands under its first reason and names the others."""
    images, rows = values(dataset, "listed_image"), values(dataset, "listed_sample")
    labels, splits, reasons = (texts(dataset, f"listed_{name}") for name in ("label", "split", "reason"))
    odd = [name.replace("_", " ") for name in texts(dataset, "listed_property")]
    measures = {name: values(dataset, f"listed_{name}") for name in ("brightness", "contrast", "score")}
    every: dict[int, list[str]] = {}
    for row, reason in zip(rows.tolist(), reasons, strict=True):
        every.setdefault(row, []).append(reason)
    found: dict[str, list[Tile]] = {}
    for at, reason in enumerate(reasons):
        if every[int(rows[at])][0] != reason:
            continue
        name = REASONS[reason][0] if reason in REASONS else "score"
        value = measures[name][at]
        told = f"{odd[at]}: {value:.1f} deviations" if name == "score" else f"{name} {value:.3f}"
        caption = (labels[at], f"{splits[at]} · row {rows[at]:,}", told)
        members = [picture(images[at], f"{labels[at]}, row {rows[at]:,}: {', '.join(every[int(rows[at])])}", caption)]
        if reason in HARD_TO_SEE and 0 < np.ptp(images[at]) < FLAT:
            members.append(picture(stretched(images[at]), "the same, stretched to full contrast", ("full contrast",)))
        others = every[int(rows[at])][1:]
        found.setdefault(reason, []).append(Tile(tuple(members), f"also {listing(others)}" if others else ""))
    return found


def _reason_counts(context: ReportContext) -> dict[str, int]:
    return {reason: int(context.metrics.get(reason.replace(" ", "_")) or 0) for reason in REASONS}


def _card(listed: dict[str, list[Tile]], context: ReportContext) -> Card:
    suspicious = int(context.metrics.get("suspicious") or 0)
    # One of each reason, then the next of each; dark images as they would look with full contrast.
    rows = list(listed.values())
    longest = max((len(row) for row in rows), default=0)
    pictures = [row[at].pictures[-1] for at in range(min(longest, CARD_PICTURES)) for row in rows if at < len(row)]
    reasons = [f"{number:,} {reason}" for reason, number in _reason_counts(context).items() if number]
    return Card(
        value=count(suspicious),
        label="suspicious images",
        tone="warn" if suspicious else "good",
        note=f"{listing(reasons)}."
        if reasons
        else "None is blank, very dark, very bright, flat or far from the others.",
        pictures=tuple(pictures[:CARD_PICTURES]),
        link="suspicious",
        order=60,
    )


def _listed_section(listed: dict[str, list[Tile]], context: ReportContext) -> Section:
    suspicious = int(context.metrics.get("suspicious") or 0)
    totals = _reason_counts(context)
    blocks: list[Block] = []
    for reason, total in totals.items():
        tiles = tuple(listed.get(reason, ()))
        if total:
            few = (
                ""
                if total == len(tiles)
                else f", {len(tiles)} shown"
                if tiles
                else ", shown above or less extreme than those"
            )
            heading = f"{reason.capitalize()}: {count(total, 'image')}{few}"
            blocks.append(Gallery(tiles, heading, note=REASONS[reason][1], visible=MOST_TILES))
    lead = (
        f"{count(suspicious, 'image')} ({share(suspicious, context.n_used)}) stand out. Are they broken, or just rare? "
        "One image may be listed for several reasons; the table suspicious.parquet has all of them."
        if suspicious
        else f"None of {count(context.n_used, 'image')} is blank, very dark, very bright, flat or far from the others."
    )
    return Section(
        title="Suspicious images",
        short="Suspicious",
        anchor="suspicious",
        lead=lead,
        basis=context_basis(context, note="(outliers: to 1/4,096 of the range)"),
        blocks=tuple(blocks),
        order=ORDER_LISTED,
    )
