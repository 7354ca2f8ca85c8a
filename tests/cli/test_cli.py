"""The command line: one real run in processes of its own, and errors by table."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import write_idx, write_idx_set

from fmnist_dask.cli import main
from fmnist_dask.collection.store import Collection
from fmnist_dask.workflow.rundir import RunDirectory

COMMAND = [sys.executable, "-m", "fmnist_dask.cli"]


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    place = tmp_path_factory.mktemp("cli")
    command = [*COMMAND, "run", "explore", "--source-option", "n=4000", "--source-option", "chunk_mib=0.4", "--json"]
    return place, subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)


def test_a_run_prints_dashboard_progress_summary_and_report(finished: Any) -> None:
    place, outcome = finished
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stderr.splitlines()
    assert lines[0].startswith("dashboard")
    assert "127.0.0.1" in lines[0]
    assert "(synthetic)" in outcome.stderr
    assert "4,000 of 4,000 images" in outcome.stderr
    assert re.search(r"SUCCEEDED in .* s, \d+ passes over the images, at most", outcome.stderr)
    report = Path(lines[-1].split(maxsplit=1)[1])
    assert report.is_file()
    assert (place / "runs" / "latest").resolve() == report.parent


def test_json_prints_the_manifest_alone_on_stdout(finished: Any) -> None:
    _, outcome = finished
    manifest = json.loads(outcome.stdout)
    assert manifest["status"] == "SUCCEEDED"
    assert manifest["cluster"]["class"] == "LocalCluster"
    assert manifest["spilled_bytes"] == 0
    assert manifest["worker_restarts"] == 0


def test_peak_memory_keeps_near_the_plan(finished: Any) -> None:
    manifest = json.loads(finished[1].stdout)
    assert manifest["peak_worker_bytes"] <= 1.25 * manifest["planned_worker_bytes"]
    assert manifest["peak_worker_bytes"] >= 0.75 * manifest["planned_worker_bytes"]


@pytest.mark.slow
def test_info_and_report_of_what_is_there(finished: Any) -> None:
    place, _ = finished
    store = next((place / "collections").glob("garments-*.zarr"))
    described = invoke("info", store)
    assert described.exit_code == 0
    for part in ("4,000 of shape 28 × 28", "train 3,428, test 572", "synthetic", Collection.open(store).fingerprint):
        assert part in described.output
    run = place / "runs" / "latest"
    (run / "report.html").unlink()
    rebuilt = invoke("report", run)
    assert rebuilt.exit_code == 0
    assert (run / "report.html").is_file()


def test_ingest_alone_makes_the_same_collection(finished: Any, cluster: Any, tmp_path: Path) -> None:
    place, _ = finished
    address = cluster.client.scheduler.address
    options = ["--source-option", "n=4000", "--source-option", "chunk_mib=0.4", "--cluster", address]
    outcome = invoke("ingest", "garments", tmp_path / "g.zarr", *options)
    assert outcome.exit_code == 0, outcome.output
    made = Collection.open(tmp_path / "g.zarr")
    assert made.fingerprint == Collection.open(next((place / "collections").glob("*.zarr"))).fingerprint


@pytest.mark.slow
def test_plan_runs_nothing(tmp_path: Path) -> None:
    store = tmp_path / "c.zarr"
    planned = invoke("plan", "explore", "--source-option", "n=100000", "--store", store, "--json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.output)["source"]["n"] == 100_000
    table = invoke("run", "explore", "--dry-run", "--source-option", "n=100000", "--store", store)
    assert "peak memory of a worker" in table.output
    assert not store.exists()


def test_workflows_are_listed_and_copied(tmp_path: Path) -> None:
    listed = invoke("workflows")
    assert listed.exit_code == 0
    for word in ("explore", "duplicates", "pixel_stats", "image_properties", "quantiles"):
        assert word in listed.output
    assert invoke("workflows", "--copy", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine" / "explore.yaml").is_file()
    again = invoke("workflows", "--copy", tmp_path / "mine")
    assert again.exit_code == 2
    assert "exists already" in again.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom fmnist_dask.cli import main\n"
        "assert CliRunner().invoke(main, ['run', '--help']).exit_code == 0\n"
        "heavy = {'numpy', 'dask', 'distributed', 'xarray', 'pandas', 'zarr', 'bokeh', 'numba', 'rich', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


@pytest.mark.slow
def test_an_interrupt_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    command = [*COMMAND, "run", "explore", "--source-option", "n=300000", "--out", "run"]
    # A shell that runs the tests in the background has them ignore interrupts, and their children, too.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    signal.signal(signal.SIGINT, kept)
    with process:
        parts = None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not parts:
            parts = list(tmp_path.glob("collections/*/ingest-parts/*.json"))
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert parts
    assert process.returncode == 130
    assert RunDirectory(tmp_path / "run").manifest["status"] == "STOPPED"
    described = invoke("info", next(tmp_path.glob("collections/*.zarr")))
    assert described.exit_code == 1
    assert "incomplete" in described.output


def truncated(place: Path) -> Path:
    directory = write_idx_set(place / "raw")
    path = directory / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-40])
    return directory


def wrong_magic(place: Path) -> Path:
    import numpy as np

    write_idx(place / "raw" / "train-images-idx3-ubyte", np.zeros((2, 3, 3), np.uint8), magic=0x0D03)
    return place / "raw"


def unequal(place: Path) -> Path:
    import numpy as np

    directory = write_idx_set(place / "raw", suffix="")
    write_idx(directory / "train-labels-idx1-ubyte", np.zeros(39, np.uint8))
    return directory


def mixed_sizes(place: Path) -> Path:
    from PIL import Image

    (place / "photos").mkdir()
    for number in range(5):
        Image.new("L", (8, 8 + number // 4)).save(place / "photos" / f"{number}.png")
    return place / "photos"


def missing(place: Path) -> Path:
    return place / "nowhere" / "at-all"


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (missing, ["nothing is there", "check the path"]),
        (truncated, ["train-images-idx3-ubyte.gz", "cut off or damaged"]),
        (wrong_magic, ["0x00000d03", "0x00000803", "remedy"]),
        (unequal, ["40 images", "39 labels"]),
        (mixed_sizes, ["8×8: 4", "9×8: 1", "one size"]),
    ],
)
def test_bad_sources_are_explained(
    make: Callable[[Path], Path], parts: list[str], cluster: Any, tmp_path: Path
) -> None:
    out, store = tmp_path / "run", tmp_path / "store.zarr"
    address = cluster.client.scheduler.address
    outcome = invoke("run", "explore", "--source", make(tmp_path), "--out", out, "--store", store, "--cluster", address)
    assert outcome.exit_code == 1
    for part in parts:
        assert part in outcome.output
    assert "Traceback" not in outcome.output
    assert invoke("info", store).exit_code == 1
    if out.exists():
        assert RunDirectory(out).manifest["status"] == "FAILED"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "exlore"], ["did you mean", "explore"]),
        (["run", "explore", "--source", "garmnts"], ['did you mean "garments"']),
        (["run", "explore", "--source-option", "n=many"], ["n='many'", "whole number", "70000"]),
        (["run", "explore", "--source-option", "n=0"], ["n=0", "at least one"]),
        (["run", "explore", "--source-option", "m=1"], ['no option "m"', "n, seed"]),
        (["run", "explore", "--source-option", "n"], ["name=value"]),
        (["run", "explore", "--source-option", "chunk_mib=0"], ["chunk_mib=0", "0.01 to 1024"]),
        (["run", "explore", "--only", "pixel"], ['no step "pixel"', 'did you mean "pixels"']),
        (["run", "explore", "--cluster", "locl"], ["locl", 'did you mean "local"']),
        (["run", "explore", "--set", "pixels.by=5"], ["--set pixels.by=5", "found 5"]),
        (["info", "/"], ["no collection of fmnist-dask"]),
        (["report", "nowhere"], ["no run at nowhere"]),
        (["run"], ["Missing argument"]),
        (["fly"], ["No such command"]),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke(*arguments)
    assert outcome.exit_code in (1, 2)
    for part in parts:
        assert part in outcome.output
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = invoke("run", "explore", "--out", tmp_path / "file" / "run")
    assert outcome.exit_code == 1
    assert str(tmp_path / "file" / "run") in outcome.output
    assert "--out" in outcome.output


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_fails_with_a_remedy_and_nothing_looks_whole(cluster: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        options = ["--source-option", "n=60000", "--source-option", "chunk_mib=2"]
        place = ["--store", disk / "c.zarr", "--out", tmp_path / "run"]
        address = cluster.client.scheduler.address
        outcome = invoke("run", "explore", *options, *place, "--cluster", address)
        assert outcome.exit_code == 1
        assert "No space left on device" in outcome.output
        assert "free some space" in outcome.output
        assert invoke("info", disk / "c.zarr").exit_code == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)
