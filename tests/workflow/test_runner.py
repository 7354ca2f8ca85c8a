"""Runs on a real cluster: results, reuse, failures, leases, memory against plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from support import write_idx_set

import fmnist_dask
from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.errors import FmnistDaskError, RunError, UsageError
from fmnist_dask.kernels import garments
from fmnist_dask.workflow.plan_workers import planned_workers
from fmnist_dask.workflow.registry import StepInput, StepResult, all_steps, step

N = 3000
#: Three steps that share one pass.
STEPS = """\
name: explore
steps:
  duplicates: {uses: duplicates}
  pixels:     {uses: pixel_stats, split: train, with: {by: label}}
  properties: {uses: image_properties}
report: {title: What is in this collection}
"""


@pytest.fixture(scope="module")
def address(cluster: Connection) -> str:
    return str(cluster.client.scheduler.address)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workflow") / "steps.yaml"
    path.write_text(STEPS)
    return path


@pytest.fixture(scope="module")
def run_explore(address: str, steps: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., fmnist_dask.Run]:
    root = tmp_path_factory.mktemp("runs")

    def explore(name: str = "first", **changes: object) -> fmnist_dask.Run:
        options = {"source_options": {"n": N, "chunk_mib": 0.2}, "cluster": address, "store": root / "garments.zarr"}
        options["report"] = name == "first"
        return fmnist_dask.run(steps, out=root / name, **{**options, **changes})  # type: ignore[arg-type]

    # Whichever test comes first, this run has made the collection: later ones find states that it has kept.
    explore.first = explore()  # type: ignore[attr-defined]
    # As it was then: another test may have run the same again before the one that looks at it.
    explore.manifest = json.loads((explore.first.path / "manifest.json").read_text())  # type: ignore[attr-defined]
    return explore


@pytest.fixture(scope="module")
def first(run_explore: Callable[..., fmnist_dask.Run]) -> fmnist_dask.Run:
    run: fmnist_dask.Run = run_explore.first  # type: ignore[attr-defined]
    return run


def test_the_manifest_keeps_its_contract(first: fmnist_dask.Run, run_explore: Callable[..., fmnist_dask.Run]) -> None:
    manifest = run_explore.manifest  # type: ignore[attr-defined]
    wanted = [
        "format_version",
        "run",
        "status",
        "workflow",
        "source",
        "seed",
        "versions",
        "cpu",
        "blas",
        "cluster",
        "started",
        "ended",
        "seconds",
        "peak_worker_bytes",
        "peak_driver_bytes",
        "passes",
        "bytes_read",
        "error",
        "steps",
    ]
    assert not [key for key in wanted if key not in manifest]
    assert manifest["status"] == "SUCCEEDED"
    assert any("blas" in name or "mkl" in name for name in manifest["blas"])
    assert manifest["run"] == first.path.name
    assert manifest["passes"] == 1
    assert manifest["bytes_read"] == N * 784
    assert manifest["chunks_read"] == first.collection.n_chunks > 4
    assert set(manifest["cluster"]) == {"class", "workers", "threads", "memory_limit", "address"}
    assert {"name", "path", "fingerprint", "n"} <= set(manifest["source"])
    for record in manifest["steps"].values():
        assert record["status"] == "SUCCEEDED"
        keys = [
            "uses",
            "split",
            "on",
            "status",
            "seconds",
            "passes",
            "fingerprint",
            "metrics",
            "exact",
            "n_used",
            "n_total",
        ]
        assert not [key for key in keys if key not in record]
    assert set(manifest["steps"]["duplicates"]["metrics"]) == {
        "n_unique",
        "n_groups",
        "surplus",
        "leaked",
        "conflicting_labels",
    }
    assert {"mean", "std"} == set(manifest["steps"]["pixels"]["metrics"])


def test_planted_duplicates_are_found_exactly(first: fmnist_dask.Run) -> None:
    rows = np.arange(N)
    flags, origin = garments.planted(0, rows)
    copies = (flags & garments.EXACT_DUPLICATE) > 0
    truth: dict[int, list[int]] = {}
    for row in rows[copies]:
        truth.setdefault(int(origin[row]), [int(origin[row])]).append(int(row))
    table = first.table("duplicates")
    found = {group: sorted(members["sample"]) for group, members in table.groupby("group")}
    assert found == {group: sorted(members) for group, members in truth.items()}
    assert list(table.columns) == ["sample", "source_name", "split", "label", "group"]
    metrics = first.metrics["duplicates"]
    labels = garments.labels(0, rows)
    assert metrics["n_unique"] == N - copies.sum()
    assert metrics["n_groups"] == len(truth)
    assert metrics["conflicting_labels"] == sum(
        len({int(labels[m]) for m in members}) > 1 for members in truth.values()
    )
    train = first.collection.splits["train"]
    crossing = [members for members in truth.values() if min(members) < train <= max(members)]
    assert metrics["leaked"] == {
        "train": sum(member < train for members in crossing for member in members),
        "test": sum(member >= train for members in crossing for member in members),
    }


def test_pixel_statistics_equal_numpy(first: fmnist_dask.Run) -> None:
    train = first.collection.splits["train"]
    image, label = garments.draw(0, np.arange(train)), garments.labels(0, np.arange(train))
    pixels = first["pixels"]
    np.testing.assert_array_equal(pixels["mean"], image.mean(axis=0))
    np.testing.assert_array_equal(pixels["quantiles"], np.quantile(image, [0.25, 0.5, 0.75], axis=0))
    for index, name in enumerate(garments.CLASS_NAMES):
        of_class = image[label == index]
        chosen = pixels.sel({"class": name})
        np.testing.assert_array_equal(chosen["class_mean"], of_class.mean(axis=0))
        np.testing.assert_array_equal(chosen["class_quantiles"], np.quantile(of_class, [0.25, 0.5, 0.75], axis=0))
        np.testing.assert_array_equal(chosen["class_maximum"], of_class.max(axis=0))
    assert first.metrics["pixels"]["mean"] == pytest.approx(image.mean() / 255, rel=1e-14)
    assert first.metrics["pixels"]["std"] == pytest.approx(image.std() / 255, rel=1e-12)


def test_faded_images_are_listed(first: fmnist_dask.Run) -> None:
    flags, _ = garments.planted(0, np.arange(N))
    listed = first.table("suspicious")
    low = set(listed[listed["reasons"].str.contains("low contrast")]["sample"])
    assert low >= set(np.flatnonzero(flags & garments.FADED))
    assert len(low) > 0


def test_columns_join_the_result_and_open_as_one_tree(first: fmnist_dask.Run) -> None:
    brightness = first["properties"]["brightness"]
    assert brightness.dims == ("sample",)
    expected = garments.draw(0, np.arange(N)).mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(brightness, expected, rtol=1e-6)
    tree = xr.open_datatree(first.path / "results.zarr", engine="zarr", consolidated=False)
    assert set(tree.children) == {"duplicates", "pixels", "properties"}


def test_events_are_lines_of_json(first: fmnist_dask.Run) -> None:
    lines = [json.loads(line) for line in (first.path / "events.jsonl").read_text().splitlines()]
    assert {"start", "progress", "done"} <= {line["event"] for line in lines}
    assert all({"time", "run", "step", "event"} <= set(line) for line in lines)
    last = [line for line in lines if line["event"] == "progress" and line["step"] == "pixels"][-1]
    assert last["done"] == last["total"] == N
    assert last["chunks_done"] == last["chunks_total"]


def test_the_same_run_again_reads_nothing(first: fmnist_dask.Run, run_explore: Callable[..., fmnist_dask.Run]) -> None:
    before = first["pixels"].load()
    again = run_explore()
    assert again.manifest["passes"] == 0
    assert {record["status"] for record in again.manifest["steps"].values()} == {"REUSED"}
    xr.testing.assert_identical(before, again["pixels"].load())


def test_one_changed_parameter_runs_one_step(run_explore: Callable[..., fmnist_dask.Run]) -> None:
    run_explore("changing")
    changed = run_explore("changing", settings=["pixels.quantiles=[0.5]"])
    statuses = {name: record["status"] for name, record in changed.manifest["steps"].items()}
    assert statuses == {"duplicates": "REUSED", "pixels": "SUCCEEDED", "properties": "REUSED"}
    assert changed["pixels"].sizes["quantile"] == 1


@pytest.mark.slow
def test_only_and_force(run_explore: Callable[..., fmnist_dask.Run]) -> None:
    only = run_explore("only", only=["pixels"])
    statuses = {name: record["status"] for name, record in only.manifest["steps"].items()}
    assert statuses == {"duplicates": "SKIPPED", "pixels": "SUCCEEDED", "properties": "SKIPPED"}
    assert only.keys() == ["pixels"]
    forced = run_explore("only", only=["pixels"], force=True)
    assert forced.manifest["steps"]["pixels"]["status"] == "SUCCEEDED"
    assert forced.manifest["passes"] == 1


@pytest.mark.slow
def test_results_do_not_depend_on_chunks(
    first: fmnist_dask.Run, run_explore: Callable[..., fmnist_dask.Run], tmp_path: Path
) -> None:
    for chunk_mib in (0.4, 16):
        other = run_explore(
            f"chunks-{chunk_mib}",
            source_options={"n": N, "chunk_mib": chunk_mib},
            store=tmp_path / f"{chunk_mib}.zarr",
        )
        assert other.collection.chunk_rows != first.collection.chunk_rows
        assert other.collection.fingerprint == first.collection.fingerprint
        for name in first.keys():  # noqa: SIM118 - a Run is no dict
            xr.testing.assert_identical(first[name].load(), other[name].load())
        for table in ("duplicates", "suspicious"):
            assert first.table(table).equals(other.table(table))


def test_a_failing_step_leaves_the_others_whole(
    address: str, tmp_path: Path, first: fmnist_dask.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_steps()

    @step("breaks")
    def breaks(data: StepInput, *, message: str = "no luck") -> StepResult:
        """Fails."""
        raise FmnistDaskError(message, "try a rabbit's foot")

    workflow = tmp_path / "w.yaml"
    workflow.write_text(
        "name: w\nsteps:\n  good: {uses: duplicates}\n  bad: {uses: breaks}\n"
        "  after: {uses: pixel_stats, needs: [bad]}\n"
    )
    all_steps.cache_clear()
    with pytest.raises(RunError, match="no luck"):
        fmnist_dask.run(workflow, source=first.collection.path, cluster=address, out=tmp_path / "run")
    run = fmnist_dask.open_run(tmp_path / "run")
    statuses = {name: record["status"] for name, record in run.manifest["steps"].items()}
    assert statuses == {"good": "SUCCEEDED", "bad": "FAILED", "after": "SKIPPED"}
    assert run.status == "FAILED"
    assert "no luck" in run.manifest["error"]
    assert run.keys() == ["good"]
    assert "no luck" in run.report.read_text()


def test_a_users_step_may_be_a_plain_function(address: str, tmp_path: Path, first: fmnist_dask.Run) -> None:
    all_steps()

    @step("count_images")
    def count_images(data: StepInput, *, factor: int = 1) -> xr.Dataset:
        """Count."""
        return xr.Dataset({"count": data.n * factor})

    all_steps.cache_clear()
    workflow = tmp_path / "w.yaml"
    workflow.write_text("name: w\nsteps:\n  a: {uses: count_images, split: test, with: {factor: 2}}\n")
    run = fmnist_dask.run(workflow, source=first.collection.path, cluster=address, out=tmp_path / "run")
    assert int(run["a"]["count"]) == 2 * first.collection.splits["test"]


def test_a_second_driver_is_kept_out(first: fmnist_dask.Run, run_explore: Callable[..., fmnist_dask.Run]) -> None:
    with Lease(first.path, "a test"), pytest.raises(RunError, match="is in use: process"):
        run_explore()


def test_an_unknown_split_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='no split "valid"'):
        fmnist_dask.run("explore", settings=["pixels.split=valid"], out=tmp_path / "run", store=tmp_path / "c.zarr")
    assert not (tmp_path / "c.zarr").exists()


def test_a_collection_of_other_content_is_not_overwritten(
    run_explore: Callable[..., fmnist_dask.Run], first: fmnist_dask.Run
) -> None:
    with pytest.raises(FmnistDaskError, match="holds a collection made from"):
        run_explore("other", source_options={"n": N + 1, "chunk_mib": 0.2})
    assert fmnist_dask.open_collection(first.collection.path).n == N


@pytest.mark.slow
def test_idx_files_of_any_name_run_without_class_names(address: str, tmp_path: Path) -> None:
    write_idx_set(tmp_path / "raw", train=60, test=20)
    run = fmnist_dask.run(
        "explore", source=tmp_path / "raw", cluster=address, out=tmp_path / "run", store=tmp_path / "c.zarr"
    )
    assert run.collection.class_names == tuple("0123456789")
    assert run.manifest["source"]["kind"] == "IDX files"
    assert run.metrics["duplicates"]["n_unique"] == 80


@pytest.mark.slow
def test_a_workflow_of_a_one_split_source_takes_train_for_all(address: str, steps: Path, tmp_path: Path) -> None:
    run = fmnist_dask.run(steps, source="digits", cluster=address, out=tmp_path / "run", store=tmp_path / "d.zarr")
    assert run.manifest["steps"]["pixels"]["n_used"] == 1797
    assert run.metrics["duplicates"]["leaked"] is None


@pytest.mark.slow
def test_a_report_can_wait(run_explore: Callable[..., fmnist_dask.Run]) -> None:
    run = run_explore("waiting", only=["pixels"], report=True)
    assert run.report.is_file()
    # With other results, the page that is there would tell of what was before.
    run = run_explore("waiting", only=["properties"], report=False)
    assert run.status == "SUCCEEDED"
    assert not run.report.exists()
    run = run_explore("waiting", only=["properties"], report=True)
    assert run.manifest["tasks"] == 0
    assert "How bright, how contrasted, how sharp" in run.report.read_text(encoding="utf-8")


def test_the_report_names_the_run_and_says_synthetic(first: fmnist_dask.Run) -> None:
    page = first.report.read_text(encoding="utf-8")
    assert "synthetic" in page.lower()
    assert "What is in this collection" in page
    assert len(page) < 6_000_000


def test_notebook_views(first: fmnist_dask.Run) -> None:
    assert "Ankle boot" in first.collection._repr_html_()
    assert "data:image/png" in first.collection._repr_html_()
    assert "SUCCEEDED" in first._repr_html_()


def test_tables_hold_typed_columns_first(first: fmnist_dask.Run) -> None:
    schema = pq.read_schema(first.path / "tables" / "suspicious.parquet")
    assert schema.names[:4] == ["sample", "source_name", "split", "label"]


def test_the_source_of_garments_says_that_it_is_synthetic() -> None:
    assert Garments({"n": 10}).provenance()["synthetic"] is True


@pytest.mark.slow
def test_the_same_place_with_another_source_shows_nothing_of_the_first(
    first: fmnist_dask.Run, address: str, steps: Path, tmp_path: Path
) -> None:
    def explore(**options: object) -> fmnist_dask.Run:
        return fmnist_dask.run(
            steps,
            source_options={"n": N, **options},
            cluster=address,
            out=tmp_path / "run",
            store=tmp_path / f"{len(options)}.zarr",
            only=["properties"] if options else [],
        )

    explore()
    other = explore(seed=5, chunk_mib=0.2)
    expected = garments.draw(5, np.arange(N)).mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(other["properties"]["brightness"], expected, rtol=1e-6)
    assert other.keys() == ["properties"]
    assert list(other.tree().children) == ["properties"]
    with pytest.raises(RunError, match='no table "duplicates"'):
        other.table("duplicates")


@pytest.mark.slow
def test_force_forgets_only_what_is_chosen(run_explore: Callable[..., fmnist_dask.Run]) -> None:
    run_explore("forced")
    forced = run_explore("forced", only=["duplicates"], force=True)
    statuses = {name: record["status"] for name, record in forced.manifest["steps"].items()}
    assert statuses == {"duplicates": "SUCCEEDED", "pixels": "REUSED", "properties": "REUSED"}


@pytest.mark.slow
def test_a_cluster_file_overlays_dasks_configuration(steps: Path, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "version: 1\nmodule: dask.distributed\nclass: LocalCluster\n"
        "kwargs: {threads_per_worker: 1, memory_limit: auto}\nscale: 1\n"
        "config: {distributed: {worker: {memory: {spill: 0.65}}}}\n"
    )
    run = fmnist_dask.run(steps, source="digits", cluster=path, out=tmp_path / "run", store=tmp_path / "d.zarr")
    assert run.manifest["cluster"]["workers"] == 1
    assert planned_workers(load_cluster(path)).usable == 0.65
