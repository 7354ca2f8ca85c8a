"""Images of a map as points, and arrows from points to cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Text
from bokeh.plotting import figure

from fmnist_dask.report.figures.plane import spread_out
from fmnist_dask.report.figures.style import FONT, INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import AnyArray, FloatArray

#: Room beyond the unit square.
ROOM = 0.015


def _square() -> figure:
    plot = chart(height=600, x_label="", y_label="", x_range=(-ROOM, 1 + ROOM), y_range=(1 + ROOM, -ROOM))
    plot.sizing_mode = "scale_width"
    plot.aspect_ratio = 1.0
    plot.axis.visible = False
    plot.grid.grid_line_color = None
    plot.outline_line_color = "#cbd2d9"
    return plot


def place_scatter(
    points: FloatArray, rows: AnyArray, groups: Sequence[str], colours: Sequence[str], names: Sequence[str]
) -> figure:
    """Images as points, and the name of each group at its median.

    Parameters
    ----------
    points : float array, shape (m, 2)
        In the unit square, the second axis from the top.
    rows, groups, colours
        Of each image: what it is called and how it is drawn.
    names
        Groups to write on the map.
    """
    plot = _square()
    data = {"x": points[:, 0], "y": points[:, 1], "row": rows, "group": list(groups), "colour": list(colours)}
    drawn = plot.scatter(
        "x", "y", source=ColumnDataSource(data), size=5, fill_color="colour", line_color="white", line_width=0.4
    )
    add_hover(plot, [("row", "@row{0,0}"), ("class", "@group")], [drawn])
    of = np.array(groups, dtype=object)
    written = [name for name in names if (of == name).any()]
    if written:
        at = spread_out(np.array([np.median(points[of == name], axis=0) for name in written]))
        source = ColumnDataSource({"x": at[:, 0], "y": at[:, 1], "text": [short(name, 14) for name in written]})
        look: dict[str, Any] = {
            "text_align": "center", "text_baseline": "middle", "text_font": value(FONT), "text_font_size": "12px",
            "text_font_style": "bold", "text_color": INK, "background_fill_color": "white",
            "background_fill_alpha": 0.78, "border_radius": 3, "padding": 2,
        }  # fmt: skip
        plot.add_glyph(source, Text(x="x", y="y", text="text", **look))
    return plot


def moves(
    points: FloatArray, ends: FloatArray, rows: AnyArray, groups: Sequence[str], colours: Sequence[str]
) -> figure:
    """A line from each point to where its cell is, which a dot marks."""
    plot = _square()
    data = {
        "x": points[:, 0], "y": points[:, 1], "to_x": ends[:, 0], "to_y": ends[:, 1], "row": rows,
        "group": list(groups), "colour": list(colours),
    }  # fmt: skip
    source = ColumnDataSource(data)
    plot.segment("x", "y", "to_x", "to_y", source=source, line_color="colour", line_width=0.9, line_alpha=0.7)
    drawn = plot.scatter("to_x", "to_y", source=source, size=3.5, fill_color="colour", line_color=None)
    add_hover(plot, [("row", "@row{0,0}"), ("class", "@group")], [drawn])
    return plot
