"""Colours of an image as points: two channels at a time, or in the plane of a map; levels of grey as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart
from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array

CHANNELS = ("red", "green", "blue")
#: Behind colours: neither white nor black points vanish.
BACKGROUND = "#d3d8de"
#: Diameters of points, in CSS pixels: of one pixel of the image, and of the colour that most pixels have.
LEAST_DOT, LARGEST_DOT = 3.5, 11.0


def hex_codes(colours: UInt8Array) -> list[str]:
    """Colours of shape (m, channel) as ``#rrggbb``; one channel is grey."""
    three = np.repeat(colours, 3, axis=1) if colours.shape[1] == 1 else colours[:, :3]
    return ["#" + bytes(row).hex() for row in np.ascontiguousarray(three)]


@dataclass(frozen=True)
class ColourPoints:
    """Colours as points that all figures of a page share.

    Attributes
    ----------
    source
        A row for each point.
    order : int array, shape (m,)
        Positions of the points among the colours that were given: frequent ones first, so that rare ones lie above.
    """

    source: ColumnDataSource
    order: IntArray

    @classmethod
    def of(cls, colours: UInt8Array, counts: IntArray, place: FloatArray | None) -> ColourPoints:
        """Points of colours.

        Parameters
        ----------
        colours : uint8 array, shape (m, 3)
        counts : int array, shape (m,)
            Pixels of each.
        place : float array, shape (m, 2)
            On a map; ``None`` for none.
        """
        order = np.argsort(-counts, kind="stable")
        weight = np.log1p(counts[order].astype(np.float64))
        size = LEAST_DOT + (LARGEST_DOT - LEAST_DOT) * (weight / max(weight.max(initial=0), np.log1p(2))) ** 2
        data: dict[str, Any] = {
            "own": hex_codes(colours[order]),
            "pixels": counts[order].astype(np.float64),
            "size": size.astype(np.float32),
            **{name: colours[order, at] for at, name in enumerate(CHANNELS)},
        }
        if place is not None:
            data |= {"x": place[order, 0].astype(np.float32), "y": place[order, 1].astype(np.float32)}
        return cls(ColumnDataSource(data), order)

    def add_clusters(self, at: int, labels: IntArray, colours: Sequence[str]) -> None:
        """Number and colour of each point's cluster by one method, in the order of the colours that were given."""
        self.source.add(labels[self.order].astype(np.int32), f"cluster_{at}")
        self.source.add([colours[one] for one in self.order.tolist()], f"colour_{at}")


def channel_plane(points: ColourPoints, across: str, up: str) -> figure:
    """Two channels of the colours, each point in its own colour."""
    ends = (-6, 261)
    plot = _square(across, up, x_range=ends, y_range=ends)
    plot.xaxis.ticker = plot.yaxis.ticker = [0, 51, 102, 153, 204, 255]
    drawn = _points(plot, points.source, across, up, "own")
    add_hover(plot, [("colour", "$color[hex, swatch]:own"), ("pixels", "@pixels{0,0}")], [drawn])
    return plot


def map_plane(points: ColourPoints, method: str, cluster: int | None) -> figure:
    """The plane of a map; points in their own colours, or in those of the clusters of one method."""
    x, y = (np.asarray(points.source.data[name], dtype=np.float64) for name in ("x", "y"))
    plot = _square(f"{method} 1", f"{method} 2", x_range=_ends(x), y_range=_ends(y))
    # As wide as maps with a legend beside them, so that nothing jumps when one is chosen.
    plot.max_width = 860
    lines = [("colour", "$color[hex, swatch]:own"), ("pixels", "@pixels{0,0}")]
    field = "own"
    if cluster is not None:
        field = f"colour_{cluster}"
        lines.append(("cluster", f"@cluster_{cluster} $color[swatch]:{field}"))
    drawn = _points(plot, points.source, "x", "y", field)
    add_hover(plot, lines, [drawn])
    return plot


def _square(x_label: str, y_label: str, **options: Any) -> figure:
    plot = chart(height=320, x_label=x_label, y_label=y_label, **options)
    plot.sizing_mode = "scale_width"
    plot.aspect_ratio = 1.05
    plot.background_fill_color = BACKGROUND
    plot.grid.grid_line_color = "#e4e7eb"
    return plot


def _points(plot: figure, source: ColumnDataSource, x: str, y: str, colour: str) -> Any:
    return plot.scatter(
        x, y, source=source, size="size", fill_color=colour, line_color="#1f2933", line_alpha=0.18, line_width=0.5
    )


def _ends(values: AnyArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.03 * (high - low) or 1.0
    return low - room, high + room


def level_bars(levels: IntArray, counts: IntArray, kept: IntArray) -> figure:
    """Pixels of each level of grey, each bar in its level, and lines at the levels that a palette has.

    Parameters
    ----------
    levels, counts : int array, shape (m,)
    kept : int array, shape (k,)
        Levels of the palette.
    """
    plot = chart(height=320, x_label="level of grey (0 black, 255 white)", y_label="pixels", x_range=(-2, 257))
    plot.y_range.start = 0
    plot.background_fill_color = BACKGROUND
    source = ColumnDataSource({"level": levels, "pixels": counts, "own": hex_codes(levels.astype(np.uint8)[:, None])})
    bars = plot.vbar("level", top="pixels", width=1.0, source=source, fill_color="own", line_color="own")
    for level in kept.tolist():
        line = {"line_color": "#d55e00", "line_dash": "dashed", "line_width": 1.5}
        plot.add_layout(Span(location=level, dimension="height", **line))
    plot.xaxis.ticker = [0, 51, 102, 153, 204, 255]
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.xgrid.grid_line_color = None
    add_hover(plot, [("level", "@level"), ("pixels", "@pixels{0,0}")], [bars], mode="vline")
    return plot
