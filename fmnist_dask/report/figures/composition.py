"""What clusters are made of: a heatmap of shares, and bars of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import BasicTicker, ColumnDataSource, LinearColorMapper, NumeralTickFormatter, Rect, Text
from bokeh.palettes import interp_palette
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import FONT, INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import FloatArray, IntArray

#: White to dark blue.
SHARES = interp_palette(("#ffffff", "#9cc9e8", "#0072b2", "#08306b"), 256)
#: More columns than these are too narrow for numbers.
MOST_NUMBERS = 16


def share_mapper(largest: float = 1.0) -> LinearColorMapper:
    """Colours of shares, from 0 to 1, or to the largest where all are small."""
    return LinearColorMapper(palette=list(SHARES), low=0.0, high=largest if 0 < largest < 0.5 else 1.0)


def composition_heatmap(
    clusters: Sequence[str], classes: Sequence[str], counts: IntArray, sizes: IntArray, mapper: LinearColorMapper
) -> figure:
    """A cell for each cluster and class, coloured by the class's share of the cluster.

    Parameters
    ----------
    counts : int array, shape (clusters, classes)
    sizes : int array, shape (clusters,)
        All images of each cluster, also those of classes that are not drawn.
    """
    share = shares(counts, sizes)
    rows, columns = len(clusters), len(classes)
    plot = chart(
        height=150 + (30 if rows <= 40 else 16) * rows,
        x_label="class",
        y_label="",
        x_range=(-0.5, columns - 0.5),
        y_range=(rows - 0.5, -0.5),
    )
    at_row, at_column = (index.ravel().tolist() for index in np.indices(counts.shape))
    source = ColumnDataSource(
        {
            "x": at_column,
            "y": at_row,
            "share": share.ravel(),
            "count": counts.ravel(),
            "cluster": [clusters[at] for at in at_row],
            "class": [classes[at] for at in at_column],
        }
    )
    fill: dict[str, Any] = {"fill_color": {"field": "share", "transform": mapper}, "line_color": "white"}
    cells = plot.add_glyph(source, Rect(x="x", y="y", width=1, height=1, **fill))
    if columns <= MOST_NUMBERS:
        _write_shares(plot, share, 0.5 * float(mapper.high))
    name_axis(plot.xaxis, classes)
    plot.xaxis.major_label_orientation = 0.9
    name_axis(plot.yaxis, clusters)
    plot.grid.grid_line_color = None
    plot.outline_line_color = "#cbd2d9"
    tooltips = [("cluster", "@cluster"), ("class", "@class"), ("images", "@count{0,0}")]
    add_hover(plot, [*tooltips, ("share of the cluster", "@share{0.0 %}")], [cells])
    return plot


def shares(counts: IntArray, sizes: IntArray) -> FloatArray:
    """Counts as parts of their row's size; zeros in rows of none."""
    result: FloatArray = counts / np.maximum(np.asarray(sizes), 1)[:, None]
    return result


def _write_shares(plot: figure, share: FloatArray, dark: float) -> None:
    """Whole percents in the cells; those that would round to nothing stay empty."""
    at_row, at_column = np.nonzero(share >= 0.005)
    percent = share[at_row, at_column]
    source = ColumnDataSource(
        {
            "x": at_column,
            "y": at_row,
            "text": [f"{100 * part:.0f}" for part in percent],
            "colour": ["white" if part > dark else INK for part in percent],
        }
    )
    look: dict[str, Any] = {"text_align": "center", "text_baseline": "middle", "text_font_size": "11px"}
    plot.add_glyph(source, Text(x="x", y="y", text="text", text_color="colour", text_font=value(FONT), **look))


def composition_bars(
    clusters: Sequence[str], classes: Sequence[str], colours: Sequence[str], counts: IntArray
) -> figure:
    """A bar of images for each cluster, its classes in a row.

    Parameters
    ----------
    counts : int array, shape (clusters, classes)
    """
    rows = len(clusters)
    plot = chart(
        height=80 + (26 if rows <= 40 else 16) * rows,
        x_label="images",
        y_label="",
        x_range=(0, max(1.0, 1.02 * float(counts.sum(axis=1).max(initial=0)))),
        y_range=(rows - 0.5, -0.5),
    )
    right = counts.cumsum(axis=1)
    at_row, at_column = np.nonzero(counts)
    rows_of, columns_of = at_row.tolist(), at_column.tolist()
    source = ColumnDataSource(
        {
            "y": at_row,
            "left": (right - counts)[at_row, at_column],
            "right": right[at_row, at_column],
            "count": counts[at_row, at_column],
            "share": shares(counts, counts.sum(axis=1))[at_row, at_column],
            "cluster": [clusters[at] for at in rows_of],
            "class": [classes[at] for at in columns_of],
            "colour": [colours[at] for at in columns_of],
        }
    )
    look: dict[str, Any] = {"height": 0.78, "fill_color": "colour", "line_color": "white", "line_width": 0.5}
    plot.hbar(y="y", left="left", right="right", source=source, **look)
    name_axis(plot.yaxis, clusters)
    plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=5)
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.ygrid.grid_line_color = None
    tooltips = [("cluster", "@cluster"), ("class", "@class"), ("images", "@count{0,0}")]
    add_hover(plot, [*tooltips, ("share of the cluster", "@share{0.0 %}")])
    return plot


def name_axis(axis: Any, names: Sequence[str]) -> None:
    """Names at whole numbers of an axis."""
    axis.ticker = list(range(len(names)))
    axis.major_label_overrides = {position: short(name, 16) for position, name in enumerate(names)}
