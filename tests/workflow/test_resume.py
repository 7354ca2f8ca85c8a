"""Drivers that are killed: the same command goes on, asks nothing twice and leaves the same results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plugin_steps
import pytest
from support import stored

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import RunError
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.workflow.registry import all_steps

assert plugin_steps.rounds
all_steps.cache_clear()

N = 5000
TEXT = """\
name: killed
steps:
  short:  {uses: rounds, split: train, with: {count: 1, pause: 0.05}}
  long:   {uses: rounds, with: {count: 7, pause: 0.05}}
  copies: {uses: duplicates}
  after:  {uses: sorting, needs: [short]}
"""
#: Passes: the columns, then a round each.
PASSES = {"short": 2, "long": 8, "copies": 1, "after": 1}
DRIVER = "from fmnist_dask.cli import main; main()"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return stored(Garments({"n": N}), tmp_path_factory.mktemp("killed") / "garments.zarr", 512)


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workflow") / "killed.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def address(cluster: Connection) -> str:
    return str(cluster.client.scheduler.address)


@pytest.fixture(scope="module")
def undisturbed(workflow: Path, collection: Collection, address: str, tmp_path_factory: Any) -> fmnist_dask.Run:
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    return fmnist_dask.run(workflow, source=collection.path, cluster=address, out=out)


@pytest.fixture(scope="module")
def start(workflow: Path, collection: Collection, address: str, tmp_path_factory: Any) -> Callable[..., Any]:
    """Start a driver in a process of its own, with the steps of ``plugin_steps`` as another package's."""
    site = tmp_path_factory.mktemp("site")
    package = site / "plugin_steps-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-steps\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[fmnist_dask.steps]\nplugin = plugin_steps\n")
    paths = [str(site), str(Path(plugin_steps.__file__).parent), os.environ.get("PYTHONPATH", "")]

    def start(out: Path) -> subprocess.Popen[bytes]:
        arguments = ["run", str(workflow), "--source", collection.path, "--cluster", address, "--out", str(out)]
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    return start


def events(out: Path) -> list[dict[str, Any]]:
    """Events so far; a driver that was killed may have left half a line."""
    path = out / "events.jsonl"
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def kill_after(driver: subprocess.Popen[bytes], out: Path, checkpoints: int, delay: float) -> None:
    """Kill a driver some time after it has saved so many answers."""
    end = time.monotonic() + 60
    while sum(event["event"] == "checkpoint" for event in events(out)) < checkpoints:
        assert driver.poll() is None, driver.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(delay)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()


def content(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def passes_of(run: fmnist_dask.Run, step: str) -> int:
    """Passes that the manifest accounts for, of a step alone or with others."""
    return sum(entry["times"] for entry in run.manifest["work"] if entry["kind"] == "pass" and step in entry["steps"])


def assert_as_if_nothing_had_happened(run: fmnist_dask.Run, undisturbed: fmnist_dask.Run) -> None:
    assert run.status == "SUCCEEDED"
    assert content(run.path / "results.zarr") == content(undisturbed.path / "results.zarr")
    assert content(run.path / "tables") == content(undisturbed.path / "tables")
    assert list((run.path / ".pending").rglob("*.answer")) == []
    assert not (run.path / ".pending" / "columns").exists()


@pytest.mark.slow
def test_a_run_that_nobody_kills(undisturbed: fmnist_dask.Run) -> None:
    steps = undisturbed.manifest["steps"]
    assert {name: record["passes"] for name, record in steps.items()} == PASSES
    assert {record["resumed_passes"] for record in steps.values()} == {0}
    assert undisturbed.manifest["chunks_resumed"] == 0
    saved = [
        event["scan"] for event in events(undisturbed.path) if (event["event"], event["step"]) == ("checkpoint", "long")
    ]
    assert saved == [1, *(number // 2 for number in range(4, 17))]  # each pass, and the tasks after it
    assert not (undisturbed.path / ".pending" / "columns").exists()


@pytest.fixture(scope="module")
def run_here(workflow: Path, collection: Collection, address: str) -> Callable[..., fmnist_dask.Run]:
    """The same run in this process."""

    def run(out: Path, **changes: Any) -> fmnist_dask.Run:
        return fmnist_dask.run(workflow, source=collection.path, cluster=address, out=out, report=False, **changes)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("checkpoints", "delay"), [(2, 0.0), (4, 0.1), (9, 0.0)])
def test_a_driver_killed_goes_on_where_it_was(
    start: Callable[..., Any],
    run_here: Callable[..., fmnist_dask.Run],
    undisturbed: fmnist_dask.Run,
    tmp_path: Path,
    checkpoints: int,
    delay: float,
) -> None:
    out = tmp_path / "run"
    kill_after(start(out), out, checkpoints, delay)
    before = events(out)
    assert json.loads((out / "manifest.json").read_text())["status"] == "RUNNING"
    saved = {name: len(list((out / ".pending" / "journal").glob(f"{name}-*/*.answer"))) for name in PASSES}
    run = run_here(out)
    assert_as_if_nothing_had_happened(run, undisturbed)
    told = [event for event in events(out)[len(before) :] if event["event"] in ("resumed", "checkpoint")]
    new = {name: step for name, step in run.manifest["steps"].items() if step["status"] == "SUCCEEDED"}
    for name, record in new.items():
        assert record["passes"] == PASSES[name]
        resumed = [event for event in told if (event["event"], event["step"]) == ("resumed", name)]
        assert [event["answers"] for event in resumed] == ([saved[name]] if saved[name] else [])
        assert [event["scans"] for event in resumed] == ([record["resumed_passes"]] if saved[name] else [])
        # What was saved is not answered, and so saved, again.
        again = [event["answers"] for event in told if (event["event"], event["step"]) == ("checkpoint", name)]
        assert again == list(range(saved[name] + 1, saved[name] + 1 + len(again)))
    # Steps save one after the other: of two answers, none need be that of the long one.
    assert sum(saved.values()) >= 1
    assert new["long"]["resumed_passes"] >= min(saved["long"], 1) >= (checkpoints > len(PASSES))
    assert run.manifest["passes"] == max(record["passes"] - record["resumed_passes"] for record in new.values())


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth pass from now on fails: the cluster is gone, say."""
    original, calls = DistributedEngine.run_pass, list[Any]()

    def run_pass(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 4:
            raise RunError("the cluster is gone")
        return original(self, *arguments)

    monkeypatch.setattr(DistributedEngine, "run_pass", run_pass)


@pytest.mark.usefixtures("failing")
@pytest.mark.slow
def test_a_step_that_failed_goes_on_from_its_journal(
    run_here: Callable[..., fmnist_dask.Run], undisturbed: fmnist_dask.Run, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="the cluster is gone"):
        run_here(tmp_path / "run")
    again = run_here(tmp_path / "run")
    assert_as_if_nothing_had_happened(again, undisturbed)
    record = again.manifest["steps"]["long"]
    assert (record["resumed_passes"], again.manifest["passes"], record["passes"]) == (3, 5, 8)
    assert again.manifest["steps"]["short"]["status"] == "REUSED"
    assert {name: passes_of(again, name) for name in PASSES} == PASSES  # those before the failure, too


@pytest.mark.usefixtures("failing")
@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"settings": ["long.count=2"]}, {"force": True}])
def test_another_parameter_or_force_starts_over(
    run_here: Callable[..., fmnist_dask.Run], tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(RunError, match="the cluster is gone"):
        run_here(tmp_path / "run")
    assert len(list((tmp_path / "run" / ".pending" / "columns").iterdir())) == 1
    again = run_here(tmp_path / "run", only=["long"], **changes)
    record = again.manifest["steps"]["long"]
    assert record["resumed_passes"] == 0
    assert record["passes"] == again.manifest["passes"] == (8 if "force" in changes else 3)
    alone = [
        entry["times"] for entry in again.manifest["work"] if (entry["kind"], entry["steps"]) == ("pass", ["long"])
    ]
    assert sum(alone) == record["passes"]  # what was done before and is of no use is gone
