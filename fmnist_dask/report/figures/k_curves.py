"""Scores of clusterings by the number of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, NumeralTickFormatter, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import WARN_COLOUR, add_hover, chart, legend_above
from fmnist_dask.typing import FloatArray, IntArray

COLOURS = ("#0072B2", "#009E73")
HEIGHT = 260
#: Numbers that stand on the axis, at most, and the share of its length that two of them keep apart.
MOST_TICKS = 10
APART = 0.045


@dataclass(frozen=True)
class Curve:
    """A score by number of clusters.

    Attributes
    ----------
    name
        In legend and hover.
    values : float64 array, shape (m,)
        NaN where there is none.
    half : float64 array, shape (m,)
        Half the width of a band around it; ``None`` for none.
    best
        The number of clusters that is marked; ``None`` for none.
    """

    name: str
    values: FloatArray
    half: FloatArray | None = None
    best: int | None = None


def curves_over_k(ks: IntArray, curves: Sequence[Curve], y_label: str, hover: str) -> figure:
    """A line with dots for each curve, its band, and a dashed line at the number of clusters that it suggests.

    Parameters
    ----------
    ks : int64 array, shape (m,)
        Ascending.
    hover
        Bokeh's format of values.
    """
    edge = max(0.04 * float(ks[-1] - ks[0]), 0.5)
    left, right = float(ks[0]) - edge, float(ks[-1]) + edge
    plot = chart(height=HEIGHT, x_label="clusters", y_label=y_label, x_range=(left, right), y_range=_bounds(curves))
    dots, marked = [], set[int]()
    for curve, colour in zip(curves, COLOURS, strict=False):
        known = np.isfinite(curve.values)
        values, at = curve.values[known], ks[known]
        half = np.zeros(len(values)) if curve.half is None else np.nan_to_num(curve.half[known])
        source = ColumnDataSource(
            {
                "k": at,
                "value": values,
                "low": values - half,
                "high": values + half,
                "half": half,
                "name": [curve.name] * len(at),
            }
        )
        if half.any():
            plot.varea("k", "low", "high", source=source, fill_color=colour, fill_alpha=0.18)
        legend = {"legend_label": curve.name} if len(curves) > 1 else {}
        plot.line("k", "value", source=source, line_color=colour, line_width=2.5, **legend)
        chosen = [WARN_COLOUR if number == curve.best else colour for number in at.tolist()]
        source.add(chosen, "colour")
        dots.append(plot.scatter("k", "value", source=source, size=8, fill_color="colour", line_color="white"))
        if curve.best is not None and curve.best not in marked:
            marked.add(curve.best)
            _mark(plot, curve.best, right)
    plot.xaxis.ticker = FixedTicker(ticks=_ticks(ks, right - left))
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
    plot.xgrid.grid_line_color = None
    if len(curves) > 1:
        legend_above(plot)
    value = f"@value{{{hover}}}"
    banded = any(curve.half is not None and np.nan_to_num(curve.half).any() for curve in curves)
    told = f"{value} ± @half{{{hover}}}" if banded else value
    add_hover(plot, [("clusters", "@k"), *([("", "@name")] if len(curves) > 1 else []), (y_label, told)], dots)
    return plot


def _mark(plot: figure, at: int, right: float) -> None:
    """A dashed line with its number; on the left of it where there is no room on the right."""
    look = {"line_color": WARN_COLOUR, "line_dash": "dashed", "line_width": 1.5}
    plot.add_layout(Span(location=at, dimension="height", level="underlay", **look))
    low, high = plot.y_range.start, plot.y_range.end
    inside = at > right - 0.15 * (right - plot.x_range.start)
    plot.add_layout(
        Label(x=at, y=high - 0.02 * (high - low), x_offset=-5 if inside else 5, text=f"{at}", text_color=WARN_COLOUR,
              text_font_size="12px", text_baseline="top", text_align="right" if inside else "left")
    )  # fmt: skip


def _bounds(curves: Sequence[Curve]) -> tuple[float, float]:
    """Range of all values and bands, and some room above for the marks."""
    ends = []
    for curve in curves:
        half = np.zeros(len(curve.values)) if curve.half is None else np.nan_to_num(curve.half)
        ends += [curve.values - half, curve.values + half]
    every = np.concatenate(ends)
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    room = (high - low) or max(abs(high), 1.0)
    return low - 0.06 * room, high + 0.14 * room


def _ticks(ks: IntArray, length: float) -> list[int]:
    """Numbers of clusters that have room on the axis; always the first and the last."""
    shown = [int(ks[0])]
    step = max(APART * length, length / (2 * MOST_TICKS))
    for number in ks[1:].tolist():
        if number - shown[-1] >= step:
            shown.append(number)
    last = int(ks[-1])
    if shown[-1] != last:
        shown[-1 if len(shown) > 1 else len(shown) :] = [last]
    return shown
