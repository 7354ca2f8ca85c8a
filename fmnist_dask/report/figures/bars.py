"""Bar charts of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import WARN_COLOUR, add_hover, chart, legend_above, split_colours
from fmnist_dask.report.words import short
from fmnist_dask.typing import IntArray

#: More bars than these are drawn thinner.
FEW = 16


def class_bars(
    classes: Sequence[str], splits: Sequence[str], images: IntArray, distinct: IntArray, y_label: str = "class"
) -> figure:
    """Images of each class: a bar for each split, distinct images first, surplus copies at its end.

    Parameters
    ----------
    images, distinct : integer arrays, shape (splits, classes)
    """
    total = len(classes)
    gap, thick = (14, 14) if total <= FEW else (6, 7 if len(splits) > 1 else 12)
    plot = chart(
        height=90 + total * (gap + thick * len(splits)),
        x_label="images",
        y_label=y_label,
        y_range=(total - 0.5, -0.5),
        x_range=(0, max(1.0, float(images.max(initial=0)) * 1.02)),
    )
    thickness = 0.8 / max(1, len(splits))
    sources = [_cells(classes, split, images[at], distinct[at]) for at, split in enumerate(splits)]
    places = [np.arange(total) - 0.4 + thickness * (at + 0.5) for at in range(len(splits))]
    for source, place in zip(sources, places, strict=True):
        source.data["y"] = place
    bars: dict[str, Any] = {"y": "y", "height": thickness * 0.9, "line_color": None}
    for source, (split, colour) in zip(sources, split_colours(splits).items(), strict=True):
        label = f"{short(split, 12)}, distinct" if len(splits) > 1 else "distinct images"
        plot.hbar(left=0, right="distinct", fill_color=colour, legend_label=label, source=source, **bars)
    for source in sources if (images > distinct).any() else ():
        copies: dict[str, Any] = {"fill_color": WARN_COLOUR, "legend_label": "surplus copies"}
        plot.hbar(left="distinct", right="images", source=source, **copies, **bars)
    _name_classes(plot, classes)
    _count_ticks(plot)
    plot.ygrid.grid_line_color = None
    counts = [("images", "@images{0,0}"), ("distinct", "@distinct{0,0}"), ("surplus copies", "@surplus{0,0}")]
    add_hover(plot, [("class", "@class"), ("split", "@split"), *counts])
    legend_above(plot)
    return plot


def _cells(classes: Sequence[str], split: str, images: IntArray, distinct: IntArray) -> ColumnDataSource:
    return ColumnDataSource(
        {
            "class": list(classes),
            "split": [split] * len(classes),
            "images": images,
            "distinct": distinct,
            "surplus": images - distinct,
        }
    )


def count_bars(names: Sequence[str], counts: Sequence[int], x_label: str, y_label: str) -> figure:
    """A bar for each name, from the top."""
    total = len(names)
    plot = chart(
        height=70 + 26 * total,
        x_label=x_label,
        y_label=y_label,
        y_range=(total - 0.5, -0.5),
        x_range=(0, max(1.0, 1.02 * max(counts, default=0))),
    )
    source = ColumnDataSource({"y": np.arange(total), "name": list(names), "count": list(counts)})
    plot.hbar(y="y", left=0, right="count", height=0.7, source=source, fill_color="#0072B2", line_color=None)
    _name_classes(plot, names)
    _count_ticks(plot)
    plot.ygrid.grid_line_color = None
    add_hover(plot, [(y_label, "@name"), (x_label, "@count{0,0}")])
    return plot


def _count_ticks(plot: figure) -> None:
    """Whole numbers only: there is no half image."""
    plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=6)
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")


def _name_classes(plot: figure, names: Sequence[str]) -> None:
    """Names at whole numbers of the y axis; they may repeat, unlike factors of a categorical range."""
    plot.yaxis.ticker = list(range(len(names)))
    plot.yaxis.major_label_overrides = {position: short(name, 16) for position, name in enumerate(names)}
