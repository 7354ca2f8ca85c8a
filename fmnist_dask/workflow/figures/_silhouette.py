"""Silhouettes in the report."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.silhouettes import silhouette_outlines
from fmnist_dask.report.page import ORDER_SILHOUETTE, Figure, Section
from fmnist_dask.report.words import count, share
from fmnist_dask.workflow.figures._clusters import MOST_CLUSTERS, ClusterTable
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext


def silhouette_sections(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> list[Section]:
    """How well images fit their clusters; nothing where it was not measured."""
    if "silhouette" not in dataset or not dataset["silhouette"].size:
        return []
    fits = values(dataset, "silhouette").astype(np.float64)
    labels = values(dataset, "silhouette_label").astype(np.int64)
    of_cluster = values(dataset, "silhouette_of_cluster").astype(np.float64)
    interval = float(dataset["silhouette_interval"])
    mean = float(fits.mean())
    shown = table.held[:MOST_CLUSTERS]
    best, worst = int(np.nanargmax(of_cluster)), int(np.nanargmin(of_cluster))
    lead = (
        "A silhouette is near 1 where an image is much closer to its own cluster than to the next one, below 0 where "
        f"it is closer to another. The mean is {mean:.3f}"
    )
    lead += f" ± {interval:.3f} (95 %), of {count(len(fits), 'random image')} against all. " if interval else ". "
    lead += f"{share(int((fits < 0).sum()), len(fits))} of the images are closer to another cluster."
    if len(table.held) > 1:
        apart, mixed = f"{of_cluster[best]:.2f}", f"{of_cluster[worst]:.2f}"
        lead += f" Cluster {best} stands apart most ({apart}), cluster {worst} least ({mixed})."
    few = f" The {len(shown)} largest of {len(table.held):,} clusters." if len(shown) < len(table.held) else ""
    figure = Figure(
        silhouette_outlines(fits, labels, shown, mean),
        title="Silhouettes, the largest cluster first",
        caption=f"Each cluster's images, the best on top. Dashed: the mean.{few}",
    )
    return [
        Section(
            title=f"How well images fit: clusters of {table.on}",
            short="Silhouettes",
            anchor="silhouettes",
            lead=lead,
            basis=context_basis(context, exact=not interval),
            blocks=(figure,),
            order=ORDER_SILHOUETTE,
        )
    ]
