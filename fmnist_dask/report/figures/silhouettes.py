"""How well the samples of each cluster fit it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Span
from bokeh.plotting import figure

from fmnist_dask.report.figures.style import add_hover, chart
from fmnist_dask.typing import FloatArray, IntArray

#: Points of the outline of a cluster.
OUTLINE = 120
#: Share of the height that stands between clusters, together.
GAPS = 0.12
COLOURS = ("#0072B2", "#56B4E9")


def silhouette_outlines(values: FloatArray, labels: IntArray, order: Sequence[int], mean: float) -> figure:
    """Sorted silhouettes of each cluster, one below the other, as high as clusters are large.

    Parameters
    ----------
    values : float64 array, shape (m,)
        Silhouettes of samples.
    labels : int64 array, shape (m,)
        Their clusters.
    order
        Clusters, from the top.
    mean
        Of all; drawn as a line.
    """
    sizes = np.array([int((labels == at).sum()) for at in order], dtype=np.float64)
    heights = (1 - GAPS) * sizes / max(sizes.sum(), 1)
    gap = GAPS / max(len(order), 1)
    low = min(0.0, float(values.min(initial=0.0)))
    plot = chart(
        height=max(340, 26 * len(order)),
        x_label="silhouette",
        y_label="cluster",
        x_range=(low - 0.02, max(float(values.max(initial=0.1)), mean) + 0.02),
        y_range=(1.0, 0.0),
    )
    top, marks, names, bands = 0.0, [], {}, []
    for position, (at, height, size) in enumerate(zip(order, heights.tolist(), sizes.tolist(), strict=True)):
        top += gap
        mine = np.sort(values[labels == at])[::-1]
        if len(mine):
            drawn = np.quantile(mine, np.linspace(1, 0, min(OUTLINE, len(mine)))) if len(mine) > 1 else mine.repeat(2)
            edge = top + np.linspace(0, height, len(drawn))
            source = ColumnDataSource(
                {
                    "x": np.concatenate([[0.0], drawn, [0.0]]),
                    "y": np.concatenate([[edge[0]], edge, [edge[-1]]]),
                    "cluster": [str(at)] * (len(drawn) + 2),
                    "size": [f"{int(size):,}"] * (len(drawn) + 2),
                    "mean": [f"{mine.mean():.3f}"] * (len(drawn) + 2),
                }
            )
            colour = COLOURS[position % 2]
            plot.patch("x", "y", source=source, fill_color=colour, line_color=colour, line_width=1)
            bands.append(plot.scatter("x", "y", source=source, size=4, alpha=0))
        marks.append(top + height / 2)
        names[top + height / 2] = str(at)
        top += height
    plot.yaxis.ticker = FixedTicker(ticks=marks)
    plot.yaxis.major_label_overrides = {mark: name for mark, name in names.items()}
    plot.ygrid.grid_line_color = None
    plot.add_layout(Span(location=mean, dimension="height", line_color="#D55E00", line_dash="dashed", line_width=1.5))
    add_hover(plot, [("cluster", "@cluster"), ("images measured", "@size"), ("mean", "@mean")], bands)
    return plot
