"""Distributions of one number by class: a hill for each class, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, HBar, NumeralTickFormatter, Patches, Scatter
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import FloatArray, IntArray

#: Height of the highest hill, in rows.
HILL = 0.78


def ridges(
    classes: Sequence[str], counts: IntArray, edges: FloatArray, five_numbers: FloatArray, x_label: str
) -> figure:
    """Histograms of each class as hills, each scaled to its own height, with median and middle half below.

    Parameters
    ----------
    counts : int64 array, shape (classes, bins)
    edges : float array, shape (bins + 1,)
    five_numbers : float array, shape (classes, 5)
        Minimum, quartiles and maximum.
    """
    low, high = _span(counts, edges)
    total = len(classes)
    plot = chart(height=84 + 34 * total, x_label=x_label, y_label="", x_range=(low, high), y_range=(total - 0.4, -1.0))
    outlines_x, outlines_y = [], []
    steps = np.repeat(edges, 2)
    for position, row in enumerate(counts):
        height = row / max(1, row.max()) * HILL
        outlines_x.append(steps)
        outlines_y.append(position - np.r_[0.0, np.repeat(height, 2), 0.0])
    hills = ColumnDataSource({"x": outlines_x, "y": outlines_y})
    look: dict[str, Any] = {"fill_color": "#56B4E9", "fill_alpha": 0.55, "line_color": "#0072B2", "line_width": 0.75}
    plot.add_glyph(hills, Patches(xs="x", ys="y", **look))
    source = ColumnDataSource(
        {
            "y": np.arange(total) + 0.09,
            "class": list(classes),
            "images": counts.sum(axis=1),
            **{name: five_numbers[:, at] for at, name in enumerate(("minimum", "q25", "median", "q75", "maximum"))},
        }
    )
    plot.add_glyph(source, HBar(y="y", left="q25", right="q75", height=0.09, fill_color=INK, line_color=None))
    plot.add_glyph(source, Scatter(x="median", y="y", size=7, fill_color="white", line_color=INK, line_width=1.5))
    # A wide invisible bar: the whole row answers to the pointer, not only the thin box.
    row_area = plot.add_glyph(source, HBar(y="y", left=low, right=high, height=1.0, fill_alpha=0.0, line_alpha=0.0))
    plot.yaxis.ticker = list(range(total))
    plot.yaxis.major_label_overrides = {position: short(name, 14) for position, name in enumerate(classes)}
    plot.ygrid.grid_line_color = None
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=5)
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[0000]")
    numbers = [(name, f"@{name}{{0.000}}") for name in ("minimum", "q25", "median", "q75", "maximum")]
    add_hover(plot, [("class", "@class"), ("images", "@images{0,0}"), *numbers], [row_area])
    return plot


def _span(counts: IntArray, edges: FloatArray) -> tuple[float, float]:
    """From the first to the last bin that anything is in."""
    used = np.flatnonzero(counts.sum(axis=0))
    if not len(used):
        return float(edges[0]), float(edges[-1])
    return float(edges[used[0]]), float(edges[used[-1] + 1])
