"""How much of the variance components explain: each, and together."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import MUTED, add_hover, chart
from fmnist_dask.typing import FloatArray

#: Shares of the variance that are marked.
MILESTONES = (0.5, 0.8, 0.9)
TOOLTIPS = [
    ("component", "@component"),
    ("its share", "@share{0.00 %}"),
    ("its variance", "@variance{0.0000}"),
    ("the first @component", "@together{0.00 %}"),
]


def scree_source(variance: FloatArray, share: FloatArray) -> ColumnDataSource:
    """Columns that both figures draw."""
    numbers = np.arange(1, len(share) + 1)
    together = np.cumsum(np.nan_to_num(share))
    return ColumnDataSource({"component": numbers, "share": share, "variance": variance, "together": together})


def scree(source: ColumnDataSource) -> figure:
    """A bar for the share of the variance along each component."""
    share = np.nan_to_num(source.data["share"])
    plot = _frame(len(share), "share of the variance", 1.05 * float(share.max(initial=0)) or 1.0)
    bars: dict[str, Any] = {"fill_color": "#0072B2", "line_color": None}
    plot.vbar(x="component", top="share", bottom=0, width=0.8, source=source, **bars)
    add_hover(plot, TOOLTIPS, mode="vline")
    return plot


def cumulative_scree(source: ColumnDataSource) -> figure:
    """The share of the variance that the first components explain together."""
    plot = _frame(len(source.data["share"]), "share, added up", 1.02)
    for share in MILESTONES:
        plot.add_layout(Span(location=share, dimension="width", line_color=MUTED, line_dash="dashed", line_width=1))
    plot.line("component", "together", source=source, line_color="#0072B2", line_width=2)
    dots = plot.scatter("component", "together", source=source, size=5, fill_color="#0072B2", line_color="white")
    plot.yaxis.ticker = [0, *MILESTONES, 1]
    add_hover(plot, TOOLTIPS, [dots], mode="vline")
    return plot


def _frame(total: int, y_label: str, top: float) -> figure:
    plot = chart(height=260, x_label="component", y_label=y_label, x_range=(0.4, total + 0.6), y_range=(0, top))
    plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=6)
    plot.yaxis.formatter = NumeralTickFormatter(format="0.[0] %" if top < 0.1 else "0 %")
    plot.xgrid.grid_line_color = None
    return plot
