"""Per-pixel statistics as panels of colour, side by side on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import (
    ColumnDataSource,
    Image,
    ImageRGBA,
    LinearColorMapper,
    NumeralTickFormatter,
    Plot,
    Range1d,
    Text,
)
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import FONT, MUTED, add_hover, chart
from fmnist_dask.typing import AnyArray, FloatArray

#: Longer sides are reduced to about this many cells: more cannot be seen, and would only make the file large.
PANEL_SIDE = 64


@dataclass(frozen=True)
class Panel:
    """One heatmap.

    Attributes
    ----------
    label
        Below the panel, and beside its value when the pointer is on a pixel.
    values : float array, shape (y, x) or (y, x, channel)
        Brightness, 0 to 1. Three channels are drawn as a picture in its colours, others by their mean.
    mapper
        Colours; panels that are compared share one.
    as_picture
        Draw three channels in their colours.
    """

    label: str
    values: FloatArray
    mapper: LinearColorMapper
    as_picture: bool = True


def panels(parts: Sequence[Panel], text_share: float = 0.2) -> Plot:
    """Panels side by side. The pointer on a pixel shows column, row and the value in every panel.

    Parameters
    ----------
    parts
        Panels of one shape.
    text_share
        Room for the labels below, in heights of a panel. Labels stand inside the frame, so that nothing but the image's
        own sides decides the proportions, and pixels are square at any width.
    """
    height, width = parts[0].values.shape[:2]
    gap = max(1.0, 0.06 * width)
    across = len(parts) * width + (len(parts) - 1) * gap
    down = height + max(text_share * height, 0.001)
    plot = Plot(
        x_range=Range1d(start=-0.5, end=across - 0.5),
        y_range=Range1d(start=down - 0.5, end=-0.5),
        width=300,
        height=100,
        sizing_mode="scale_width",
        aspect_ratio=across / down,
        toolbar_location=None,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
        min_border=0,
    )
    rows, columns = (np.rint(reduce_mean(index)).astype(np.int32) for index in np.indices((height, width)))
    data: dict[str, Any] = {"row": [rows], "column": [columns]}
    source = ColumnDataSource()
    tooltips = [("column, row", "@column, @row")]
    for position, part in enumerate(parts):
        key = f"panel_{position}"
        place: dict[str, Any] = {"x": position * (width + gap) - 0.5, "y": -0.5, "dw": width, "dh": height}
        data[key] = [reduce_mean(_gray(part.values)).astype(np.float32)]
        tooltips.append((part.label, f"@{key}{{0.000}}"))
        if part.as_picture and part.values.ndim == 3 and part.values.shape[-1] == 3:
            data[f"{key}_colour"] = [_rgba(part.values)]
            plot.add_glyph(source, ImageRGBA(image=f"{key}_colour", **place))
        else:
            plot.add_glyph(source, Image(image=key, color_mapper=part.mapper, **place))
    source.data = data
    _write_labels(plot, [position * (width + gap) + (width - 1) / 2 for position in range(len(parts))], height, parts)
    add_hover(plot, tooltips, list(plot.renderers[: len(parts)]))
    return plot


def _write_labels(plot: Plot, centres: list[float], height: int, parts: Sequence[Panel]) -> None:
    labels = ColumnDataSource({"x": centres, "y": [height - 0.5] * len(parts), "text": [part.label for part in parts]})
    glyph = Text(
        x="x",
        y="y",
        text="text",
        text_align="center",
        text_baseline="top",
        y_offset=4,
        text_font=value(FONT),
        text_font_size="12px",
        text_color=MUTED,
    )
    plot.add_glyph(labels, glyph)


def colour_bar(mapper: LinearColorMapper, label: str) -> figure:
    """The scale of a colour mapper, lying, with its unit below."""
    low, high = float(mapper.low or 0.0), float(mapper.high or 1.0)
    plot = chart(height=64, x_label=label, y_label="", x_range=(low, high), y_range=(0, 1))
    plot.yaxis.visible = False
    plot.grid.grid_line_color = None
    plot.min_border_left = 12
    ramp = np.linspace(low, high, 256, dtype=np.float32)[None]
    place: dict[str, Any] = {"x": low, "y": 0, "dw": high - low, "dh": 1}
    plot.add_glyph(ColumnDataSource({"ramp": [ramp]}), Image(image="ramp", color_mapper=mapper, **place))
    parts = 4 if low < 0 else 5  # a scale of differences has a tick at zero
    plot.xaxis.ticker = [low + (high - low) * part / parts for part in range(parts + 1)]
    plot.xaxis.formatter = NumeralTickFormatter(
        format="0.[00]" if high - low > 0.1 else "0.000" if high - low > 0.01 else "0.0000"
    )
    return plot


def reduction_factor(shape: tuple[int, ...], side: int = PANEL_SIDE) -> int:
    """Rows and columns that one cell of a panel stands for."""
    return max(1, -(-max(shape) // side))


def reduce_mean(values: AnyArray, side: int = PANEL_SIDE) -> FloatArray:
    """Means over square blocks of a (y, x, …) array, so that neither side is longer than ``side``.

    Rows and columns that do not fill a block join the last one.
    """
    factor = reduction_factor(values.shape[:2], side)
    result: FloatArray = np.asarray(values, dtype=np.float64)
    if factor <= 1:
        return result
    for axis in (0, 1):
        starts = np.arange(0, max(1, values.shape[axis] - factor + 1), factor)
        sizes = np.diff(np.r_[starts, values.shape[axis]])
        counted = sizes.reshape([-1 if at == axis else 1 for at in range(result.ndim)])
        result = np.add.reduceat(result, starts, axis=axis) / counted
    return result


def _gray(values: FloatArray) -> FloatArray:
    return values if values.ndim == 2 else values.mean(axis=-1)


def _rgba(values: FloatArray) -> AnyArray:
    """Colours as Bokeh wants them: one 32-bit word a pixel."""
    small = reduce_mean(values)
    bytes_ = np.full((*small.shape[:2], 4), 255, dtype=np.uint8)
    bytes_[..., :3] = np.rint(np.clip(small, 0, 1) * 255)
    packed: AnyArray = bytes_.view(np.uint32)[..., 0]
    return packed
