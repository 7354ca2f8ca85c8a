"""What a whole is shared among: a bar of parts for each of several things, its name above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Text
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import FONT, INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import FloatArray

#: Pixels of one row: a line of text, and the bar below it.
ROW = 46
#: Letters of a name that stand in a line on a narrow page.
NAME_LENGTH = 44


@dataclass(frozen=True)
class Part:
    """One of the parts, and how it is drawn."""

    name: str
    colour: str


def share_bars(
    names: Sequence[str],
    texts: Sequence[str],
    amounts: FloatArray,
    written: Sequence[Sequence[str]],
    parts: Sequence[Part],
    x_label: str,
) -> figure:
    """A bar for each name from the top, as long as the others, divided into its parts.

    Parameters
    ----------
    names, texts
        What a bar is of, and what stands behind that above the bar, such as the amount of the whole.
    amounts : float64 array, shape (names, parts)
        Not below zero; rows of zeros have no bar.
    written
        The amounts in words.
    """
    rows = len(names)
    plot = chart(height=60 + ROW * rows, x_label=x_label, y_label="", x_range=(0, 1), y_range=(rows, 0))
    shares = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    right = shares.cumsum(axis=1)
    at_row, at_part = np.nonzero(shares)
    rows_of, parts_of = at_row.tolist(), at_part.tolist()
    source = ColumnDataSource(
        {
            "y": at_row + 0.68,
            "left": (right - shares)[at_row, at_part],
            "right": right[at_row, at_part],
            "share": shares[at_row, at_part],
            "amount": [written[row][part] for row, part in zip(rows_of, parts_of, strict=True)],
            "name": [names[row] for row in rows_of],
            "part": [parts[part].name for part in parts_of],
            "colour": [parts[part].colour for part in parts_of],
        }
    )
    look: dict[str, Any] = {"height": 0.46, "fill_color": "colour", "line_color": "white", "line_width": 0.5}
    bars = plot.hbar(y="y", left="left", right="right", source=source, **look)
    labels = ColumnDataSource(
        {
            "x": np.zeros(rows),
            "y": np.arange(rows) + 0.4,
            "text": [f"{short(name, NAME_LENGTH)}, {text}" for name, text in zip(names, texts, strict=True)],
        }
    )
    letters: dict[str, Any] = {"text_font": value(FONT), "text_font_size": "12px", "text_color": INK}
    plot.add_glyph(labels, Text(x="x", y="y", text="text", text_baseline="bottom", **letters))
    plot.yaxis.visible = False
    plot.grid.grid_line_color = None
    plot.xaxis.ticker = FixedTicker(ticks=[0, 0.25, 0.5, 0.75, 1])
    plot.xaxis.formatter = NumeralTickFormatter(format="0 %")
    add_hover(plot, [("", "@name"), ("", "@part"), ("amount", "@amount"), ("share", "@share{0.0 %}")], [bars])
    return plot
