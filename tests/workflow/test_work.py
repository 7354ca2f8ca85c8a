"""The work of a run and its processes in the manifest: measured against the plan, kept while results rest on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

import fmnist_dask
from fmnist_dask.cli import main
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.passes.account import PassAccount, Work
from fmnist_dask.workflow.work import add_work, forget_work

N = 3000
STEPS = """\
name: measured
steps:
  pixels:   {uses: pixel_stats, split: train}
  clusters: {uses: kmeans, split: train, with: {n_clusters: 4, n_init: 1, max_iter: 5, tol: 0}}
"""


def account(step: str, title: str = "Sum", number: int | None = 1, peak: int = 10, idle: float = 1.0) -> PassAccount:
    spent = {"decode": 0.5, "kernel": 0.5, "idle": idle}
    work = Work(number, (step,), title, 100, tasks=4, chunks=3, bytes_read=50, planned_worker_bytes=20)
    return PassAccount(work, 1.0, 2, peak, 5, spent, {"Sum": 0.5}, scheduler_seconds=0.25)


def test_passes_that_are_alike_become_one_entry() -> None:
    entries: list[dict[str, Any]] = []
    for other in ("Sum", "Count", "Sum"):
        add_work(entries, account("one", other))
    add_work(entries, account("one", peak=30, idle=2.0))
    add_work(entries, account("one", number=None))
    assert [(entry["kind"], entry["title"], entry["times"]) for entry in entries] == [
        ("pass", "Sum", 3),
        ("pass", "Count", 1),
        ("calls", "Sum", 1),
    ]
    entry = entries[0]
    assert (entry["rows"], entry["chunks"], entry["bytes_read"], entry["spilled_bytes"]) == (100, 9, 150, 15)
    assert (entry["planned_worker_bytes"], entry["peak_worker_bytes"]) == (20, 30)
    assert (entry["seconds"], entry["scheduler_seconds"]) == (3.0, 0.75)
    assert entry["worker_seconds"] == {"decode": 1.5, "kernel": 1.5, "idle": 4.0}
    assert entry["shares"]["decode"] == pytest.approx(1.5 / 7, abs=1e-4)
    assert entry["kernels"] == {"Sum": 1.5}
    assert json.loads(json.dumps(entries)) == entries


def test_what_nobody_has_told_stays_unknown() -> None:
    entries: list[dict[str, Any]] = []
    for _ in range(2):
        add_work(entries, PassAccount(Work(None, ("",), "ingest"), 1.0))
    assert (entries[0]["steps"], entries[0]["times"]) == (["ingest"], 2)
    assert entries[0]["peak_worker_bytes"] is entries[0]["scheduler_seconds"] is None
    assert entries[0]["shares"] == {}


@pytest.mark.parametrize(
    ("anew", "left"),
    [
        ((), ["ingest", "a", "a b", "b"]),
        (("a",), ["ingest", "a b", "b"]),
        (("a", "b"), ["ingest"]),
        (("ingest",), ["a", "a b", "b"]),
    ],
)
def test_entries_go_once_all_their_steps_begin_anew(anew: tuple[str, ...], left: list[str]) -> None:
    work = [{"steps": names.split()} for names in ("ingest", "a", "a b", "b", "gone")]
    manifest = {"steps": {"a": {}, "b": {}}, "work": work}
    forget_work(manifest, anew)
    assert [" ".join(entry["steps"]) for entry in manifest["work"]] == left


@pytest.fixture(scope="module")
def measured(cluster: Connection, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., fmnist_dask.Run]:
    root = tmp_path_factory.mktemp("measured")
    steps = root / "steps.yaml"
    steps.write_text(STEPS)
    address = str(cluster.client.scheduler.address)

    def run(**more: Any) -> fmnist_dask.Run:
        options = {"n": N, "chunk_mib": 0.2}
        return fmnist_dask.run(
            steps, source_options=options, cluster=address, store=root / "g.zarr", out=root / "runs" / "it", **more
        )

    return run


@pytest.fixture(scope="module")
def first(measured: Callable[..., fmnist_dask.Run]) -> dict[str, Any]:
    manifest = json.loads((measured().path / "manifest.json").read_text())
    assert isinstance(manifest, dict)
    return manifest


def test_the_manifest_says_what_each_pass_took_against_its_plan(first: dict[str, Any]) -> None:
    work = first["work"]
    assert (work[0]["kind"], work[0]["steps"], work[0]["bytes_read"]) == ("calls", ["ingest"], 0)
    passes = [entry for entry in work if entry["kind"] == "pass"]
    assert passes[0]["steps"] == ["pixels", "clusters"]
    assert "PixelHistogram" in passes[0]["kernels"]
    assert sum(entry["times"] for entry in passes) == first["passes"]
    assert sum(entry["bytes_read"] for entry in passes) == first["bytes_read"]
    assert max(entry["times"] for entry in passes) > 1  # iterations are one entry
    for entry in work:
        assert sum(entry["shares"].values()) == pytest.approx(1, abs=1e-3)
        assert entry["scheduler_seconds"] > 0
        assert 0.3 < entry["peak_worker_bytes"] / entry["planned_worker_bytes"] < 1.5
    assert first["peak_worker_bytes"] >= max(entry["peak_worker_bytes"] for entry in work)
    assert first["planned_worker_bytes"] == max(entry["planned_worker_bytes"] for entry in work)


def test_the_manifest_lists_the_processes(first: dict[str, Any], cluster: Connection) -> None:
    roles = [entry["role"] for entry in first["processes"]]
    assert roles == ["worker", "worker", "scheduler", "driver"]
    workers = first["processes"][:2]
    assert {entry["pid"] for entry in workers} == set(cluster.client.run(os.getpid).values())
    assert max(entry["peak_bytes"] for entry in workers) == first["peak_worker_bytes"]
    assert {entry["planned_bytes"] for entry in workers} == {first["planned_worker_bytes"]}
    assert not any(entry["lost"] for entry in workers)
    scheduler, driver = first["processes"][2:]
    assert scheduler["in_driver"] is True  # of the cluster that these tests share
    assert scheduler["pid"] == driver["pid"] == os.getpid()
    assert driver["peak_bytes"] >= first["peak_driver_bytes"] > 50e6


def test_the_report_and_the_command_line_show_it(
    first: dict[str, Any], measured: Callable[..., fmnist_dask.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = measured()
    page = (run.path / "report.html").read_text()
    assert '<section id="performance"' in page
    for text in ("What the workers&#39; threads did", "measured", "pixels and clusters", "peak memory"):
        assert text in page or text.replace("&#39;", "'") in page, text
    monkeypatch.chdir(run.path.parents[1])
    for command in (["status", "it"], ["runs"]):
        outcome = CliRunner().invoke(main, command)
        assert outcome.exit_code == 0, outcome.output
        assert "SUCCEEDED" in outcome.output


@pytest.mark.slow
def test_entries_stay_with_results_that_are_reused(
    first: dict[str, Any], measured: Callable[..., fmnist_dask.Run]
) -> None:
    again = measured().manifest
    assert {step["status"] for step in again["steps"].values()} == {"REUSED"}
    assert [entry["steps"] for entry in again["work"]] == [entry["steps"] for entry in first["work"]]
    forced = measured(only=["clusters"], force=True).manifest
    assert forced["steps"]["pixels"]["status"] == "REUSED"
    steps = [entry["steps"] for entry in forced["work"] if entry["kind"] == "pass"]
    # The pass that both shared stays, for the pixels rest on it; what the clusters did alone is there once.
    assert steps[0] == ["pixels", "clusters"]
    alone = [entry for entry in forced["work"] if entry["kind"] == "pass" and entry["steps"] == ["clusters"]]
    assert sum(entry["times"] for entry in alone) == forced["steps"]["clusters"]["passes"] == forced["passes"]
