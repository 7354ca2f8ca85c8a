"""Steps that work on what other steps give, and tables that steps share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from plugin_steps import FIRST
from support import stored

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import RunError, WorkflowError
from fmnist_dask.kernels import garments
from fmnist_dask.workflow import image_tables
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.plan import plan_workflow
from fmnist_dask.workflow.registry import all_steps

N = 2000
TEXT = """\
name: on
steps:
  groups:  {uses: sorting, split: train}
  corners: {uses: corners}
  finer:   {uses: sorting, on: corners, split: test, with: {count: 3}}
  coarser: {uses: sorting, on: corners, with: {count: 2}}
"""


all_steps.cache_clear()  # those of plugin_steps are registered by now


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return stored(Garments({"n": N}), tmp_path_factory.mktemp("on") / "garments.zarr")


@pytest.fixture(scope="module")
def run_text(cluster: Connection, collection: Collection, tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("runs")

    def run(text: str = TEXT, name: str = "first", **changes: object) -> fmnist_dask.Run:
        path = root / "on.yaml"
        path.write_text(text)
        address = str(cluster.client.scheduler.address)
        return fmnist_dask.run(path, source=collection.path, cluster=address, out=root / name, report=False, **changes)

    return run


@pytest.fixture(scope="module")
def first(run_text) -> fmnist_dask.Run:
    return run_text()


@pytest.fixture(scope="module")
def sums() -> tuple[np.ndarray, np.ndarray]:
    """Sum of all pixels, and of the first three, of each image."""
    flat = garments.draw(0, np.arange(N)).reshape(N, -1).astype(np.int64)
    return flat.sum(axis=1), flat[:, FIRST : FIRST + 3].sum(axis=1)


def test_a_step_works_on_the_features_of_another(first: fmnist_dask.Run, sums) -> None:
    _, corner = sums
    assert int(first["finer"]["features"]) == 3
    assert first.metrics["finer"]["on"] == "corners"
    assert first.manifest["steps"]["corners"]["features"] == "corner"
    np.testing.assert_array_equal(first["coarser"]["sum"], corner)


def test_steps_share_a_pass_over_each_source(first: fmnist_dask.Run, collection: Collection) -> None:
    # One over the pixels, one over the features that came of it, whose two steps share it.
    assert first.manifest["passes"] == 2
    assert first.manifest["bytes_read"] == N * (784 + 3 * 4)
    assert {name: record["passes"] for name, record in first.manifest["steps"].items()} == dict.fromkeys(
        ("groups", "corners", "finer", "coarser"), 1
    )


def test_steps_share_a_table_of_all_images(first: fmnist_dask.Run, collection: Collection, sums) -> None:
    total, corner = sums
    table = first.table("groups")
    names = ["groups", "groups_sum", "finer", "finer_sum", "coarser", "coarser_sum"]
    assert list(table.columns) == ["sample", "source_name", "split", "label", *names]
    assert table["sample"].tolist() == list(range(N))
    assert table["label"].tolist() == garments.labels(0, np.arange(N)).tolist()
    inside = {name: (table["split"] == name).to_numpy() for name in ("train", "test")}
    for split, name, expected, count in (("train", "groups", total, 5), ("test", "finer", corner, 3)):
        chosen = inside[split]
        assert table[name][chosen].tolist() == (expected % count)[chosen].tolist()
        assert table[f"{name}_sum"][chosen].tolist() == expected[chosen].tolist()
        assert table[[name, f"{name}_sum"]][~chosen].isna().all(axis=None)
    assert table["coarser"].tolist() == (corner % 2).tolist()
    schema = pq.read_schema(first.path / "tables" / "groups.parquet")
    assert [str(schema.field(name).type) for name in ("groups", "groups_sum")] == ["int32", "double"]


@pytest.mark.slow
def test_a_table_does_not_depend_on_how_it_was_streamed(
    first: fmnist_dask.Run, run_text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_tables, "BATCH_ROWS", 600)
    again = run_text(name="streamed")
    assert pq.ParquetFile(again.path / "tables" / "groups.parquet").num_row_groups == 4
    assert again.table("groups").equals(first.table("groups"))


@pytest.mark.slow
def test_a_step_that_is_withdrawn_takes_its_columns_only(run_text) -> None:
    before = run_text(name="changing").table("groups")
    left = run_text(name="changing", settings=["finer.count=7"], only=["groups"])
    assert left.manifest["steps"]["finer"]["status"] == "SKIPPED"
    assert left.table("groups").equals(before.drop(columns=["finer", "finer_sum"]))
    changed = run_text(name="changing", settings=["finer.count=7"])
    statuses = [record["status"] for record in changed.manifest["steps"].values()]
    assert statuses == ["REUSED", "REUSED", "SUCCEEDED", "REUSED"]
    after = changed.table("groups")
    assert list(after.columns) == list(before.columns)
    assert after.drop(columns="finer").equals(before.drop(columns="finer"))
    assert after["finer"].max() == 6


@pytest.mark.slow
def test_features_made_anew_make_anew_what_rests_on_them(run_text) -> None:
    run_text(name="anew")
    changed = run_text(name="anew", settings=["corners.width=30"])
    statuses = [record["status"] for record in changed.manifest["steps"].values()]
    assert statuses == ["REUSED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    assert int(changed["finer"]["features"]) == 30
    flat = garments.draw(0, np.arange(N)).reshape(N, -1).astype(np.int64)
    np.testing.assert_array_equal(changed["coarser"]["sum"], flat[:, FIRST : FIRST + 30].sum(axis=1))


def test_a_step_without_features_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "name: w\nsteps:\n  a: {uses: duplicates}\n  c: {uses: corners}\n  b:\n    uses: sorting\n    on: a\n"
    )
    words = r'w.yaml:7: b works on "a", but the step duplicates has neither (.|\n)*c, embedding, pix'
    with pytest.raises(WorkflowError, match=words):
        load_workflow(path)


def test_a_promise_of_features_that_is_not_kept_is_said(run_text) -> None:
    text = "name: on\nsteps:\n  nothing: {uses: empty_handed}\n  after: {uses: sorting, on: nothing}\n"
    with pytest.raises(RunError, match=r"the step nothing \(empty_handed\) has nothing"):
        run_text(text, name="broken")


@pytest.mark.slow
def test_plans_foresee_what_steps_do_with_the_features_of_others(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text("""\
name: chain
source: {path: garments, n: 3000}
steps:
  unique:  {uses: deduplicated}
  pca:     {uses: pca, on: unique, split: train, with: {n_components: 6}}
  groups:  {uses: kmeans, on: pca, split: train, with: {n_clusters: 4}}
  map:     {uses: tsne, on: pca, split: train}
  other:   {uses: umap, on: pca, split: train, with: {landmarks: 500}}
  corners: {uses: corners}
  unknown: {uses: kmeans, on: corners, with: {n_clusters: 4}}
""")
    work = plan_workflow(load_workflow(path))["work"]
    passes = {(row["steps"][0], row["name"]): row for row in work}
    assert passes["groups", "each iteration"]["bytes_read"] == 3000 * 6 * 4
    assert passes["pca", "projection"]["bytes_read"] == 3000 * 784
    assert passes["map", "t-SNE"]["task_bytes"] > 2**28
    assert passes["other", "UMAP"]["task_bytes"] > 3 * 2**27
    assert passes["other", "places of others"]["bytes_read"] == passes["groups", "each iteration"]["bytes_read"]
    # Nobody knows how many features that step will give.
    assert not [row for row in work if row["steps"] == ["unknown"]]
