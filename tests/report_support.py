"""Results with the schema of the steps ``pca`` and ``kmeans``, made with NumPy alone. Importable by test modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from fmnist_dask.workflow.registry import ReportContext

DIMS = ("y", "x", "channel")
CELLS = 64


def pictures(n: int, shape: tuple[int, ...], kinds: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of several kinds, a bright block at another place in each, and their kinds."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    images = rng.integers(0, 60, (n, *shape), dtype=np.uint8)
    width = max(1, shape[1] // 4)
    for at in range(n):
        left = int(kind[at]) * width % max(1, shape[1] - width + 1)
        images[at, : shape[0] // 2, left : left + width] += 150
    return images, kind


def context(
    uses: str,
    n: int,
    class_names: tuple[str, ...] = (),
    split: str = "all",
    metrics: Mapping[str, Any] | None = None,
    others: Mapping[str, xr.Dataset] | None = None,
) -> ReportContext:
    """What a figure builder is told."""
    opened: dict[str, Callable[[], xr.Dataset]] = {
        name: (lambda dataset=dataset: dataset) for name, dataset in (others or {}).items()
    }
    return ReportContext(uses, uses, split, metrics or {}, n, n, class_names, opened)


def pca_result(
    images: np.ndarray, label: np.ndarray | None = None, n_components: int = 6, shown: int = 50, split: str = "all"
) -> xr.Dataset:
    """As the step returns it; one component makes no plane."""
    n, shape = len(images), images.shape[1:]
    flat = images.reshape(n, -1) / 255
    mean = flat.mean(axis=0)
    _, singular, directions = np.linalg.svd(flat - mean, full_matrices=False)
    directions = directions[:n_components]
    variance = np.where(singular > 1e-9, singular, 0) ** 2 / max(1, n - 1)
    total = float(variance.sum())
    codes = ((flat - mean) @ directions.T).astype(np.float32)
    label = np.full(n, -1, np.int16) if label is None else label.astype(np.int16)
    dims = DIMS[: len(shape)]
    kept = variance[:n_components]
    data: dict[str, Any] = {
        "components": (("component", *dims), directions.reshape(-1, *shape)),
        "mean": (dims, mean.reshape(shape)),
        "explained_variance": ("component", kept),
        "explained_variance_ratio": ("component", kept / total if total else kept * 0),
        "singular_values": ("component", singular[:n_components]),
        "noise_variance": ((), 0.0),
        "total_variance": ((), total),
        "codes": (("sample", "component"), codes),
        "label": ("sample", label),
    }
    if n_components > 1:
        low, high = codes[:, :2].min(axis=0), codes[:, :2].max(axis=0)
        edges = np.stack([low - 0.1, high + 0.1], axis=1).astype(np.float64)
        cell = (codes[:, :2] - edges[:, 0]) / (edges[:, 1] - edges[:, 0]) * CELLS
        chosen = np.unique(np.linspace(0, n - 1, min(n, shown)).astype(int)) if shown else np.zeros(0, int)
        data |= {
            "plane": (("sample", "axis"), np.clip(cell, 0, CELLS - 1).astype(np.uint16), {"cells": CELLS}),
            "plane_edge": (("axis", "edge"), edges),
            "shown_row": ("shown", chosen),
            "shown_label": ("shown", label[chosen]),
            "shown_code": (("shown", "axis"), codes[chosen, :2]),
            "shown_image": (("shown", *(f"shown_{name}" for name in dims)), images[chosen]),
        }
    attrs = {"split": split, "on": "pixels", "method": "exact", "whiten": 0, "n_features": flat.shape[1]}
    return xr.Dataset(data, attrs=attrs)


def kmeans_result(
    images: np.ndarray,
    cluster: np.ndarray,
    label: np.ndarray | None = None,
    class_names: tuple[str, ...] = (),
    on: str = "pixels",
    split: str = "all",
    history: np.ndarray | None = None,
) -> xr.Dataset:
    """As the step returns it, of clusters that are given: −1 is outside the split."""
    k, each = int(cluster.max()) + 1, 4
    shape = images.shape[1:]
    dims = DIMS[: len(shape)]
    flat = images.reshape(len(images), -1) / 255
    size = np.bincount(cluster[cluster >= 0], minlength=k)
    with np.errstate(invalid="ignore"):
        mean = np.stack([flat[cluster == at].sum(axis=0) / size[at] for at in range(k)])
    distance = np.where(cluster >= 0, np.linalg.norm(flat - np.nan_to_num(mean)[cluster], axis=1), np.nan)
    data: dict[str, Any] = {
        "labels": ("sample", cluster.astype(np.int32)),
        "distance": ("sample", distance.astype(np.float32)),
        "cluster_centers": (("cluster", *dims), mean.reshape(-1, *shape)),
        "mean_image": (("cluster", *dims), mean.reshape(-1, *shape)),
        "size": ("cluster", size),
        "inertia_of_cluster": ("cluster", np.array([(distance[cluster == at] ** 2).sum() for at in range(k)])),
        "history": (("start", "iteration"), np.array([[9.0, 7.0], [8.0, np.nan]]) if history is None else history),
        "start_inertia": ("candidate", np.array([3.0, 2.0, 2.5])),
    }
    for kind, sign in (("nearest", 1), ("farthest", -1)):
        rows = np.full((k, each), -1)
        for at in range(k):
            members = np.flatnonzero(cluster == at)
            found = members[np.argsort(sign * distance[members], kind="stable")][:each]
            rows[at, : len(found)] = found
        data |= {
            f"{kind}_row": (("cluster", "rank"), rows),
            f"{kind}_distance": (("cluster", "rank"), np.where(rows < 0, np.nan, distance[rows])),
            f"{kind}_label": (("cluster", "rank"), (np.full(len(images), -1) if label is None else label)[rows]),
            f"{kind}_image": (("cluster", "rank", *(f"thumbnail_{name}" for name in dims)), images[rows]),
        }
    coords: dict[str, Any] = {}
    if label is not None and class_names:
        table = np.zeros((k, len(class_names) + 1), dtype=np.int64)
        inside = cluster >= 0
        np.add.at(table, (cluster[inside], label[inside]), 1)  # −1 is the last column
        columns = len(class_names) + bool(table[:, -1].any())
        data["composition"] = (("cluster", "class"), table[:, :columns])
        coords["class"] = [*class_names, "not labelled"][:columns]
    attrs = {"split": split, "on": on, "n_clusters": k, "n_init": 3, "n_iter": 2, "subset_rows": 100}
    return xr.Dataset(data, coords=coords, attrs={**attrs, "engine": "fmnist-dask"})
