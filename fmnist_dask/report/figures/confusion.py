"""Pairs of classes that are taken for each other, and how well a ranking finds what it is to find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, LinearColorMapper, Rect, Text
from bokeh.plotting import figure

from fmnist_dask.report.figures.composition import MOST_NUMBERS, SHARES, name_axis
from fmnist_dask.report.figures.style import FONT, INK, SPLIT_COLOURS, WARN_COLOUR, add_hover, chart, legend_above
from fmnist_dask.typing import FloatArray, IntArray


def pairs_heatmap(
    rows: Sequence[str], columns: Sequence[str], counts: IntArray, row_label: str, column_label: str
) -> figure:
    """A cell for each pair of classes, coloured by its number of images; numbers where there is room.

    Parameters
    ----------
    counts : int array, shape (rows, columns)
    """
    plot = chart(
        height=150 + (30 if len(rows) <= MOST_NUMBERS else 16) * len(rows),
        x_label=column_label,
        y_label=row_label,
        x_range=(-0.5, len(columns) - 0.5),
        y_range=(len(rows) - 0.5, -0.5),
    )
    most = float(counts.max(initial=0)) or 1.0
    at_row, at_column = (index.ravel() for index in np.indices(counts.shape))
    flat = counts.ravel()
    source = ColumnDataSource(
        {
            "x": at_column,
            "y": at_row,
            "count": flat,
            "row": [rows[at] for at in at_row.tolist()],
            "column": [columns[at] for at in at_column.tolist()],
            "text": [f"{number:,}" if number else "" for number in flat.tolist()],
            "colour": ["white" if 2 * number > most else INK for number in flat.tolist()],
        }
    )
    mapper = LinearColorMapper(palette=list(SHARES), low=0.0, high=most)
    fill: dict[str, Any] = {"fill_color": {"field": "count", "transform": mapper}, "line_color": "white"}
    cells = plot.add_glyph(source, Rect(x="x", y="y", width=1, height=1, **fill))
    if len(columns) <= MOST_NUMBERS:
        look: dict[str, Any] = {"text_align": "center", "text_baseline": "middle", "text_font_size": "11px"}
        plot.add_glyph(source, Text(x="x", y="y", text="text", text_color="colour", text_font=value(FONT), **look))
    name_axis(plot.xaxis, columns)
    plot.xaxis.major_label_orientation = 0.9
    name_axis(plot.yaxis, rows)
    plot.grid.grid_line_color = None
    plot.outline_line_color = "#cbd2d9"
    add_hover(plot, [(row_label, "@row"), (column_label, "@column"), ("images", "@count{0,0}")], [cells])
    return plot


def precision_recall(recalls: FloatArray, precisions: FloatArray, chosen: tuple[float, float], name: str) -> figure:
    """Precision over recall down a ranking, and where a choice lies.

    Parameters
    ----------
    recalls, precisions : float arrays, shape (points,)
    chosen
        Recall and precision of the choice.
    name
        Of the choice, in the legend.
    """
    plot = chart(height=360, x_label="recall", y_label="precision", x_range=(0, 1.02), y_range=(0, 1.04))
    curve = ColumnDataSource({"recall": recalls, "precision": precisions})
    plot.line("recall", "precision", source=curve, line_color=SPLIT_COLOURS[0], line_width=2.5, legend_label="ranking")
    hit = plot.scatter("recall", "precision", source=curve, size=8, fill_alpha=0, line_alpha=0)
    own = ColumnDataSource({"recall": [chosen[0]], "precision": [chosen[1]]})
    look: dict[str, Any] = {"size": 11, "fill_color": WARN_COLOUR, "line_color": "white", "legend_label": name}
    dot = plot.scatter("recall", "precision", source=own, **look)
    legend_above(plot)
    add_hover(plot, [("recall", "@recall{0.0 %}"), ("precision", "@precision{0.0 %}")], [hit, dot])
    return plot
