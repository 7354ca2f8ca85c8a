"""The step ``rank_sweep`` in workflows: metrics, report, codes of other steps, plans, being stopped and going on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from support import random_images

import fmnist_dask
from fmnist_dask.errors import RunError
from fmnist_dask.workflow.figures import rank_sweep as figures

SMALL = {"trees": 10, "iterations": 5, "ranks": [2, 8, 900]}


@pytest.fixture
def run(tmp_path, monkeypatch, cluster):
    monkeypatch.chdir(tmp_path)

    def carry_out(steps, source, name="some"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "source": source, "steps": steps}))
        return fmnist_dask.run(path, cluster=str(cluster.client.scheduler.address))

    return carry_out


@pytest.mark.slow
def test_accuracy_grows_with_the_rank_and_the_report_says_so(run):
    found = run(
        {"sweep": {"uses": "rank_sweep", "split": "train", "with": SMALL | {"iterations": 2}}},
        {"path": "garments", "n": 800},
    )
    metrics, dataset = found.metrics["sweep"], found["sweep"]
    # Images of 784 pixels have no 900 codes.
    assert list(metrics["accuracy"]) == list(metrics["seconds_boosting"]) == ["2", "8", "0"]
    accuracy = [metrics["accuracy"][rank] for rank in ("2", "8", "0")]
    assert 0.4 < accuracy[0] < accuracy[1] < 1
    assert accuracy[2] > 0.8
    assert accuracy == pytest.approx(dataset["accuracy"].values[0].mean(axis=1).tolist())
    assert all(seconds > 0 for seconds in metrics["seconds"].values())
    step = found.manifest["steps"]["sweep"]
    assert step["n_used"] == found.collection.splits["train"]
    assert step["exact"] is True
    report = (found.path / "report.html").read_text()
    for words in ("What few codes tell of the class", "Accuracy by rank", "gradient boosting", "all values"):
        assert words in report
    # Published figures are of another collection.
    assert figures.PUBLISHED_NAME not in report


@pytest.mark.slow
def test_a_part_of_the_images_is_said_to_be_one(run):
    found = run(
        {"sweep": {"uses": "rank_sweep", "with": SMALL | {"images": 400, "raw": False, "classifiers": ["forest"]}}},
        {"path": "garments", "n": 1500},
    )
    step = found.manifest["steps"]["sweep"]
    assert (step["n_used"], step["n_total"], step["exact"]) == (400, 1500, False)
    assert list(found.metrics["sweep"]["accuracy"]) == ["2", "8"]
    assert "sampled, 400 of 1,500 images" in (found.path / "report.html").read_text()


@pytest.mark.slow
def test_codes_of_another_step_are_swept_like_pixels(run):
    steps = {
        "parts": {"uses": "pca", "with": {"n_components": 12}},
        "sweep": {"uses": "rank_sweep", "on": "parts", "with": SMALL | {"classifiers": ["forest"]}},
    }
    found = run(steps, {"path": "garments", "n": 1500})
    assert list(found.metrics["sweep"]["accuracy"]) == ["2", "8", "0"]
    assert found.metrics["sweep"]["accuracy"]["0"] > 0.75


def test_images_without_classes_are_refused(run, tmp_path):
    np.save(tmp_path / "plain.npy", random_images(60))
    with pytest.raises(RunError, match="no classes to be told apart"):
        run({"sweep": {"uses": "rank_sweep"}}, str(tmp_path / "plain.npy"))


@pytest.mark.long
@pytest.mark.slow
def test_classifiers_that_have_ended_are_not_trained_again(run, monkeypatch):
    """A run that is stopped between ranks goes on with the next one."""
    from fmnist_dask.models import rank_sweep

    taken = []
    original = rank_sweep._take

    def fail_at_last(sweep, data, options, at, *others):
        taken.append(at)
        if len(taken) == 3:
            raise KeyboardInterrupt
        original(sweep, data, options, at, *others)

    steps = {"sweep": {"uses": "rank_sweep", "with": SMALL | {"classifiers": ["forest"], "ranks": [2, 8]}}}
    source = {"path": "garments", "n": 1200}
    with monkeypatch.context() as patched:
        patched.setattr(rank_sweep, "_take", fail_at_last)
        with pytest.raises(KeyboardInterrupt):
            run(steps, source)
    found = run(steps, source)
    events = [json.loads(line) for line in (found.path / "events.jsonl").read_text().splitlines()]
    resumed = [event for event in events if event["event"] == "resumed"]
    # The pass, the factors, and classifiers of two ranks; those of all pixels were never taken in.
    assert [event["answers"] for event in resumed] == [4]
    assert list(found.metrics["sweep"]["accuracy"]) == ["2", "8", "0"]


def test_the_published_figures_stand_beside_those_of_the_same_images():
    import xarray as xr

    ranks = [2, 4, 8, 16, 32, 64, 128, 256, 0]
    dataset = xr.Dataset(
        {
            "accuracy": (("classifier", "rank", "fold"), np.linspace(0.5, 0.9, 36).reshape(1, 9, 4)),
            "seconds": (("classifier", "rank"), np.arange(1.0, 10).reshape(1, 9)),
        },
        coords={"classifier": ["forest"], "rank": ranks},
        attrs={"source": "fashion-mnist", "n": 60_000},
    )
    ways = figures._ways(dataset)
    assert [way.name for way in ways] == ["random forest", figures.PUBLISHED_NAME]
    assert ways[1].accuracy[0] == 0.51341
    assert ways[1].raw == (0.88098, 3137)
    assert len(figures._ways(dataset.assign_attrs(n=10_000))) == 1
