"""A map that was fitted on some images and on which others were placed: what is said of it by any method."""

from __future__ import annotations

from dataclasses import dataclass

import xarray

from fmnist_dask.report.page import Section
from fmnist_dask.report.words import count
from fmnist_dask.workflow.figures._map import MapWords, plane_section
from fmnist_dask.workflow.registry import ReportContext


@dataclass(frozen=True)
class Method:
    """How a map was made.

    Attributes
    ----------
    name
        As titles and axes have it.
    anchor
        Of its section.
    neighbours
        How many of them it keeps together.
    """

    name: str
    anchor: str
    neighbours: str


def landmark_map(dataset: xarray.Dataset, context: ReportContext, method: Method) -> Section:
    """The map, with which images it shows, how well it keeps neighbours, and what it was fitted on."""
    n, of = int(dataset.attrs["n"]), int(dataset.attrs["n_split"])
    on = str(dataset.attrs.get("on") or "pixels")
    space = {"pixels": "pixels", "embedding": "the embedding"}.get(on, f"the codes of {on}")
    chosen = f"{count(n, 'image')}" if n == of else f"a random sample of {n:,} of {count(of, 'image')}"
    split = "" if context.split == "all" else f" of the split {context.split}"
    words = MapWords(
        lead=(
            f"{method.name} lays {chosen}{split} so that those near each other among {space} stay together, "
            f"{method.neighbours}. Distances between groups, and how dense they are, "
            f"mean little.{_fitted(dataset)}{_quality(dataset, context)}"
        ),
        axes=(f"{method.name} 1", f"{method.name} 2"),
        basis=f"{chosen}{split}, each in its cell; seeded",
        title=f"Map by {method.name}",
        short=method.name,
        anchor=method.anchor,
    )
    return plane_section(dataset, n, context, words)


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
