"""Clusters in the report: what is in each, how they match the classes, how the algorithm converged."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.convergence import objective_lines, ranked_dots
from fmnist_dask.report.page import (
    ORDER_CONVERGENCE,
    Block,
    Contribution,
    Figure,
    Grid,
    Section,
    Text,
)
from fmnist_dask.report.words import count
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.figures._cluster_report import cluster_report
from fmnist_dask.workflow.figures._clusters import ClusterTable
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext

MOST_STARTS = 12


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What the clusters are."""
    table = ClusterTable.of(dataset)
    return cluster_report(dataset, context, table, _convergence_section(dataset, table, context))


def _convergence_section(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> Section:
    histories = _histories(dataset)
    best = int(np.argmin([passes[-1] for passes in histories])) if histories else 0
    blocks: list[Block] = []
    charts = []
    if any(len(passes) > 1 for passes in histories):
        shown = sorted({best, *np.argsort([h[-1] for h in histories], kind="stable")[:MOST_STARTS].tolist()})
        caption = "Blue: the start that was taken." if len(histories) > 1 else ""
        of_all = f" The {len(shown)} best of {len(histories):,} are drawn." if len(shown) < len(histories) else ""
        lines = objective_lines([histories[at] for at in shown], shown.index(best), "pass over all images", "inertia")
        charts.append(Figure(lines, title="Inertia after each pass", caption=caption + of_all))
    starts = values(dataset, "start_inertia").astype(np.float64) if "start_inertia" in dataset else np.zeros(0)
    starts = starts[np.isfinite(starts)]
    if len(starts) > 1 and starts.any():
        subset = int(dataset.attrs.get("subset_rows") or 0)
        where = f"a random subset of {count(subset, 'image')}" if subset else "a random subset"
        charts.append(
            Figure(
                ranked_dots(starts, "start, best first", "inertia on the subset", "start"),
                title=f"{count(len(starts), 'start')} on {where}",
                caption="The best went on to passes over all images. Numbers are of the subset, in its main plane.",
            )
        )
    if charts:
        blocks.append(Grid(tuple(charts), min_width=400))
    else:
        blocks.append(Text("There is no more to draw: no start took more than one pass."))
    return Section(
        title=f"How it converged: clusters of {table.on}",
        short="Convergence",
        anchor="convergence",
        lead=_convergence_sentence(dataset, context, histories, best, len(starts)),
        basis=context_basis(context),
        blocks=tuple(blocks),
        order=ORDER_CONVERGENCE,
    )


def _histories(dataset: xarray.Dataset) -> list[FloatArray]:
    """Inertia of each start that went through full passes, without padding."""
    if "history" not in dataset or dataset["history"].ndim != 2:
        return []
    every = values(dataset, "history").astype(np.float64)
    return [row[np.isfinite(row)] for row in every if np.isfinite(row).any()]


def _convergence_sentence(
    dataset: xarray.Dataset, context: ReportContext, histories: list[FloatArray], best: int, starts: int
) -> str:
    iterations = context.metrics.get("n_iter", dataset.attrs.get("n_iter"))
    inertia = context.metrics.get("inertia")
    parts = []
    if iterations is not None:
        parts.append(f"Lloyd's iterations ended after {count(int(iterations), 'pass', 'passes')} over all images.")
    if inertia is not None:
        parts.append(f"The inertia, the sum of squared distances to the centres, is {float(inertia):,.2f}.")
    among = context.metrics.get("inertia_pixels")
    if among is not None:
        more = context.metrics.get("n_iter_pixels")
        went = f" They went on among pixels for {count(int(more), 'pass', 'passes')}." if more is not None else ""
        parts.append(f"{went} Among pixels, the inertia of the same clusters is {float(among):,.2f}.".strip())
    ends = [float(passes[-1]) for passes in histories]
    if len(ends) > 1 and ends[best] > 0:
        worst = max(ends) / ends[best] - 1
        told = f"{100 * worst:.2f} % above the best" if worst >= 5e-5 else "within 0.01 % of the best"
        who = f"Of {starts:,} starts, {len(ends):,} went" if starts > len(ends) else f"All {len(ends):,} starts went"
        parts.append(f"{who} through passes over all images; the worst of them ended {told}.")
    engine = str(dataset.attrs.get("engine") or "")
    if engine and engine != "fmnist-dask":
        parts.append(f"Engine: {engine}.")
    return " ".join(parts) or "How many passes it took is not recorded."
