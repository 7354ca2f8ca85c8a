"""t-SNE in the report: the map, coloured by class and by each clustering, and how it converged."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.convergence import objective_lines
from fmnist_dask.report.page import ORDER_MAP, Contribution, Figure, Section
from fmnist_dask.workflow.figures._landmark_map import Method, landmark_map
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Where images lie."""
    perplexity = float(dataset.attrs["perplexity"])
    method = Method("t-SNE", "tsne", f"about {perplexity:.3g} neighbours of each")
    sections = [landmark_map(dataset, context, method)]
    history = values(dataset, "history").astype(np.float64)
    if len(history) > 1:
        sections.append(_convergence(history, context))
    return Contribution(sections=tuple(sections))


def _convergence(history: np.ndarray, context: ReportContext) -> Section:
    last = context.metrics.get("kl_divergence")
    told = "" if last is None else f" It ended at {float(last):.3f}."
    return Section(
        title="How the t-SNE converged",
        short="Convergence",
        anchor="tsne-convergence",
        lead=f"The divergence of neighbourhoods on the map from those among features, which t-SNE makes small.{told}",
        blocks=(
            Figure(
                objective_lines([history[:, 1]], 0, "steps of 50 iterations", "Kullback–Leibler divergence"),
                caption="Affinities are exaggerated at first, which makes the divergence larger.",
            ),
        ),
        order=ORDER_MAP + 1,
    )
