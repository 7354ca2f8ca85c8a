"""Spectral clusters in the report: what they hold, how they match the classes, the eigenvalues of the graph."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.convergence import objective_lines
from fmnist_dask.report.page import ORDER_CONVERGENCE, Contribution, Figure, Section
from fmnist_dask.report.words import count
from fmnist_dask.workflow.figures._cluster_report import cluster_report
from fmnist_dask.workflow.figures._clusters import ClusterTable
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext

#: Eigenvalues so near to 1 stand for parts of the graph that nothing joins.
APART = 1e-9


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What the clusters are."""
    table = ClusterTable.of(dataset, "spectral clustering")
    return cluster_report(dataset, context, table, _graph_section(dataset, table, context))


def _graph_section(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> Section:
    eigenvalues = values(dataset, "eigenvalues").astype(np.float64)
    attrs = dataset.attrs
    neighbours, landmarks = int(attrs.get("n_neighbors") or 0), int(attrs.get("n_landmarks") or 0)
    parts = int((eigenvalues > 1 - APART).sum())
    lead = (
        f"Each image is joined to the {count(neighbours, 'landmark')} nearest to it, of {landmarks:,}; clusters are "
        f"those of k-means among the {count(len(eigenvalues), 'leading eigenvector')} of the graph. "
    )
    lead += "All of it is joined." if parts <= 1 else f"It falls into {parts:,} parts or more that nothing joins."
    blocks = (
        Figure(
            objective_lines([eigenvalues], 0, "eigenvector", "eigenvalue"),
            title="Eigenvalues of the graph",
            caption="The nearer to 1, the less joins the two sides that an eigenvector tells apart.",
        ),
    )
    return Section(
        title=f"The graph: clusters of {table.on}",
        short="Graph",
        anchor="graph",
        lead=lead,
        basis=context_basis(context, exact=table.exact, inexact="approximate method"),
        blocks=blocks,
        order=ORDER_CONVERGENCE,
    )
