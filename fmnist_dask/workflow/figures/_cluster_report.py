"""What all ways to cluster show, and in which order."""

from __future__ import annotations

import xarray

from fmnist_dask.report.page import Contribution, Section
from fmnist_dask.workflow.figures._clusters import ClusterTable, card, clusters_section
from fmnist_dask.workflow.figures._composition import composition_section
from fmnist_dask.workflow.figures._silhouette import silhouette_sections
from fmnist_dask.workflow.registry import ReportContext


def cluster_report(
    dataset: xarray.Dataset, context: ReportContext, table: ClusterTable, method: Section
) -> Contribution:
    """Clusters, classes, silhouettes, and what is of the method alone."""
    sections = [clusters_section(dataset, table, context)]
    if table.composition is not None:
        sections.append(composition_section(table.classes, table.composition, table.size, table.on, context))
    sections += silhouette_sections(dataset, table, context)
    return Contribution(cards=(card(dataset, table),), sections=(*sections, method))
