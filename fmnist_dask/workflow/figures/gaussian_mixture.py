"""Mixtures of Gaussians in the report: what components hold, how they match the classes, how EM converged."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.convergence import objective_lines
from fmnist_dask.report.page import ORDER_CONVERGENCE, Block, Contribution, Figure, Section, Text
from fmnist_dask.report.words import count
from fmnist_dask.workflow.figures._cluster_report import cluster_report
from fmnist_dask.workflow.figures._clusters import ClusterTable
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What the components are."""
    table = ClusterTable.of(dataset, "a Gaussian mixture")
    return cluster_report(dataset, context, table, _convergence_section(dataset, table, context))


def _convergence_section(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> Section:
    history = values(dataset, "history").astype(np.float64)
    blocks: list[Block] = []
    if len(history) > 1:
        lines = objective_lines([history], 0, "pass over all images", "mean log-likelihood")
        blocks.append(Figure(lines, title="Log-likelihood before each pass"))
    else:
        blocks.append(Text("There is no more to draw: EM took one pass."))
    return Section(
        title=f"How it converged: clusters of {table.on}",
        short="Convergence",
        anchor="convergence",
        lead=_sentence(dataset, context, len(history)),
        basis=context_basis(context),
        blocks=tuple(blocks),
        order=ORDER_CONVERGENCE,
    )


def _sentence(dataset: xarray.Dataset, context: ReportContext, passes: int) -> str:
    subset = int(dataset.attrs.get("subset_rows") or 0)
    began = f"EM began on {count(subset, 'image')} and " if subset and subset < context.n_used else "EM "
    ended = "ended" if int(dataset.attrs.get("converged") or 0) else "was cut off"
    parts = [f"{began}{ended} after {count(passes, 'pass', 'passes')} over all images."]
    metrics = context.metrics
    if metrics.get("log_likelihood") is not None:
        parts.append(f"The mean log-likelihood of an image is {float(metrics['log_likelihood']):,.4f}.")
    if metrics.get("bic") is not None:
        parts.append(f"BIC {float(metrics['bic']):,.0f}, AIC {float(metrics['aic']):,.0f}: lower is better.")
    degenerate = np.flatnonzero(values(dataset, "degenerate"))
    if len(degenerate):
        which = ", ".join(map(str, degenerate[:10].tolist()))
        parts.append(
            f"Degenerate, of fewer than two images or without variance in some direction: {which}. Ask for fewer "
            "components, or increase reg_covar."
        )
    return " ".join(parts)
