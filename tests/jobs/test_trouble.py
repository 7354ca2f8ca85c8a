"""Trouble that passes, and trouble that stays: an object store that is gone for a while, a chunk that never reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_store import BUCKET, s3_server

from fmnist_dask import open_run
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import RunError
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.workflow.ingesting import make_collection
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.runner import Runner

STEPS = """
name: trouble
steps:
  duplicates: {uses: duplicates}
  clusters: {uses: kmeans, with: {n_clusters: 20, n_init: 1, tol: 0.0, max_iter: 25}}
"""


@pytest.mark.slow
@pytest.mark.long
def test_an_object_store_that_is_gone_for_a_while(tmp_path: Path) -> None:
    down = tmp_path / "down"
    (tmp_path / "trouble.yaml").write_text(STEPS)
    with s3_server(down=down):
        command = [sys.executable, "-m", "fmnist_dask.cli"]
        source = ["garments", "--source-option", "n=6000", "--source-option", "chunk_mib=1"]
        for store in (f"s3://{BUCKET}/garments.zarr", "garments.zarr"):
            subprocess.run([*command, "ingest", source[0], store, *source[1:]], cwd=tmp_path, check=True, timeout=100)
        run = [*command, "run", "trouble.yaml", "--source"]
        subprocess.run([*run, "garments.zarr", "--out", "runs/near"], cwd=tmp_path, check=True, timeout=100)
        far = subprocess.Popen([*run, f"s3://{BUCKET}/garments.zarr", "--out", "runs/far"], cwd=tmp_path)
        try:
            _await_checkpoints(tmp_path / "runs" / "far", 4)
            down.touch()
            time.sleep(7)
            assert far.poll() is None
            down.unlink()
            assert far.wait(100) == 0
        finally:
            far.kill()
            far.wait()
    near, far_away = (open_run(tmp_path / "runs" / name) for name in ("near", "far"))
    np.testing.assert_array_equal(
        near["clusters"]["cluster_centers"].values, far_away["clusters"]["cluster_centers"].values
    )
    events = (tmp_path / "runs" / "far" / "events.jsonl").read_text()
    assert '"event": "error"' not in events
    assert '"event": "lost"' not in events


def _await_checkpoints(run: Path, count: int) -> None:
    end = time.monotonic() + 90
    while not (run / "events.jsonl").is_file() or (run / "events.jsonl").read_text().count('"checkpoint"') < count:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def broken(tmp_path: Path, cluster: Connection) -> Collection:
    """Garments whose second chunk, of train images, cannot be decoded."""
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    made = make_collection(engine, open_source("garments", {"n": 4200, "chunk_mib": 0.5}), tmp_path / "garments.zarr")
    chunk = Path(made.path) / "image" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-200] + os.urandom(200))
    return made


@pytest.mark.slow
def test_a_chunk_that_never_reads_is_named_and_harms_nobody_else(
    tmp_path: Path, broken: Collection, cluster: Connection
) -> None:
    path = tmp_path / "steps.yaml"
    path.write_text(
        "name: steps\nsteps:\n"
        "  seen: {uses: pixel_stats, split: train}\n"
        "  unharmed: {uses: kmeans, split: test, with: {n_clusters: 2, n_init: 1}}\n"
        "  waiting: {uses: kmeans, on: codes, with: {n_clusters: 2}}\n"
        "  codes: {uses: pca, split: train, with: {n_components: 2}}\n"
    )
    workflow = load_workflow(path, source=broken.path)
    runner = Runner(workflow, cluster=cluster.client.scheduler.address, out=tmp_path / "run")
    begun = time.monotonic()
    with pytest.raises(RunError) as caught:
        runner.execute()
    assert time.monotonic() - begun < 60  # tries are bounded
    rows = broken.chunk_rows
    assert "image" in str(caught.value)
    assert f"{rows:,}" in str(caught.value) or str(rows) in str(caught.value)
    steps: dict[str, Any] = json.loads((tmp_path / "run" / "manifest.json").read_text())["steps"]
    words = {name: step["status"] for name, step in steps.items()}
    assert words == {"seen": "FAILED", "codes": "FAILED", "waiting": "SKIPPED", "unharmed": "SUCCEEDED"}
    assert open_run(tmp_path / "run")["unharmed"]["size"].sum() == broken.splits["test"]
    # Mended, the same run goes on with what was missing.
    fresh = Runner(workflow, cluster=cluster.client.scheduler.address, out=tmp_path / "run")
    _mend(broken, cluster, tmp_path)
    assert fresh.execute()["status"] == "SUCCEEDED"
    assert fresh.run.manifest["steps"]["unharmed"]["status"] == "REUSED"


def _mend(broken: Collection, cluster: Connection, tmp_path: Path) -> None:
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    whole = make_collection(engine, open_source("garments", {"n": 4200, "chunk_mib": 0.5}), tmp_path / "whole.zarr")
    chunk = Path("image") / "c" / "1" / "0" / "0"
    (Path(broken.path) / chunk).write_bytes((Path(whole.path) / chunk).read_bytes())
