"""What is in each cluster: classes, nearest and farthest images; and how well clusters match classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmnist_dask.models.cluster_scores import Means
from fmnist_dask.models.kmeans import KMeansModel
from fmnist_dask.passes.parameters import SetsParameter, grid_scale
from fmnist_dask.passes.protocol import Algorithm, ColumnArray, Readable, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import Assignment, ClusterMembers, Labelling
from fmnist_dask.typing import AnyArray, FloatArray, IntArray


@dataclass
class Clusters:
    """The clusters of a split.

    Attributes
    ----------
    inertia
        Sum of squared distances to the reported centres, exact up to the last float64 operations.
    size : int64 array, shape (k,)
    inertia_of_cluster : float64 array, shape (k,)
    composition : int64 array, shape (k, 1 + classes)
        Samples of each class; first those that are not labelled.
    mean_image : float64 array, shape (k, y, x[, channel])
        In units of the pixel values; NaN for empty clusters.
    examples
        ``nearest`` and ``farthest``: ``{cluster: {"key", "row", "image"}}``; keys are squared distances, negated
        for the farthest.
    columns
        ``labels`` and ``distance`` of every image.
    means
        Of the features of members, where the pass has summed them.
    """

    inertia: float
    size: IntArray
    inertia_of_cluster: FloatArray
    composition: IntArray
    mean_image: FloatArray
    examples: dict[str, dict[int, Any]]
    columns: dict[str, ColumnArray]
    means: Means | None = None


def describe_clusters(
    source: Readable, model: KMeansModel, split: str, examples: int, unit: float
) -> Algorithm[Clusters]:
    """Assign every image of a split to its centre, and gather what each cluster holds, in one pass.

    Parameters
    ----------
    examples
        Nearest and farthest images of each cluster.
    unit
        Length that counts as 1 in the column ``distance``.
    """
    found = yield members_scan(source, model, split, examples, unit)
    clusters = clusters_of(source, found, model.inertia_of(found["sums"]))
    clusters.means = means_of(model, found["sums"])
    return clusters


def means_of(model: KMeansModel, sums: dict[str, AnyArray]) -> Means:
    """Means of the clusters that the centres of a k-means make, from their sums."""
    mean = sums["sum"] / np.maximum(sums["count"], 1)[:, None] + model.shift
    return Means(sums["count"], mean, None if model.grid is None else model.shift, float(model.square_sum))


def clusters_of(source: Readable, found: dict[str, Any], inertia: float | None = None) -> Clusters:
    """What a scan of ``members`` and ``assignment`` has found."""
    members = found["members"]
    size = members["composition"].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = members["pixel_sum"] / size[:, None]
    return Clusters(
        inertia=float(members["squares"].sum()) if inertia is None else inertia,
        size=size,
        inertia_of_cluster=members["squares"],
        composition=members["composition"],
        mean_image=mean.reshape(-1, *source.image_shape),
        examples={kind: members[kind] for kind in ("nearest", "farthest")},
        columns=found["assignment"],
    )


def members_scan(source: Readable, model: KMeansModel, split: str, examples: int, unit: float) -> Scan:
    """The pass of :func:`describe_clusters`."""
    parameter = model.parameter
    reach = float(np.einsum("kd,kd->k", parameter.centres.values, parameter.centres.values).max())
    scale = grid_scale(2 * float(model.square_sum) + 2 * model.n * reach)
    scan = labelled_scan(source, parameter, None, scale, split, examples, unit)
    return replace(scan, reductions={"sums": ClusterSums(parameter, model.grid), **scan.reductions})


def labelled_scan(
    source: Readable,
    centres: SetsParameter,
    labelling: Labelling | None,
    scale: float,
    split: str,
    examples: int,
    unit: float,
) -> Scan:
    """What clusters of any rule hold; nearest and farthest images are so from the centres that are given.

    Parameters
    ----------
    scale
        Of squared distances as integers; see :class:`~fmnist_dask.passes.reductions.clusters.ClusterMembers`.
    """
    return Scan(
        {"members": ClusterMembers(centres, len(source.class_names), examples, scale, labelling)},
        {"assignment": Assignment(centres, unit, labelling)},
        split=split,
    )


def agreement(table: AnyArray) -> dict[str, float | None]:
    """How well clusters match classes, from their contingency table.

    Parameters
    ----------
    table : int64 array, shape (clusters, classes)

    Returns
    -------
    dict
        ``nmi`` (normalized by the arithmetic mean of the entropies, as in scikit-learn), ``ari`` (adjusted Rand index,
        Hubert and Arabie 1985), ``matched_accuracy`` (share of samples on the best one-to-one matching of clusters and
        classes). ``None`` each where there are no labelled samples.
    """
    from scipy.optimize import linear_sum_assignment

    counts = table.astype(np.float64)
    n = counts.sum()
    if n == 0:
        return {"nmi": None, "ari": None, "matched_accuracy": None}
    rows, columns = linear_sum_assignment(-counts)
    return {
        "nmi": _normalized_information(counts / n),
        "ari": adjusted_rand(table),
        "matched_accuracy": float(counts[rows, columns].sum() / n),
    }


def _normalized_information(joint: FloatArray) -> float:
    of_clusters, of_classes = joint.sum(axis=1), joint.sum(axis=0)
    entropies = [-float((p[p > 0] * np.log(p[p > 0])).sum()) for p in (of_clusters, of_classes)]
    if max(entropies) == 0:
        return 1.0  # one cluster, one class: each tells the other
    held = joint > 0
    independent = np.multiply.outer(of_clusters, of_classes)
    information = float((joint[held] * np.log(joint[held] / independent[held])).sum())
    return max(information, 0.0) / (sum(entropies) / 2)


def adjusted_rand(table: AnyArray) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985) of two labellings, from their contingency table.

    From numbers of pairs, in Python's integers: they overflow 64 bits from three billion samples.
    """

    def pairs(counts: AnyArray) -> int:
        return sum(int(count) * (int(count) - 1) // 2 for count in counts.ravel())

    n = int(table.sum())
    together, clusters, classes = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = n * (n - 1) // 2
    # (together − expected) / (mean − expected), times 2 · total above and below: exact until the last division.
    above = 2 * (together * total - clusters * classes)
    below = (clusters + classes) * total - 2 * clusters * classes
    return 1.0 if below == 0 else above / below
