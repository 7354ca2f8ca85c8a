"""Errors by the rank of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart
from fmnist_dask.typing import FloatArray

LINE_COLOUR, OTHER_COLOUR = "#0072B2", "#5b6770"


def error_by_rank(
    ranks: Sequence[int], errors: FloatArray, others: Sequence[tuple[str, float]], y_label: str
) -> figure:
    """A line over ranks on a logarithmic axis, and a dashed one for each simpler way, with its name.

    Parameters
    ----------
    others
        Names and errors of what has no rank.
    """
    top = 1.08 * max([*errors.tolist(), *(value for _, value in others)])
    low, high = ranks[0] / 1.3, max(ranks[-1] * 1.3, ranks[0] * 2)
    plot = chart(height=340, x_label="rank", y_label=y_label, x_range=(low, high), y_range=(0, top), x_axis_type="log")
    for name, value in others:
        plot.add_layout(Span(location=value, dimension="width", line_color=OTHER_COLOUR, line_dash="dashed"))
        plot.add_layout(
            Label(x=low, y=value, x_offset=6, y_offset=2, text=f"{name} {value:.3f}", text_font_size="12px",
                  text_color=OTHER_COLOUR)
        )  # fmt: skip
    source = ColumnDataSource({"rank": np.asarray(ranks), "error": errors})
    plot.line("rank", "error", source=source, line_color=LINE_COLOUR, line_width=2.5)
    dots = plot.scatter("rank", "error", source=source, size=8, fill_color=LINE_COLOUR, line_color="white")
    plot.xaxis.ticker = FixedTicker(ticks=list(ranks))
    plot.xgrid.grid_line_color = None
    add_hover(plot, [("rank", "@rank"), (y_label, "@error{0.0000}")], [dots])
    return plot
