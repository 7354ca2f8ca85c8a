"""Hierarchies in the report: the top of the tree, what clusters hold, how they match the classes."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.dendrograms import dendrogram
from fmnist_dask.report.page import ORDER_CONVERGENCE, Block, Contribution, Figure, Section, Text
from fmnist_dask.report.words import count
from fmnist_dask.workflow.figures._cluster_report import cluster_report
from fmnist_dask.workflow.figures._clusters import ClusterTable
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext

#: Branches at the bottom of the tree that is drawn, at least.
LEAVES = 30
MOST_LEAVES = 60


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What the clusters are, and how they merge."""
    table = ClusterTable.of(dataset, "Ward's method")
    return cluster_report(dataset, context, table, _tree_section(dataset, table, context))


def _tree_section(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> Section:
    linkage = values(dataset, "linkage").astype(np.float64)
    k, m = len(table.size), len(linkage) + 1
    exact = bool(dataset.attrs.get("exact"))
    below = f"{count(m, 'image')}" if exact else f"{count(m, 'small cluster')} of k-means, which count by their images"
    lead = f"Ward's method has merged {below}, two at a time, those first that lie closest for their sizes."
    blocks: list[Block] = []
    if m > 1:
        height = None
        if 1 < k < m:
            below_cut, above = linkage[m - k - 1, 2], linkage[m - k, 2]
            height = float(below_cut + above) / 2
            ratio = f" The next merger would be at {above:.4g}, the last was at {below_cut:.4g}."
            lead += f" It is cut where there are {count(k, 'cluster')}.{ratio}"
        leaves = min(max(LEAVES, k), MOST_LEAVES, m)
        groups = values(dataset, "micro_cluster_of").astype(np.int64)
        title = f"The last {count(leaves - 1, 'merger')}" if leaves < m else "All mergers"
        caption = "Below each branch: the cluster that it belongs to. Dashed: where the tree is cut."
        blocks.append(Figure(dendrogram(linkage, leaves, height, groups), title=title, caption=caption))
    else:
        blocks.append(Text("There is nothing to merge."))
    return Section(
        title=f"How clusters merge: clusters of {table.on}",
        short="Hierarchy",
        anchor="hierarchy",
        lead=lead,
        basis=context_basis(context, exact=table.exact, inexact="approximate method"),
        blocks=tuple(blocks),
        order=ORDER_CONVERGENCE,
    )
