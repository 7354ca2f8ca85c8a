"""Clusters and classes: which class is in which cluster, and how well the two match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmnist_dask.report.figures.categories import NONE_COLOUR, REST_COLOUR, category_colours, coloured
from fmnist_dask.report.figures.composition import (
    MOST_NUMBERS,
    composition_bars,
    composition_heatmap,
    share_mapper,
    shares,
)
from fmnist_dask.report.figures.heatmaps import colour_bar
from fmnist_dask.report.page import ORDER_COMPOSITION, Block, Figure, Grid, Section, Swatch
from fmnist_dask.report.words import count, listing
from fmnist_dask.typing import IntArray
from fmnist_dask.workflow.figures._text import UNLABELLED, context_basis
from fmnist_dask.workflow.registry import ReportContext

#: Clusters and classes that figures show: the largest.
MOST_ROWS, MOST_COLUMNS = 60, 40


def _known(classes: Sequence[str]) -> list[int]:
    return [at for at, name in enumerate(classes) if name != UNLABELLED]


def purity_sentence(classes: Sequence[str], composition: IntArray, size: IntArray) -> str:
    """Whether clusters are classes, and which is purest."""
    known = _known(classes)
    held = np.flatnonzero(size)
    if not len(held):
        return "No cluster has images."
    counts = composition[held][:, known]
    purity = counts.max(axis=1) / size[held]
    at = int(purity.argmax())
    name = classes[known[int(counts[at].argmax())]]
    percent = f"{100 * purity[at]:.0f} %" if purity[at] < 0.995 else f"{100 * purity[at]:.1f} %"
    if len(held) == 1:
        return f"The only cluster is {percent} {name}."
    pure = int((purity == 1).sum())
    if pure == len(held):
        return "Every cluster is one class."
    if pure:
        images = int(size[held][purity == 1].sum())
        return (
            f"{pure:,} of {count(len(held), 'cluster')} {'is' if pure == 1 else 'are'} one class alone, with "
            f"{images:,} of {count(int(size.sum()), 'image')}; all others are mixed."
        )
    percent = "more than 99.9 %" if percent == "100.0 %" else percent
    return f"No cluster is one class: the purest, cluster {held[at]}, is {percent} {name}."


def _agreement(metrics: Any) -> str:
    """The measures of agreement, and what they mean."""
    parts = []
    if metrics.get("nmi") is not None:
        parts.append(f"NMI {metrics['nmi']:.2f} (0: clusters tell nothing about classes, 1: everything)")
    if metrics.get("ari") is not None:
        parts.append(f"ARI {round(metrics['ari'], 2) + 0.0:.2f} (0: as by chance, 1: the same groups)")
    text = f"{listing(parts)}. " if parts else ""
    if metrics.get("matched_accuracy") is not None:
        text += "If each cluster stood for the class that suits it best, no class twice, "
        text += f"{100 * metrics['matched_accuracy']:.1f} % of the labelled images would be named right."
    return text.strip()


def composition_section(
    classes: list[str], composition: IntArray, size: IntArray, on: str, context: ReportContext
) -> Section:
    """Shares as a heatmap, images as bars."""
    held = np.flatnonzero(size)
    largest = held[np.argsort(-size[held], kind="stable")[:MOST_ROWS]]
    columns = np.sort(np.argsort(-composition.sum(axis=0), kind="stable")[:MOST_COLUMNS])
    rows = _diagonal(composition[:, columns], largest)
    named = [f"cluster {at}" for at in rows]
    shown = [classes[at] for at in columns]
    few = [
        f"the {len(drawn)} largest of {total:,} {noun}"
        for drawn, total, noun in ((rows, len(held), "clusters"), (columns, len(classes), "classes"))
        if len(drawn) < total
    ]
    counts = composition[rows][:, columns]
    mapper = share_mapper(float(shares(counts, size[rows]).max(initial=0)))
    heatmap = composition_heatmap(named, shown, counts, size[rows], mapper)
    bars, legend = _bars(named, classes, composition, rows)
    numbers = "Numbers are percent of the cluster. " if len(columns) <= MOST_NUMBERS else ""
    blocks: tuple[Block, ...] = (
        Figure(
            heatmap,
            title="Share of each class in each cluster",
            caption=f"{numbers}Clusters stand in the order of their most frequent class."
            + (f" Drawn: {listing(few)}." if few else ""),
        ),
        # Cells with numbers need no scale.
        *(() if numbers else (Grid((Figure(colour_bar(mapper, "share of the cluster")),), min_width=280),)),
        Figure(bars, title="Images of each cluster, by class", legend=legend),
    )
    return Section(
        title=f"Clusters of {on} and classes",
        short="Composition",
        anchor="composition",
        lead=f"{purity_sentence(classes, composition, size)} {_agreement(context.metrics)}".strip(),
        basis=context_basis(context),
        blocks=blocks,
        order=ORDER_COMPOSITION,
    )


def _diagonal(composition: IntArray, clusters: IntArray) -> list[int]:
    """Clusters by their most frequent class, and within it by its share: large numbers come near the diagonal."""
    counts = composition[clusters]
    share = counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)
    order = np.lexsort((-share, counts.argmax(axis=1)))
    found: list[int] = clusters[order].tolist()
    return found


def _bars(
    named: list[str], classes: list[str], composition: IntArray, rows: list[int]
) -> tuple[Any, tuple[Swatch, ...]]:
    """Bars in the colours of the map; classes beyond the largest, and images without label, in greys at the end."""
    known = _known(classes)
    totals = composition.sum(axis=0)
    own = [known[at] for at in coloured(totals[known])]
    every = category_colours(totals[known])
    colours = [every[known.index(at)] for at in own]
    names = [classes[at] for at in own]
    counts = composition[rows][:, own]
    rest = [at for at in known if at not in own]
    for positions, name, colour in (
        (rest, f"{len(rest):,} smaller classes", REST_COLOUR),
        ([at for at in range(len(classes)) if at not in known], UNLABELLED, NONE_COLOUR),
    ):
        if positions:
            counts = np.column_stack([counts, composition[rows][:, positions].sum(axis=1)])
            names, colours = [*names, name], [*colours, colour]
    legend = tuple(Swatch(colour, name) for colour, name in zip(colours, names, strict=True))
    return composition_bars(named, names, colours, counts), legend
