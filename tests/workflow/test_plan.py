"""Plans: what they foresee, what they measure, what they refuse and advise, and how far beyond this machine they go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import some_slow

from fmnist_dask.cli import main
from fmnist_dask.errors import MemoryLimitError, UsageError
from fmnist_dask.workflow.load import find_workflow, load_workflow
from fmnist_dask.workflow.plan import plan_workflow
from fmnist_dask.workflow.plan_scale import MOST_IMAGES

SHIPPED = ("explore", "cluster", "lowrank", "map", "quantize")


def cluster_file(path: Path, memory: str = "2GiB", scale: int = 2) -> Path:
    file = path / "cluster.yaml"
    file.write_text(f"kwargs: {{memory_limit: {memory}, threads_per_worker: 1}}\nscale: {scale}\n")
    return file


def explore(n: int = 200_000, **settings: object):
    said = [f"{name.replace('__', '.')}={value}" for name, value in settings.items()]
    return load_workflow(find_workflow("explore"), source_options={"n": str(n)}, settings=said)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict:
    """Explore of a few garments, with rates that workers have measured."""
    path = tmp_path_factory.mktemp("measured")
    return plan_workflow(explore(50_000), cluster=cluster_file(path), store=path / "c.zarr", timed=True)


@pytest.mark.slow
def test_a_plan_foresees_passes_and_who_shares_them(tmp_path: Path) -> None:
    plan = plan_workflow(explore(), store=tmp_path / "c.zarr")
    work = plan["work"]
    assert work[0]["name"] == "ingest"
    first = next(row for row in work if row["pass"])
    assert (first["name"], first["steps"]) == ("pass 1", ["duplicates", "pixels", "properties", "pca", "clusters"])
    assert (first["bytes_read"], first["chunks"]) == (200_000 * 784, -(-200_000 // 21_504))
    shared = [row for row in work if row["steps"] == ["pca", "clusters"]]
    assert [row["name"] for row in shared] == ["projection; first iterations"]
    assert plan["passes"] == sum(row["times"] for row in work if row["pass"])
    assert plan["bytes_read"] == 200_000 * 784 * plan["passes"]
    assert not (tmp_path / "c.zarr").exists()
    assert plan["seconds"] is None
    many = plan_workflow(explore(70_000, clusters__n_clusters=2000), store=tmp_path / "c.zarr")
    iterations = [row for row in many["work"] if row["name"] == "first iterations"]
    # What a worker holds of the centres: as sent, and loaded.
    assert iterations[0]["worker_bytes"] > 2 * 8 * 2000 * 784
    assert many["peak_worker_bytes"] == max(row["worker_bytes"] for row in many["work"])


@pytest.mark.parametrize("name", some_slow(["explore"], SHIPPED[1:]))
def test_everything_in_shipped_workflows_is_foreseen(name: str, tmp_path: Path) -> None:
    plan = plan_workflow(load_workflow(find_workflow(name)), store=tmp_path / "c.zarr")
    steps = load_workflow(find_workflow(name)).steps
    named = {step for row in plan["work"] for step in row["steps"]} - {"ingest"}
    assert named >= set(steps) - {"unique"}
    assert plan["passes"] >= 2
    assert all(row["worker_bytes"] >= plan["cluster"]["baseline_bytes"] for row in plan["work"])


@pytest.mark.slow
def test_images_with_and_without_a_mask_are_read_together(tmp_path: Path) -> None:
    work = plan_workflow(load_workflow(find_workflow("lowrank")), store=tmp_path / "c.zarr")["work"]
    assert next(row for row in work if row["pass"])["steps"] == ["plane", "filled", "sweep"]


@pytest.mark.slow
def test_rates_are_measured_on_workers(measured: dict) -> None:
    seconds = measured["seconds"]
    assert all(row["seconds"] > 0 for row in measured["work"])
    assert measured["untimed"] == []
    assert seconds["total"] == pytest.approx(sum(seconds[name] for name in ("startup", "ingest", "work", "results")))
    ingest = next(row for row in measured["work"] if row["name"] == "ingest")
    assert seconds["ingest"] == ingest["seconds"]
    # Compressed: between a tenth of the pixels and all of them.
    assert 0.1 < measured["disk_bytes"]["collection"] / measured["source"]["pixel_bytes"] < 1
    assert 0 < measured["scheduler"]["task_seconds"] < 0.2


@pytest.mark.slow
@pytest.mark.long
def test_ten_times_the_images_take_about_ten_times_as_long(measured: dict, tmp_path: Path) -> None:
    many = plan_workflow(
        explore(50_000), cluster=cluster_file(tmp_path), store=tmp_path / "c.zarr", images=5_000_000, timed=True
    )
    assert many["source"]["n"] == 5_000_000
    assert many["bytes_read"] == 100 * measured["bytes_read"]
    # The machine is never the same twice, and small passes have their fixed parts.
    assert 10 < many["seconds"]["work"] / measured["seconds"]["work"] < 400


def test_plans_go_beyond_this_machine(tmp_path: Path) -> None:
    plan = plan_workflow(
        explore(), cluster=cluster_file(tmp_path), store=tmp_path / "c.zarr", images=10**9, workers=200
    )
    assert plan["cluster"]["workers"] == 200
    passes = [row for row in plan["work"] if row["pass"]]
    assert {row["chunks"] for row in passes} == {-(-(10**9) // 21_504)}
    assert max(row["tasks"] for row in passes) < 10_000
    assert plan["scheduler"]["most_tasks"] < plan["scheduler"]["limit"]
    assert plan["peak_worker_bytes"] < 0.8 * 2**31
    assert any("200 workers" in sentence for sentence in plan["assumptions"])
    assert any("1,000,000,000 images" in sentence for sentence in plan["assumptions"])


@pytest.mark.parametrize(("images", "workers"), [(0, None), (MOST_IMAGES + 1, None), (None, 0)])
def test_senseless_sizes_are_refused(images: int | None, workers: int | None) -> None:
    with pytest.raises(UsageError, match=r"--images|--workers"):
        plan_workflow(explore(), images=images, workers=workers)


def test_one_photograph_is_not_planned_for_many_images() -> None:
    with pytest.raises(UsageError, match="one photograph"):
        plan_workflow(load_workflow(find_workflow("quantize")), images=1000)


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    small = cluster_file(tmp_path, "400MiB")
    workflow = explore(70_000, clusters__n_clusters=4000)
    with pytest.raises(MemoryLimitError) as caught:
        plan_workflow(workflow, cluster=small, store=tmp_path / "c.zarr")
    assert caught.value.step == "clusters"
    assert "the step clusters" in caught.value.message
    assert "400 MiB" in caught.value.message
    remedy = str(caught.value.remedy)
    assert "memory_limit of at least" in remedy
    largest = int(remedy.split("--set clusters.n_clusters=")[1].split()[0])
    assert 10 < largest < 4000
    fitting = explore(70_000, clusters__n_clusters=largest)
    assert plan_workflow(fitting, cluster=small, store=tmp_path / "c.zarr", only=["clusters"])["work"]


@pytest.mark.slow
def test_smaller_chunks_are_advised_where_they_would_fit(tmp_path: Path) -> None:
    small = cluster_file(tmp_path, "260MiB")
    with pytest.raises(MemoryLimitError) as caught:
        plan_workflow(explore(70_000), cluster=small, store=tmp_path / "c.zarr", only=["properties"])
    mebibytes = str(caught.value.remedy).split("chunk_mib=")[1].split()[0]
    workflow = load_workflow(find_workflow("explore"), source_options={"n": "70000", "chunk_mib": mebibytes})
    assert plan_workflow(workflow, cluster=small, store=tmp_path / "c.zarr", only=["properties"])["work"]


def test_the_command_takes_numbers_as_people_write_them(tmp_path: Path) -> None:
    command = ["plan", "explore", "--no-timing", "--json", "--store", str(tmp_path / "c.zarr"), "--images"]
    found = CliRunner().invoke(main, [*command, "3e6"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["source"]["n"] == 3_000_000
    wrong = CliRunner().invoke(main, [*command, "many"])
    assert wrong.exit_code == 2
    assert "no whole number" in wrong.output
