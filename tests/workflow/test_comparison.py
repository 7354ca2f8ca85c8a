"""Ways to cluster, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray
from sklearn.metrics import adjusted_rand_score

from fmnist_dask.report.page import Page, Table, render
from fmnist_dask.workflow import comparison
from fmnist_dask.workflow.comparison import comparison_section, paired_agreement

ROWS = 500


def labels(seed: int, k: int) -> np.ndarray:
    found = np.random.default_rng(seed).integers(0, k, ROWS)
    return np.where(np.arange(ROWS) % 7 == seed, -1, found).astype(np.int32)


def test_agreement_is_that_of_scikit_learn_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [labels(0, 4), labels(1, 9), np.where(labels(0, 4) == 2, 3, labels(0, 4))]
    whole = paired_agreement(columns)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = (columns[one] >= 0) & (columns[other] >= 0)
        expected = adjusted_rand_score(columns[one][both], columns[other][both])
        assert whole[one, other] == whole[other, one] == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(comparison, "BLOCK_ROWS", 37)
    np.testing.assert_array_equal(paired_agreement(columns), whole)


def test_labels_without_a_common_image_or_with_very_many_clusters_are_not_compared() -> None:
    one = np.array([0, 1, -1, -1])
    assert np.isnan(paired_agreement([one, one[::-1]])).all()
    assert np.isnan(paired_agreement([np.array([0, 1]), np.array([0, 10**6])])).all()


def entry(uses: str, on: str, **metrics: Any) -> dict[str, Any]:
    known = {"silhouette": None, "nmi": None, "ari": None, "n_empty": 0}
    return {"uses": uses, "on": on, "status": "SUCCEEDED", "own_seconds": 1.5, "metrics": {**known, **metrics}}


def opened(name: str) -> xarray.Dataset:
    engine = {"engine": "dask-ml"} if name == "theirs" else {}
    return xarray.Dataset({"labels": ("sample", labels(len(name) % 3, 4))}, attrs=engine)


STEPS = {
    "pixels": entry("kmeans", "pixels", inertia=1905000.25, silhouette=0.15, nmi=0.51),
    "ours": entry("kmeans", "pca", inertia=772358.0, silhouette=0.29, nmi=0.5),
    "theirs": entry("kmeans", "pca", inertia=780000.0, silhouette=0.27, nmi=0.5),
    "soft": entry("gaussian_mixture", "pca", log_likelihood=-11.5301, silhouette=0.14, nmi=0.58),
    "pca": {"uses": "pca", "status": "SUCCEEDED", "metrics": {"explained_variance_ratio_sum": 0.7}},
    "broken": {"uses": "kmeans", "status": "FAILED", "metrics": {}},
}


def test_the_table_has_every_clustering_and_sets_apart_the_best_in_each_space() -> None:
    section = comparison_section({"steps": STEPS}, opened)
    assert section is not None
    table = section.blocks[0]
    assert isinstance(table, Table)
    assert [row[:3] for row in table.rows] == [
        ("pixels", "k-means", "pixels"),
        ("ours", "k-means", "pca"),
        ("theirs", "k-means of dask-ml", "pca"),
        ("soft", "Gaussian mixture", "pca"),
    ]
    assert [row[3] for row in table.rows] == [
        "inertia 1,905,000",
        "inertia 772,358",
        "inertia 780,000",
        "log-likelihood −11.530",
    ]
    at = table.columns.index
    # A silhouette among pixels is not set against those among codes.
    assert table.bold == {(1, at("silhouette")), (3, at("NMI"))}
    assert "ARI" not in table.columns
    assert "soft (NMI 0.58)" in section.lead
    assert "In the space of pca, ours" in section.lead
    page = render(Page("t", sections=(section,)))
    assert "<b>0.290</b>" in page
    assert "<b>0.150</b>" not in page
    pairs = section.blocks[1]
    assert isinstance(pairs, Table)
    assert pairs.columns == ("agreement", "ours", "theirs", "soft")
    assert [[cell == "" for cell in row[1:]] for row in pairs.rows] == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
    ]


def test_one_clustering_is_not_compared() -> None:
    assert comparison_section({"steps": {name: STEPS[name] for name in ("ours", "pca", "broken")}}, opened) is None
