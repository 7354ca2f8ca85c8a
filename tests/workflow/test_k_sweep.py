"""The step ``k_sweep`` through whole runs: metrics by number of clusters, suggestions, report, odd collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from support import ArraySource, random_images, stored

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.workflow.figures.k_sweep import figures
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.registry import ReportContext


def run_steps(steps: dict[str, Any], source: Any, cluster: Connection, place: Path) -> fmnist_dask.Run:
    workflow = place / "sweep.yaml"
    workflow.write_text(yaml.safe_dump({"name": "sweep", "source": "garments", "steps": steps}))
    address = str(cluster.client.scheduler.address)
    return fmnist_dask.run(workflow, source=source, cluster=address, out=place / "run", store=place / "s.zarr")


@pytest.mark.slow
def test_codes_and_pixels_are_swept(cluster: Connection, tmp_path: Path) -> None:
    steps = {
        "pca": {"uses": "pca", "with": {"n_components": 6}},
        "sweep": {"uses": "k_sweep", "on": "pca", "split": "train", "with": {"k": [12, 1, 4, 4], "n_init": 2}},
        "pixels": {"uses": "k_sweep", "with": {"k": [3, 10], "n_init": 1, "silhouette": 200}},
        "clusters": {"uses": "kmeans", "on": "pca", "split": "train", "with": {"n_clusters": 12, "n_init": 2}},
    }
    run = run_steps(steps, "digits", cluster, tmp_path)
    metrics, found = run.metrics["sweep"], run["sweep"].load()
    assert list(metrics["inertia"]) == ["1", "4", "12"]
    for name in ("inertia", "silhouette", "davies_bouldin", "bic"):
        shown = [np.nan if value is None else value for value in metrics[name].values()]
        np.testing.assert_array_equal(shown, found[name].values)
    assert metrics["silhouette"]["1"] is None
    assert metrics["inertia"]["12"] == pytest.approx(run.metrics["clusters"]["inertia"], rel=0.01)
    assert metrics["best"]["elbow"] == 4
    assert metrics["best"]["bic"] == found.attrs["best_bic"]
    # Fewer images than would be drawn: all are measured.
    assert (found["silhouette_interval"].values[1:] == 0).all()
    assert run.manifest["steps"]["sweep"]["exact"] is True
    assert run.manifest["steps"]["pixels"]["exact"] == {"inertia": True, "silhouette": False}
    assert run.metrics["pixels"]["bic"] is None
    assert run.metrics["pixels"]["best"]["elbow"] is None
    assert (run["pixels"]["silhouette_interval"].values > 0).all()
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page
    for words in (
        "How many clusters of the codes of pca",
        "How many clusters of pixels",
        "Davies-Bouldin",
        "BIC and AIC",
    ):
        assert words in page


@pytest.mark.parametrize("kind", [pytest.param("one image", marks=pytest.mark.slow), "all the same"])
def test_odd_collections(kind: str, cluster: Connection, tmp_path: Path) -> None:
    image = random_images(1, (5, 5)) if kind == "one image" else np.full((40, 5, 5), 9, np.uint8)
    collection = stored(ArraySource(image, None, {"all": len(image)}), tmp_path / "odd.zarr")
    run = run_steps({"sweep": {"uses": "k_sweep", "with": {"mixture": "diag"}}}, collection.path, cluster, tmp_path)
    assert run.manifest["status"] == "SUCCEEDED"
    metrics = run.metrics["sweep"]
    assert next(iter(metrics["inertia"])) == ("1" if kind == "one image" else "2")
    assert set(metrics["inertia"].values()) == {0.0}
    assert metrics["davies_bouldin"] is None
    assert "cannot be shown" not in (run.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", [{"k": [0, 3]}, {"k": [5000]}, {"k": []}, {"silhouette": 3}, {"mixture": "tied"}])
def test_bad_parameters_are_refused_when_the_workflow_is_read(given: dict[str, Any], tmp_path: Path) -> None:
    workflow = tmp_path / "bad.yaml"
    steps = {"sweep": {"uses": "k_sweep", "with": given}}
    workflow.write_text(yaml.safe_dump({"name": "bad", "source": "garments", "steps": steps}))
    with pytest.raises(FmnistDaskError, match=next(iter(given))):
        load_workflow(workflow)


def section(**changes: Any) -> Any:
    """The section of a sweep whose scores are made up."""
    scores: dict[str, Any] = {
        "inertia": [90.0, 40.0, 30.0, 25.0],
        "silhouette": [0.30, 0.33, 0.329, 0.2],
        "silhouette_interval": [0.01] * 4,
        "davies_bouldin": [1.4, 1.3, 1.2, 1.1],
        "calinski_harabasz": [9.0, 8.0, 7.0, 6.0],
        "bic": [np.nan] * 4,
        "aic": [np.nan] * 4,
        "n_empty": [0] * 4,
    } | changes.pop("scores", {})
    attrs = {"on": "pixels", "passes": 7, "silhouette_rows": 500, "mixture": "none", "best_elbow": 4,
             "best_silhouette": 4, "best_davies_bouldin": 9, "best_calinski_harabasz": 2} | changes  # fmt: skip
    dataset = xr.Dataset({name: ("k", np.array(row)) for name, row in scores.items()}, {"k": [2, 4, 6, 9]}, attrs)
    context = ReportContext("sweep", "k_sweep", "all", {}, 900, 900, ())
    contribution = figures(dataset, context)
    return contribution.sections[0], contribution.cards[0]


def test_the_report_says_what_scores_suggest_and_that_they_disagree() -> None:
    found, card = section()
    assert found.lead == (
        "The scores suggest 2 by the highest Calinski-Harabasz index; 4 by the bend of the inertia and the highest "
        "silhouette; 9 by the lowest Davies-Bouldin index. They ask for different things, and here they do not agree: "
        "none of them is the truth. 9 is at the end of what was tried: the best number may lie beyond. Silhouettes of "
        "6 are within the uncertainty of that of 4."
    )
    assert (card.value, card.note) == ("4", "Other scores suggest 2 and 9.")
    agreed, card = section(best_davies_bouldin=4, best_calinski_harabasz=4, scores={"n_empty": [0, 0, 0, 2]})
    assert agreed.lead.startswith("All scores suggest 4 by the bend")
    assert "do not agree" not in agreed.lead
    assert agreed.lead.endswith("Of 9 clusters some are empty: too few images differ.")
    assert card.note == ""
    few = [4.0, 3.0, np.nan, np.nan]
    collapsed, _ = section(mixture="full", scores={"bic": few, "aic": few})
    assert collapsed.lead.endswith("Mixtures of 6 and 9 components collapsed, and have no BIC.")
