"""Distributions of pixel values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, NumeralTickFormatter
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart, legend_above, split_colours
from fmnist_dask.typing import FloatArray, IntArray

LEVELS = 256


def value_histogram(
    overall: IntArray,
    by_split: Mapping[str, IntArray] | None = None,
    overall_name: str = "all",
    colours: Mapping[str, str] | None = None,
) -> figure:
    """Share of the pixels that have each value, on a logarithmic axis: the background alone often has half of them.

    Parameters
    ----------
    overall : int64 array, shape (256,)
        Drawn as an area.
    by_split
        Drawn as steps, each in the share of its own split, so that splits of any size can be compared.
    colours
        Of the splits; by default by position.
    """
    shares = {name: shares_of(counts) for name, counts in (by_split or {}).items()}
    whole = shares_of(overall)
    positive = np.concatenate([part[part > 0] for part in (whole, *shares.values())])
    bottom = float(positive.min()) / 2 if len(positive) else 1e-6
    top = max(float(positive.max()) * 1.6 if len(positive) else 1.0, bottom * 20)
    plot = chart(
        height=320,
        x_label="pixel value (0 black, 255 white)",
        y_label="share of pixels, log scale",
        y_axis_type="log",
        y_range=(bottom, top),
        x_range=(-1.5, LEVELS + 0.5),
    )
    values = np.arange(LEVELS)
    area = ColumnDataSource(
        {
            "value": values,
            "left": values - 0.5,
            "right": values + 0.5,
            "share": whole,
            # Values that no pixel has get no height; on a logarithmic axis that is the bottom.
            "top": np.maximum(whole, bottom),
            "count": overall,
        }
    )
    bars = plot.quad(
        left="left", right="right", bottom=bottom, top="top", source=area, fill_color="#cbd2d9", line_color=None,
        legend_label=overall_name,
    )  # fmt: skip
    dashes = ("solid", "dashed", "dotted", "dotdash", "dashdot")
    for position, name in enumerate(shares):
        colour = (colours or split_colours(shares))[name]
        height = np.where(shares[name] > 0, shares[name], np.nan)
        steps = ColumnDataSource({"value": values, "share": height})
        look: dict[str, Any] = {"line_color": colour, "line_width": 2, "line_dash": dashes[position % len(dashes)]}
        plot.step("value", "share", source=steps, mode="center", legend_label=name, **look)
    plot.yaxis.formatter = NumeralTickFormatter(format="0.[00000] %")
    plot.xaxis.ticker = [0, 51, 102, 153, 204, 255]
    add_hover(
        plot, [("value", "@value"), ("share", "@share{0.000 %}"), ("pixels", "@count{0,0}")], [bars], mode="vline"
    )
    legend_above(plot)
    return plot


def shares_of(counts: IntArray) -> FloatArray:
    """Counts as parts of their sum; zeros for no counts."""
    result: FloatArray = counts / max(1, int(counts.sum()))
    return result
