"""What all figures share: colours that colour-blind readers tell apart, fonts, a plain frame."""

from __future__ import annotations

from typing import Any

from bokeh.models import HoverTool, LinearColorMapper
from bokeh.palettes import Inferno256, Viridis256, interp_palette
from bokeh.plotting import figure

#: Okabe and Ito's colours without black, yellow and vermilion (that one is for what is wrong).
SPLIT_COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#7A7A7A")
WARN_COLOUR = "#D55E00"
INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
#: Brown to white to blue, told apart with any of the common colour blindnesses.
DIVERGING = interp_palette(("#8c2d04", "#e08a3c", "#f7f7f7", "#5b9bd0", "#08488e"), 255)


def split_colours(names: Any) -> dict[str, str]:
    """A colour for each split, always the same for the same position."""
    return {name: SPLIT_COLOURS[position % len(SPLIT_COLOURS)] for position, name in enumerate(names)}


def brightness_mapper() -> LinearColorMapper:
    """Colours of brightness: black 0 to bright yellow 1."""
    return LinearColorMapper(palette=Inferno256, low=0.0, high=1.0)


def spread_mapper() -> LinearColorMapper:
    """Colours of standard deviations of brightness, 0 to 0.5 (the largest possible)."""
    return LinearColorMapper(palette=Viridis256, low=0.0, high=0.5)


def difference_mapper(largest: float) -> LinearColorMapper:
    """Colours of differences, the same distance to both sides of zero."""
    limit = largest if largest > 0 else 1.0
    return LinearColorMapper(palette=list(DIVERGING), low=-limit, high=limit)


def chart(height: int, x_label: str, y_label: str, **options: Any) -> figure:
    """An empty chart as wide as its place, with labelled axes and no toolbar."""
    settings: dict[str, Any] = {
        "height": height,
        "width": 300,
        "sizing_mode": "stretch_width",
        "toolbar_location": None,
        "tools": "",
        "outline_line_color": None,
        "background_fill_color": None,
        "border_fill_color": None,
        "x_axis_label": x_label,
        "y_axis_label": y_label,
        "min_border_right": 12,
    }
    plot = figure(**settings, **options)
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = "#9aa5b1"
        axis.minor_tick_line_color = None
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = MUTED
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
    plot.grid.grid_line_color = GRID
    return plot


def add_hover(plot: Any, tooltips: list[tuple[str, str]] | str, renderers: Any = "auto", **options: Any) -> HoverTool:
    """Show values where the pointer is, as a table or in a template of HTML. Bokeh escapes the values."""
    hover = HoverTool(tooltips=tooltips, renderers=renderers, **options)
    plot.add_tools(hover)
    return hover


def legend_above(plot: figure) -> None:
    """Set the legend in a line above the frame, where it hides nothing."""
    legend = plot.legend[0]
    legend.orientation = "horizontal"
    legend.label_text_font = FONT
    legend.label_text_font_size = "12px"
    legend.label_text_color = INK
    legend.border_line_color = None
    legend.background_fill_color = None
    legend.update(padding=0, margin=0)
    legend.spacing = 14
    plot.add_layout(legend, "above")
