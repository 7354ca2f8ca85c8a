"""A map of all images in a plane: a raster of cells in mixed colours, and some images as points above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import (
    BasicTicker,
    BooleanFilter,
    CDSView,
    ColumnDataSource,
    CustomJSHover,
    HoverTool,
    ImageURL,
    PanTool,
    Range1d,
    Rect,
    Text,
    WheelZoomTool,
)
from bokeh.plotting import figure

from fmnist_dask.collection.thumbnails import data_uri
from fmnist_dask.report.figures.categories import from_linear_rgb, linear_rgb
from fmnist_dask.report.figures.density import Layer
from fmnist_dask.report.figures.style import FONT, INK, add_hover, chart
from fmnist_dask.report.words import short
from fmnist_dask.typing import FloatArray, IntArray, UInt8Array

#: Least opacity of a cell that holds images; the fullest is opaque. On a log scale between.
FAINTEST = 0.45
#: Room that names take on a narrow page, as shares of the map's width and height.
NAME_WIDTH, NAME_HEIGHT = 0.26, 0.06
#: Proportions of the map: one unit is as long up as across, unless that would make a strip of it.
LEAST_ASPECT, MOST_ASPECT = 0.95, 1.4
#: How much closer one can look.
MOST_ZOOM = 400
#: Bokeh escapes what it puts in for names of columns; nothing else here comes from data.
TOOLTIP = (
    '<div style="display: flex; gap: 8px; align-items: center; max-width: 300px; font: 12px sans-serif">'
    '<img src="@sprite{custom}" alt="" style="width: 64px; height: auto; flex: none; image-rendering: pixelated">'
    "<div><b>row @row{0,0}</b>{lines}</div></div>"
)


@dataclass(frozen=True)
class Cells:
    """How many images of each group stand in each cell of a plane.

    Attributes
    ----------
    counts : int array, shape (groups, rows, columns)
        Row 0 has the lowest values.
    edges : float array, shape (2, 2)
        Low and high of x, and of y.
    """

    counts: IntArray
    edges: FloatArray

    def cropped(self) -> Cells:
        """Without the empty margins."""
        total = self.counts.sum(axis=0)
        edges = np.array(self.edges, dtype=np.float64)
        counts = self.counts
        for axis, used in ((1, total.any(axis=0)), (0, total.any(axis=1))):
            held = np.flatnonzero(used)
            if not len(held):
                return self
            first, last = max(0, held[0] - 1), min(len(used), held[-1] + 2)
            x_or_y = 1 - axis
            low, high = self.edges[x_or_y]
            edges[x_or_y] = low + (high - low) * np.array([first, last]) / len(used)
            counts = counts[:, :, first:last] if axis == 1 else counts[:, first:last]
        return Cells(counts, edges)

    def raster(self, colours: Sequence[str]) -> UInt8Array:
        """The cells as a picture (rows from the top, columns, red-green-blue-opacity).

        Light of the groups' colours is mixed by their shares of the cell; the more images, the more opaque.
        """
        total = self.counts.sum(axis=0)
        light = np.tensordot(self.counts, linear_rgb(colours), axes=(0, 0)) / np.maximum(total, 1)[..., None]
        full = np.log1p(total) / max(np.log1p(total.max(initial=0)), np.log1p(1))
        picture = np.zeros((*total.shape, 4), dtype=np.uint8)
        picture[..., :3] = from_linear_rgb(light)
        picture[..., 3] = np.rint(255 * np.where(total > 0, FAINTEST + (1 - FAINTEST) * full, 0))
        return np.ascontiguousarray(picture[::-1])

    def middles(self) -> FloatArray:
        """Medians of x and y of each group, to a cell; NaN for empty groups. Shape (groups, 2)."""
        found = np.full((len(self.counts), 2), np.nan)
        for at, table in enumerate(self.counts):
            for axis in (0, 1):
                along = table.sum(axis=axis)
                if along.any():
                    cell = int(np.searchsorted(along.cumsum(), along.sum() / 2))
                    low, high = self.edges[axis]
                    found[at, axis] = low + (high - low) * (cell + 0.5) / len(along)
        return found


@dataclass(frozen=True)
class MapColours:
    """How one map is coloured.

    Attributes
    ----------
    names, colours
        Of the groups of its cells.
    written
        Groups whose names stand on the map.
    field
        Column of the points' source with their colours.
    """

    names: Sequence[str]
    colours: Sequence[str]
    written: Sequence[int]
    field: str


@dataclass(frozen=True)
class Points:
    """Images that a map shows one by one.

    Attributes
    ----------
    source
        Columns x, y, row, sprite (positions in the sheet), the colours, those of ``lines``, and for each map of the
        page the group of each point. Maps of one page share it. Its tags hold what :meth:`Sprites.known` says.
    lines
        Columns of text to show on hover, one below the other.
    group
        Column of the groups.
    """

    source: ColumnDataSource
    lines: Sequence[str]
    group: str


def plane_map(
    cells: Cells,
    look: MapColours,
    points: Points | None,
    axes: tuple[str, str],
    apart: Sequence[Layer] = (),
    closer: Sequence[Layer] = (),
) -> figure:
    """Cells as a picture, names at their groups' medians, and points that show an image on hover.

    The page's script shows the finer layers and the images themselves to those who look closer, and hides groups. It
    finds them by their names: ``overview``, ``apart-<group>``, ``closer-<group>``, ``points``, ``images``, ``frames``,
    ``names``.

    Parameters
    ----------
    cells
        Cropped.
    axes
        Labels of x and y.
    apart
        Pictures of each group, of cells as large as these, for when some groups are hidden.
    closer
        Pictures of each group, of smaller cells, for those who look closer.
    """
    (left, right), (bottom, top) = cells.edges.tolist()
    across, up = right - left, top - bottom
    x_range = _range(left, right)
    y_range = _range(bottom, top)
    plot = chart(height=600, x_label=axes[0], y_label=axes[1], x_range=x_range, y_range=y_range)
    # Axes keep their width whatever their numbers are.
    plot.min_border_left = 62
    plot.sizing_mode = "scale_width"
    plot.aspect_ratio = float(np.clip(across / up, LEAST_ASPECT, MOST_ASPECT))
    picture = ColumnDataSource({"url": [data_uri(cells.raster(look.colours))]})
    place: dict[str, Any] = {"x": left, "y": top, "w": across, "h": up, "anchor": "top_left"}
    plot.add_glyph(picture, ImageURL(url="url", **place), name="overview")
    for kind, pictures in (("apart", apart), ("closer", closer)):
        for layer in pictures:
            one = ColumnDataSource({"url": [layer.uri]})
            place = {"x": layer.left, "y": layer.top, "w": layer.width, "h": layer.height, "anchor": "top_left"}
            plot.add_glyph(one, ImageURL(url="url", **place), name=f"{kind}-{layer.group}", visible=False)
    if points is not None and len(points.source.data["x"]):
        _add_points(plot, look, points)
    _write_names(plot, cells, look)
    for axis in plot.axis:
        axis.ticker = BasicTicker(desired_num_ticks=6)
    plot.grid.grid_line_color = None
    plot.outline_line_color = "#cbd2d9"
    # Neither is active: the page scrolls over the map until somebody takes hold of it.
    plot.add_tools(WheelZoomTool(), PanTool())
    plot.toolbar.active_scroll = plot.toolbar.active_drag = None
    return plot


def _range(low: float, high: float) -> Range1d:
    """Of an axis: the whole map, and no more than that at a time."""
    span = high - low
    return Range1d(low, high, bounds=(low - span, high + span), min_interval=span / MOST_ZOOM, max_interval=span)


def _add_points(plot: figure, look: MapColours, points: Points) -> None:
    """Dots, and places for thumbnails, which the page's script fills; both tell of an image on hover."""
    source = points.source
    dots = plot.scatter(
        "x",
        "y",
        source=source,
        size=5,
        fill_color={"field": look.field},
        line_color="white",
        line_width=0.5,
        view=CDSView(filter=BooleanFilter()),
        name="points",
    )
    dots.tags = [points.group]
    close = ColumnDataSource({name: [] for name in (*source.data, "url", "across", "up")})
    across: Any = {"field": "across", "units": "screen"}
    up: Any = {"field": "up", "units": "screen"}
    image = ImageURL(url="url", x="x", y="y", w=across, h=up, anchor="center")
    plot.add_glyph(close, image, name="images", visible=False)
    edge: Any = {"field": look.field}
    frame = Rect(x="x", y="y", width=across, height=up, fill_alpha=0, line_color=edge, line_width=2)
    frames = plot.add_glyph(close, frame, name="frames", visible=False)
    # The page's script puts its own function in place of this one: pages do not turn texts into code.
    cut = CustomJSHover(code="")
    tooltip = TOOLTIP.replace("{lines}", "".join(f"<br>@{line}" for line in points.lines))
    # Points lie one upon another; more pictures than these would cover the map. Older Bokehs show them all.
    few: dict[str, Any] = {"limit": 3} if "limit" in HoverTool.properties() else {}
    add_hover(plot, tooltip, [dots, frames], formatters={"@sprite": cut}, **few)


def _write_names(plot: figure, cells: Cells, look: MapColours) -> None:
    middles = cells.middles()
    shown = [at for at in look.written if np.isfinite(middles[at]).all()]
    if not shown:
        return
    low, span = cells.edges[:, 0], np.maximum(np.ptp(cells.edges, axis=1), 1e-12)
    at = spread_out((middles[shown] - low) / span) * span + low
    names = ColumnDataSource(
        {"x": at[:, 0], "y": at[:, 1], "text": [short(look.names[group], 14) for group in shown], "group": shown}
    )
    look_of_text: dict[str, Any] = {
        "text_align": "center",
        "text_baseline": "middle",
        "text_font": value(FONT),
        "text_font_size": "12px",
        "text_font_style": "bold",
        "text_color": INK,
        "background_fill_color": "white",
        "background_fill_alpha": 0.72,
        "border_radius": 3,
        "padding": 2,
    }
    view = CDSView(filter=BooleanFilter())
    plot.add_glyph(names, Text(x="x", y="y", text="text", **look_of_text), view=view, name="names")


def spread_out(places: FloatArray) -> FloatArray:
    """Places of names, moved up and down until none covers another, and none leaves the map.

    Parameters
    ----------
    places : float array, shape (names, 2)
        As shares of width and height.
    """
    result = np.array(places, dtype=np.float64)
    result[:, 0] = np.clip(result[:, 0], NAME_WIDTH / 2, 1 - NAME_WIDTH / 2)
    for _ in range(200):
        moved = False
        for one in range(len(result)):
            for other in range(one):
                across, up = result[one] - result[other]
                short_of = NAME_HEIGHT - abs(up)
                if abs(across) < NAME_WIDTH and short_of > 1e-9:
                    step = (short_of / 2 + 1e-6) * (1 if up >= 0 else -1)
                    result[one, 1] += step
                    result[other, 1] -= step
                    moved = True
        result[:, 1] = np.clip(result[:, 1], NAME_HEIGHT / 2, 1 - NAME_HEIGHT / 2)
        if not moved:
            break
    return result
