"""t-SNE in the report: the map, coloured by class and by each clustering, and how it converged."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.figures.convergence import objective_lines
from fmnist_dask.report.page import ORDER_MAP, Contribution, Figure, Section
from fmnist_dask.report.words import count
from fmnist_dask.workflow.figures._map import MapWords, plane_section
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Where images lie."""
    n, of = int(dataset.attrs["n"]), int(dataset.attrs["n_split"])
    on = str(dataset.attrs.get("on") or "pixels")
    space = {"pixels": "pixels", "embedding": "the embedding"}.get(on, f"the codes of {on}")
    chosen = f"{count(n, 'image')}" if n == of else f"a random sample of {n:,} of {count(of, 'image')}"
    split = "" if context.split == "all" else f" of the split {context.split}"
    words = MapWords(
        lead=(
            f"t-SNE lays {chosen}{split} so that those near each other among {space} stay together, about "
            f"{dataset.attrs['perplexity']:.3g} neighbours of each. Distances between groups, and how dense they are, "
            f"mean little.{_fitted(dataset)}{_quality(dataset, context)}"
        ),
        axes=("t-SNE 1", "t-SNE 2"),
        basis=f"{chosen}{split}, each in its cell; seeded",
        title="Map by t-SNE",
        short="t-SNE",
        anchor="tsne",
    )
    sections = [plane_section(dataset, n, context, words)]
    history = values(dataset, "history").astype(np.float64)
    if len(history) > 1:
        sections.append(_convergence(history, context))
    return Contribution(sections=tuple(sections))


def _fitted(dataset: xarray.Dataset) -> str:
    """Which images the map was fitted on."""
    n, landmarks = int(dataset.attrs["n"]), int(dataset.attrs.get("n_landmarks") or dataset.attrs["n"])
    if landmarks == n:
        return ""
    return (
        f" It was fitted on {count(landmarks, 'image')}; each of the other {n - landmarks:,} was placed by those "
        "nearest to it, and did not move any."
    )


def _quality(dataset: xarray.Dataset, context: ReportContext) -> str:
    """How well the map keeps neighbours."""
    parts = []
    trusted, accuracy = context.metrics.get("trustworthiness"), context.metrics.get("knn_accuracy")
    if trusted is not None:
        drawn = int(dataset.attrs.get("n_trusted") or 0)
        of = f", measured on {count(drawn, 'image')}" if drawn < int(dataset.attrs["n"]) else ""
        parts.append(
            f"Trustworthiness {float(trusted):.3f} (15 neighbours{of}; 1: none is there that does not belong)."
        )
    if accuracy is not None:
        voted = int(dataset.attrs.get("n_voted") or dataset.attrs["n"])
        whose = "the labelled images" if voted == int(dataset.attrs["n"]) else f"{voted:,} labelled images, at random"
        parts.append(f"Of {whose}, {100 * float(accuracy):.1f} % are of the class of most of their ten nearest.")
    return "".join(f" {part}" for part in parts)


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
