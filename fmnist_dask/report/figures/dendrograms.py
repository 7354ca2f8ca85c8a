"""Hierarchies of clusters."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart
from fmnist_dask.typing import FloatArray, IntArray

BRANCH_COLOUR, CUT_COLOUR = "#0072B2", "#D55E00"


def dendrogram(linkage: FloatArray, leaves: int, height: float | None, clusters: IntArray) -> figure:
    """The top of a hierarchy, down to so many leaves.

    Parameters
    ----------
    linkage : float64 array, shape (m − 1, 4)
        As SciPy has it.
    leaves
        Branches at the bottom.
    height
        Where it is cut, between two mergers; drawn as a line.
    clusters : int64 array, shape (m,)
        Cluster of each point.
    """
    from scipy.cluster.hierarchy import dendrogram as layout

    m = len(linkage) + 1
    leaves = min(leaves, m)
    found = layout(_counting_points(linkage), p=leaves, truncate_mode="lastp", no_plot=True)
    first, size = _first_points(linkage), np.concatenate([np.full(m, np.nan), linkage[:, 3]])
    plot = chart(height=340, x_label="cluster", y_label="distance", x_range=(0, 10 * leaves))
    plot.multi_line(
        [np.asarray(xs) for xs in found["icoord"]],
        [np.asarray(ys) for ys in found["dcoord"]],
        line_color=BRANCH_COLOUR,
        line_width=1.5,
    )
    ticks = [5.0 + 10 * position for position in range(leaves)]
    below = [int(node) for node in found["leaves"]]
    names = [str(int(clusters[first[node]])) for node in below]
    source = ColumnDataSource(
        {
            "x": ticks,
            "y": [0.0] * leaves,
            "cluster": names,
            "size": ["one" if np.isnan(size[node]) else f"{size[node]:,.0f}" for node in below],
        }
    )
    dots = plot.scatter("x", "y", source=source, size=6, fill_color=BRANCH_COLOUR, line_color="white")
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = dict(zip(ticks, names, strict=True))
    plot.xgrid.grid_line_color = None
    plot.y_range.start = 0
    if height is not None:
        line = Span(location=height, dimension="width", line_color=CUT_COLOUR, line_dash="dashed", line_width=1.5)
        plot.add_layout(line)
    add_hover(plot, [("cluster", "@cluster"), ("images", "@size")], [dots])
    return plot


def _counting_points(linkage: FloatArray) -> FloatArray:
    """The same, with points counted as one each, which SciPy insists on."""
    m = len(linkage) + 1
    counts = np.ones(2 * m - 1)
    for step, (one, other) in enumerate(linkage[:, :2].astype(np.int64)):
        counts[m + step] = counts[one] + counts[other]
    return np.column_stack([linkage[:, :3], counts[m:]])


def _first_points(linkage: FloatArray) -> IntArray:
    """A point of each cluster of the hierarchy, single points first."""
    m = len(linkage) + 1
    first = np.arange(2 * m - 1)
    for step, one in enumerate(linkage[:, 0].astype(np.int64)):
        first[m + step] = first[one]
    return first
