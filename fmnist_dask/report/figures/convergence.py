"""How an iterative algorithm came to its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, NumeralTickFormatter
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart
from fmnist_dask.typing import FloatArray

BEST_COLOUR, OTHER_COLOUR = "#0072B2", "#9aa5b1"


def objective_lines(histories: Sequence[FloatArray], best: int, x_label: str, y_label: str) -> figure:
    """A line for each start, from its first pass to its last; the best one stands out.

    Parameters
    ----------
    histories
        The objective after each pass, without gaps.
    best
        Position of the start that was taken.
    """
    longest = max((len(values) for values in histories), default=1)
    plot = chart(height=300, x_label=x_label, y_label=y_label, x_range=(0.5, longest + 0.5))
    dots = []
    for at in [*(other for other in range(len(histories)) if other != best), best]:
        values = histories[at]
        source = ColumnDataSource(
            {"pass": np.arange(1, len(values) + 1), "value": values, "start": [at + 1] * len(values)}
        )
        colour = BEST_COLOUR if at == best else OTHER_COLOUR
        look: dict[str, Any] = {"line_width": 2.5 if at == best else 1.5, "line_color": colour}
        plot.line("pass", "value", source=source, **look)
        few = len(values) <= 60
        dots.append(
            plot.scatter("pass", "value", source=source, size=5 if few else 3, fill_color=colour, line_color=None)
        )
    plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=6)
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    plot.xgrid.grid_line_color = None
    add_hover(plot, [("start", "@start"), ("pass", "@pass"), (y_label, "@value{0,0.0000}")], dots)
    return plot


def ranked_dots(values: FloatArray, x_label: str, y_label: str, name: str) -> figure:
    """A dot for each value, the lowest first."""
    order = np.argsort(values, kind="stable")
    source = ColumnDataSource({"rank": np.arange(1, len(values) + 1), "value": values[order], "number": order + 1})
    plot = chart(height=300, x_label=x_label, y_label=y_label, x_range=(0.5, len(values) + 0.5))
    few = len(values) <= 60
    plot.scatter("rank", "value", source=source, size=8 if few else 4, fill_color=BEST_COLOUR, line_color="white")
    plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=6)
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    plot.xgrid.grid_line_color = None
    add_hover(plot, [(name, "@number"), ("rank", "@rank"), (y_label, "@value{0,0.0000}")])
    return plot
