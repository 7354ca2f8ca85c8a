"""Errors, accuracy and time by the rank of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart, legend_above
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


@dataclass(frozen=True)
class RankLine:
    """Values by rank.

    Attributes
    ----------
    name
        In the legend.
    values
        One for each rank.
    level
        The value without a rank, drawn as a dashed line in the same colour; ``None`` for none.
    """

    name: str
    ranks: Sequence[int]
    values: FloatArray
    level: float | None = None


def lines_by_rank(lines: Sequence[RankLine], y_label: str, hover: str, *, log: bool = False) -> figure:
    """A line for each way over ranks on a logarithmic axis, with dots, and its level without a rank.

    Parameters
    ----------
    hover
        Bokeh's format of values.
    log
        Whether values, too, lie on a logarithmic axis.
    """
    every = np.concatenate([np.append(line.values, line.level if line.level is not None else []) for line in lines])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    bounds = (low / 1.5, high * 1.5) if log else (max(0.0, low - 0.1 * (high - low + 0.01)), high + 0.05 * (high - low))
    ranks = sorted({rank for line in lines for rank in line.ranks})
    plot = chart(
        height=340,
        x_label="rank",
        y_label=y_label,
        x_range=(ranks[0] / 1.3, ranks[-1] * 1.3),
        y_range=bounds,
        x_axis_type="log",
        y_axis_type="log" if log else "linear",
    )
    dots = []
    for line, colour in zip(lines, (LINE_COLOUR, "#009E73", OTHER_COLOUR), strict=False):
        source = ColumnDataSource(
            {"rank": list(line.ranks), "value": line.values, "name": [line.name] * len(line.values)}
        )
        plot.line("rank", "value", source=source, line_color=colour, line_width=2.5, legend_label=line.name)
        dots.append(plot.scatter("rank", "value", source=source, size=8, fill_color=colour, line_color="white"))
        if line.level is not None:
            plot.add_layout(Span(location=line.level, dimension="width", line_color=colour, line_dash="dashed"))
    plot.xaxis.ticker = FixedTicker(ticks=ranks)
    plot.xgrid.grid_line_color = None
    legend_above(plot)
    add_hover(plot, [("", "@name"), ("rank", "@rank"), (y_label, f"@value{{{hover}}}")], dots)
    return plot
