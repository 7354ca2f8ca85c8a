"""Scores, sizes and times of ways to reduce colours: bars by method, lines by number of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, Label, NumeralTickFormatter, Span, Text
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import FONT, INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import FloatArray, IntArray

BAR_COLOUR, BEST_COLOUR, LEVEL_COLOUR = "#0072B2", "#00694e", "#5b6770"
#: Room for a written value beside the longest bar, as shares of the axis: at least, and for each of its characters.
ROOM, ROOM_EACH = 0.05, 0.033


@dataclass(frozen=True)
class Amount:
    """What is drawn.

    Attributes
    ----------
    label
        Of its axis, with the unit.
    hover
        Bokeh's format of values.
    most
        Largest possible value; ``None`` where there is none.
    level
        A value to compare with, drawn as a dashed line over numbers of colours, and its name.
    """

    label: str
    hover: str
    most: float | None = None
    level: tuple[str, float] | None = None


def method_bars(names: Sequence[str], values: FloatArray, written: Sequence[str], amount: Amount) -> figure:
    """A bar for each method from the top, its value beside it; methods without a value have only that said.

    Parameters
    ----------
    values : float64 array, shape (m,)
        NaN where there is none.
    written
        The values in words.
    """
    known = np.nan_to_num(values)
    low = min(0.0, 1.05 * float(known.min(initial=0)))
    high = amount.most or float(known.max(initial=0)) or 1.0
    room = min(0.4, ROOM + ROOM_EACH * max(map(len, written), default=0))
    right = low + (high - low) / (1 - room)
    plot = chart(
        height=75 + 34 * len(names),
        x_label=amount.label,
        y_label="",
        y_range=(len(names) - 0.5, -0.5),
        x_range=(low, right),
    )
    source = ColumnDataSource(
        {
            "y": np.arange(len(names)),
            "name": list(names),
            "value": values,
            "right": known,
            "end": np.maximum(known, 0),
            "text": list(written),
        }
    )
    plot.hbar(y="y", left=0, right="right", height=0.62, source=source, fill_color=BAR_COLOUR, line_color=None)
    look: dict[str, Any] = {"text_font": value(FONT), "text_font_size": "12px", "text_color": INK}
    plot.add_glyph(source, Text(x="end", y="y", text="text", x_offset=6, text_baseline="middle", **look))
    plot.yaxis.ticker = list(range(len(names)))
    plot.yaxis.major_label_overrides = {at: short(name, 18) for at, name in enumerate(names)}
    plot.ygrid.grid_line_color = None
    # The axis goes no farther than values can.
    step = BasicTicker(desired_num_ticks=4)
    plot.xaxis.ticker = FixedTicker(ticks=[0, 0.25, 0.5, 0.75, 1]) if amount.most == 1 else step
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    add_hover(plot, [("method", "@name"), (amount.label, "@text")])
    return plot


def line_by_colours(numbers: IntArray, values: FloatArray, amount: Amount, unit: str = "colours") -> figure:
    """A line with dots over numbers of colours, each a tick of a logarithmic axis, twice as many the same way apart.

    Parameters
    ----------
    numbers : int64 array, shape (m,)
        Ascending, above 0.
    values : float64 array, shape (m,)
        NaN where there is none.
    unit
        What the numbers are of.
    """
    held = np.isfinite(values)
    levels = [amount.level[1]] if amount.level else []
    bounds = _bounds(np.concatenate([values[held], levels]), amount.most)
    low, high = float(numbers[0]) / 1.25, float(numbers[-1]) * 1.25
    plot = chart(
        height=300,
        x_label=f"{unit} (log scale)",
        y_label=amount.label,
        x_axis_type="log",
        x_range=(low, high),
        y_range=bounds,
    )
    if amount.level:
        name, height = amount.level
        plot.add_layout(Span(location=height, dimension="width", line_color=LEVEL_COLOUR, line_dash="dashed"))
        look = {"text_font": FONT, "text_font_size": "12px", "text_color": LEVEL_COLOUR}
        plot.add_layout(Label(x=low, y=height, x_offset=6, y_offset=3, text=name, **look))
    source = ColumnDataSource({"number": numbers[held], "value": values[held]})
    plot.line("number", "value", source=source, line_color=BAR_COLOUR, line_width=2.5)
    dots = plot.scatter("number", "value", source=source, size=9, fill_color=BAR_COLOUR, line_color="white")
    plot.xaxis.ticker = FixedTicker(ticks=numbers.tolist())
    # Not as powers of ten, which such an axis would write.
    plot.xaxis.formatter = NumeralTickFormatter(format="0")
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    plot.xgrid.grid_line_color = None
    add_hover(plot, [(unit, "@number"), (amount.label, f"@value{{{amount.hover}}}")], [dots])
    return plot


def _bounds(values: FloatArray, most: float | None) -> tuple[float, float]:
    """From zero, or below it for negative values, with some room above; scores go as far as they can."""
    low, high = min(0.0, 1.05 * float(values.min())), float(values.max())
    if most is not None:
        return low, most * 1.04
    return low, high * 1.15 or 1.0
