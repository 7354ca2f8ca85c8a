"""A sweep over numbers of clusters in the report: each score by the number, and what they suggest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.report.figures.k_curves import Curve, curves_over_k
from fmnist_dask.report.page import (
    ORDER_CLUSTERS,
    Block,
    Card,
    Contribution,
    Figure,
    Grid,
    Section,
    Table,
)
from fmnist_dask.report.words import count, listing
from fmnist_dask.typing import FloatArray, IntArray
from fmnist_dask.workflow.figures._clusters import clustered
from fmnist_dask.workflow.figures._text import context_basis, values
from fmnist_dask.workflow.registry import ReportContext


@dataclass(frozen=True)
class _Score:
    """How a score is shown.

    Attributes
    ----------
    suggests
        What speaks for a number of clusters, as in "suggest: 8 by …".
    """

    name: str
    title: str
    label: str
    caption: str
    hover: str
    suggests: str


SCORES = (
    _Score(
        "inertia",
        "Inertia",
        "inertia",
        "Sum of squared distances to the centres. More clusters always make it smaller. Marked: where the curve bends, "
        "farthest below the line between its ends.",
        "0,0.00",
        "the bend of the inertia",
    ),
    _Score(
        "silhouette",
        "Silhouette: higher is better",
        "mean silhouette",
        "How much closer images are to their own cluster than to the next one.",
        "0.0000",
        "the highest silhouette",
    ),
    _Score(
        "davies_bouldin",
        "Davies-Bouldin: lower is better",
        "Davies-Bouldin index",
        "How wide clusters are beside the distance to the one they are most easily taken for.",
        "0.0000",
        "the lowest Davies-Bouldin index",
    ),
    _Score(
        "calinski_harabasz",
        "Calinski-Harabasz: higher is better",
        "Calinski-Harabasz index",
        "Variance between clusters over variance within them.",
        "0,0.0",
        "the highest Calinski-Harabasz index",
    ),
    _Score("bic", "", "", "", "0,0", "the lowest BIC of a Gaussian mixture"),
)


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Scores by number of clusters."""
    ks = values(dataset, "k").astype(np.int64)
    blocks: list[Block] = []
    charts = [_chart(dataset, ks, score) for score in SCORES if score.title and _known(dataset, score.name)]
    if _known(dataset, "bic"):
        charts.append(_criteria(dataset, ks))
    if len(ks) > 1:
        blocks.append(Grid(tuple(charts), min_width=330))
    blocks.append(_table(dataset, ks))
    section = Section(
        title=f"How many clusters of {clustered(dataset)}",
        short="How many clusters",
        anchor="how-many-clusters",
        lead=_lead(dataset, ks),
        basis=context_basis(context, exact=True, note=_sampled(dataset)),
        blocks=tuple(blocks),
        order=ORDER_CLUSTERS - 5,
    )
    card = _card(dataset, section.anchor)
    return Contribution(cards=() if card is None else (card,), sections=(section,))


def _known(dataset: xarray.Dataset, name: str) -> bool:
    return bool(np.isfinite(_curve(dataset, name)).any())


def _curve(dataset: xarray.Dataset, name: str) -> FloatArray:
    found: FloatArray = values(dataset, name).astype(np.float64)
    return found


def _best(dataset: xarray.Dataset, name: str) -> int | None:
    found = dataset.attrs.get("best_elbow" if name == "inertia" else f"best_{name}")
    return None if found is None else int(found)


def _sampled(dataset: xarray.Dataset) -> str:
    half = _curve(dataset, "silhouette_interval")
    if not np.nan_to_num(half).any():
        return ""
    return f"(silhouettes of {count(int(dataset.attrs['silhouette_rows']), 'random image')} against all)"


def _chart(dataset: xarray.Dataset, ks: IntArray, score: _Score) -> Figure:
    half = _curve(dataset, "silhouette_interval") if score.name == "silhouette" else None
    caption = score.caption
    if half is not None and np.nan_to_num(half).any():
        caption += " Shaded: 95 % confidence."
    curve = Curve(score.label, _curve(dataset, score.name), half, _best(dataset, score.name))
    return Figure(curves_over_k(ks, [curve], score.label, score.hover), title=score.title, caption=caption)


def _criteria(dataset: xarray.Dataset, ks: IntArray) -> Figure:
    kind = "full covariances" if dataset.attrs["mixture"] == "full" else "diagonal covariances"
    curves = [
        Curve(name.upper(), _curve(dataset, name), best=_best(dataset, "bic") if name == "bic" else None)
        for name in ("bic", "aic")
    ]
    return Figure(
        curves_over_k(ks, curves, "criterion", "0,0"),
        title="BIC and AIC: lower is better",
        caption=f"Of a Gaussian mixture with {kind} and as many components.",
    )


def _lead(dataset: xarray.Dataset, ks: IntArray) -> str:
    if len(ks) < 2:
        return f"Only {count(int(ks[0]), 'cluster was', 'clusters were')} asked for: there is nothing to compare."
    by: dict[int, list[str]] = {}
    for score in SCORES:
        best = _best(dataset, score.name)
        if best is not None:
            by.setdefault(best, []).append(score.suggests)
    if not by:
        return "No score tells these numbers of clusters apart."
    told = [f"{number} by {listing(reasons)}" for number, reasons in sorted(by.items())]
    lead = f"{'The scores suggest' if len(by) > 1 else 'All scores suggest'} {'; '.join(told)}. "
    if len(by) > 1:
        lead += "They ask for different things, and here they do not agree: none of them is the truth. "
    # No score is defined for less than 2.
    ends = sorted(set(by) & {int(ks[-1]), *([int(ks[0])] if ks[0] > 2 else [])})
    if ends:
        lead += (
            f"{listing(map(str, ends))} {'is' if len(ends) == 1 else 'are'} at the end of what was tried: the best "
            "number may lie beyond. "
        )
    return lead + _ties(dataset, ks) + _gaps(dataset, ks)


def _gaps(dataset: xarray.Dataset, ks: IntArray) -> str:
    """Numbers of clusters of which some are empty, or that have no mixture."""
    text = ""
    empty = ks[values(dataset, "n_empty") > 0]
    if len(empty):
        text += f" Of {listing(map(str, empty.tolist()))} clusters some are empty: too few images differ."
    missing = ks[~np.isfinite(_curve(dataset, "bic"))]
    if len(missing) and dataset.attrs["mixture"] != "none":
        text += f" Mixtures of {listing(map(str, missing.tolist()))} components collapsed, and have no BIC."
    return text


def _ties(dataset: xarray.Dataset, ks: IntArray) -> str:
    """Numbers whose silhouettes cannot be told from the best within their intervals."""
    fit, half = _curve(dataset, "silhouette"), _curve(dataset, "silhouette_interval")
    best = _best(dataset, "silhouette")
    if best is None or not np.nan_to_num(half).any():
        return ""
    at = int(np.flatnonzero(ks == best)[0])
    near = [int(k) for k, value, width in zip(ks, fit, half, strict=True) if value + width >= fit[at] - half[at]]
    others = [str(k) for k in near if k != best]
    return f"Silhouettes of {listing(others)} are within the uncertainty of that of {best}." if others else ""


def _card(dataset: xarray.Dataset, anchor: str) -> Card | None:
    best = _best(dataset, "silhouette")
    name = "silhouette"
    if best is None:
        best, name = _best(dataset, "inertia"), "inertia"
    if best is None:
        return None
    others = {_best(dataset, score.name) for score in SCORES if score.name != name} - {None, best}
    label = "clusters have the highest silhouette" if name == "silhouette" else "clusters by the bend of the inertia"
    note = f"Other scores suggest {listing(map(str, sorted(o for o in others if o is not None)))}." if others else ""
    return Card(value=str(best), label=label, note=note, link=anchor, order=ORDER_CLUSTERS - 5)


def _table(dataset: xarray.Dataset, ks: IntArray) -> Table:
    half = _curve(dataset, "silhouette_interval")
    shown = [score for score in SCORES if _known(dataset, score.name)]
    heads = {"davies_bouldin": "Davies-Bouldin", "calinski_harabasz": "Calinski-Harabasz", "bic": "BIC"}
    head = ["clusters", *(heads.get(score.name, score.name) for score in shown)]
    if _known(dataset, "aic"):
        head.append("AIC")
    rows = []
    for at, k in enumerate(ks.tolist()):
        cells = [f"{k:,}"]
        for score in shown:
            cells.append(_cell(_curve(dataset, score.name)[at], score.name))
            if score.name == "silhouette" and half[at] > 0:
                cells[-1] += f" ± {half[at]:.3f}"
        if _known(dataset, "aic"):
            cells.append(_cell(_curve(dataset, "aic")[at], "aic"))
        rows.append(tuple(cells))
    passes = int(dataset.attrs["passes"])
    caption = f"All numbers of clusters went through the same {count(passes, 'pass', 'passes')} over the images."
    return Table(tuple(head), tuple(rows), caption=caption)


def _cell(value: float, name: str) -> str:
    if not np.isfinite(value):
        return "–"
    digits = {"inertia": 2, "silhouette": 3, "davies_bouldin": 3, "calinski_harabasz": 1}.get(name, 0)
    return f"{value:,.{digits}f}"
