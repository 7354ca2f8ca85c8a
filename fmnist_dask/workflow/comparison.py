"""The ways to cluster of a run, side by side: scores, times, and how far they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.models.clusters import adjusted_rand
from fmnist_dask.typing import FloatArray, IntArray
from fmnist_dask.workflow.provenance import as_mapping
from fmnist_dask.workflow.rundir import PUBLISHED

if TYPE_CHECKING:
    import xarray

    from fmnist_dask.report.page import Block, Section

#: What every step that clusters says of its result; by these it is known.
MARKS = ("silhouette", "nmi", "n_empty")
#: What methods are called.
METHODS = {
    "kmeans": "k-means",
    "gaussian_mixture": "Gaussian mixture",
    "agglomerative": "Ward's hierarchy",
    "spectral": "spectral clustering",
}
#: Steps whose labels are compared with each other's.
MOST_PAIRED = 12
#: Rows read at a time.
BLOCK_ROWS = 2**20
#: Labels from which a step counts as no clustering that could be compared.
MOST_CLUSTERS = 2**13


@dataclass(frozen=True)
class _Score:
    """A column of the table: where its number comes from, how it is written, and which end is good."""

    title: str
    metric: str
    digits: int
    best: Callable[[Sequence[float]], float]
    #: Whether it says something only beside others in the same space.
    spatial: bool = True


SCORES = (
    _Score("silhouette", "silhouette", 3, max),
    _Score("Davies–Bouldin", "davies_bouldin", 3, min),
    _Score("Calinski–Harabasz", "calinski_harabasz", 0, max),
    _Score("NMI", "nmi", 3, max, spatial=False),
    _Score("ARI", "ari", 3, max, spatial=False),
    _Score("named right", "matched_accuracy", 3, max, spatial=False),
)


def comparison_section(manifest: Mapping[str, Any], open_step: Callable[[str], xarray.Dataset]) -> Section | None:
    """Scores of all steps that cluster, and how far their clusters agree; ``None`` with fewer than two of them."""
    from fmnist_dask.report.page import ORDER_COMPARISON, Section
    from fmnist_dask.report.words import count

    compared = {
        str(name): as_mapping(entry)
        for name, entry in as_mapping(manifest.get("steps")).items()
        if as_mapping(entry).get("status") in PUBLISHED
        and all(mark in as_mapping(as_mapping(entry).get("metrics")) for mark in MARKS)
    }
    if len(compared) < 2:
        return None
    datasets = {name: open_step(name) for name in compared}
    compared = {name: {**entry, "space": _space(entry, datasets[name])} for name, entry in compared.items()}
    blocks: list[Block] = [_scores(compared, datasets)]
    paired = _agreements(datasets)
    if paired is not None:
        blocks.append(paired)
    return Section(
        title="Ways to cluster, side by side",
        short="Comparison",
        anchor="comparison",
        lead=_lead(compared),
        basis=f"{count(len(compared), 'step')} of this run",
        blocks=tuple(blocks),
        order=ORDER_COMPARISON,
    )


def _metric(entry: Mapping[str, Any], name: str) -> float | None:
    value = as_mapping(entry.get("metrics")).get(name)
    return None if value is None else float(value)


def _lead(compared: Mapping[str, Mapping[str, Any]]) -> str:
    """Which step is best by which score; scores of different spaces are not set against each other."""
    parts = []
    matched = {name: value for name, entry in compared.items() if (value := _metric(entry, "nmi")) is not None}
    if matched:
        best = max(matched, key=lambda name: matched[name])
        parts.append(f"Nearest to the classes come the clusters of {best} (NMI {matched[best]:.2f}).")
    fits = {name: value for name, entry in compared.items() if (value := _metric(entry, "silhouette")) is not None}
    for space, names in _by_space({name: compared[name] for name in fits}).items():
        if len(names) > 1:
            best = max(names, key=lambda name: fits[name])
            parts.append(f"In the space of {space}, {best} keeps them best apart (silhouette {fits[best]:.2f}).")
    return " ".join(parts)


def _by_space(compared: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Names of steps by what they work on, in the workflow's order."""
    spaces: dict[str, list[str]] = {}
    for name, entry in compared.items():
        spaces.setdefault(str(entry["space"]), []).append(name)
    return spaces


def _scores(compared: Mapping[str, Mapping[str, Any]], datasets: Mapping[str, xarray.Dataset]) -> Block:
    """A row for each step. In bold: the best, among those that work on the same features where that matters."""
    from fmnist_dask.report.page import Table
    from fmnist_dask.report.words import duration

    spaces = _by_space(compared)
    order = [name for names in spaces.values() for name in names]
    shown = [score for score in SCORES if any(_metric(compared[name], score.metric) is not None for name in order)]
    bold: set[tuple[int, int]] = set()
    for at, score in enumerate(shown):
        for names in spaces.values() if score.spatial else [order]:
            values = {name: value for name in names if (value := _metric(compared[name], score.metric)) is not None}
            if len(values) > 1:
                best = score.best(list(values.values()))
                bold |= {(order.index(name), 4 + at) for name, value in values.items() if value == best}
    rows = []
    for name in order:
        entry = compared[name]
        seconds = entry.get("own_seconds")
        rows.append(
            (
                name,
                _method(entry, datasets[name]),
                str(entry["space"]),
                _objective(entry),
                *(_written(_metric(entry, score.metric), score.digits) for score in shown),
                duration(entry.get("seconds") if seconds is None else seconds),
            )
        )
    columns = ("step", "method", "works on", "objective", *(score.title for score in shown), "time")
    caption = (
        "Bold: the best of a column; where a score depends on the space, of the steps that work on the same. Davies–"
        "Bouldin is better when lower, all others when higher. Named right: share of images, if each cluster stands "
        "for one class. Time: of a step's own work, with equal shares of the passes that it shared with others."
    )
    return Table(columns, tuple(rows), text_columns=3, caption=caption, bold=frozenset(bold))


def _space(entry: Mapping[str, Any], dataset: xarray.Dataset) -> str:
    """What the clusters are of."""
    on = str(entry.get("on") or "pixels")
    if str(dataset.attrs.get("space") or on) != "pixels":
        return on
    return "pixels" if on == "pixels" else f"pixels ({on})"


def _method(entry: Mapping[str, Any], dataset: xarray.Dataset) -> str:
    uses = str(entry.get("uses") or "")
    engine = str(dataset.attrs.get("engine") or "")
    title = METHODS.get(uses, uses)
    return f"{title} of {engine}" if engine not in ("", "fmnist-dask") else title


def _objective(entry: Mapping[str, Any]) -> str:
    """The number that the method makes small or large itself."""
    likelihood, inertia = _metric(entry, "log_likelihood"), _metric(entry, "inertia")
    if likelihood is not None:
        return f"log-likelihood {likelihood:,.3f}".replace("-", "−").replace("log−", "log-")
    return "–" if inertia is None else f"inertia {inertia:,.0f}" if inertia >= 1000 else f"inertia {inertia:,.4g}"


def _written(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def _agreements(datasets: Mapping[str, xarray.Dataset]) -> Block | None:
    """Adjusted Rand index of each two steps' labels, on the images that both have put into a cluster."""
    from fmnist_dask.report.page import Table

    columns = {}
    for name, dataset in list(datasets.items())[:MOST_PAIRED]:
        if "labels" in dataset and dataset["labels"].dims == ("sample",):
            columns[name] = dataset["labels"]
    names = list(columns)
    if len(names) < 2:
        return None
    found = paired_agreement([columns[name] for name in names])
    rows = tuple(
        (name, *("" if other <= at else _written(_or_none(found[at, other]), 2) for other in range(1, len(names))))
        for at, name in enumerate(names[:-1])
    )
    caption = (
        "Adjusted Rand index of the clusters of two steps: 1, the same groups; 0, no more alike than by chance. Of the "
        "images that both have put into a cluster."
    )
    return Table(("agreement", *names[1:]), rows, text_columns=1, caption=caption)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def paired_agreement(columns: Sequence[Any]) -> FloatArray:
    """Adjusted Rand index of each two columns of labels, which are read once, in blocks.

    Parameters
    ----------
    columns
        Labels of all samples, arrays or lazy ones; negative ones are of no cluster.

    Returns
    -------
    float64 array, shape (columns, columns)
        NaN where no sample has both labels, and for columns with too many clusters.
    """
    n = len(columns[0])
    tables: dict[tuple[int, int], IntArray] = {}
    wide: set[int] = set()
    for start in range(0, n, BLOCK_ROWS):
        parts = [np.asarray(column[start : start + BLOCK_ROWS]).astype(np.int64) for column in columns]
        wide |= {at for at, part in enumerate(parts) if part.max(initial=0) >= MOST_CLUSTERS}
        for one in range(len(parts)):
            for other in range(one + 1, len(parts)):
                if one not in wide and other not in wide:
                    tables[one, other] = _added(tables.get((one, other)), parts[one], parts[other])
    result = np.full((len(columns), len(columns)), np.nan)
    for (one, other), table in tables.items():
        if table.any() and one not in wide and other not in wide:
            result[one, other] = result[other, one] = adjusted_rand(table)
    return result


def _added(table: IntArray | None, left: IntArray, right: IntArray) -> IntArray:
    """A contingency table with more samples, as large as their labels need."""
    both = (left >= 0) & (right >= 0)
    left, right = left[both], right[both]
    rows, columns = int(left.max(initial=-1)) + 1, int(right.max(initial=-1)) + 1
    if table is not None:
        rows, columns = max(rows, table.shape[0]), max(columns, table.shape[1])
    counted = np.bincount(left * columns + right, minlength=rows * columns).reshape(rows, columns)
    if table is not None:
        counted[: table.shape[0], : table.shape[1]] += table
    return counted
