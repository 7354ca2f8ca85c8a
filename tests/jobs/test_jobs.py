"""Runs that go on without the terminal that began them, by the command line and real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest

from fmnist_dask import open_run
from fmnist_dask.cluster.kept import KeptCluster, state_file, write_state
from fmnist_dask.jobs.status import event_words

CLUSTER = """
module: fmnist_dask.cluster.processes
class: ProcessCluster
kwargs: {threads-per-worker: 1, memory-limit: 1GiB, dashboard-address: "127.0.0.1:0"}
scale: 2
"""
#: Many passes, so that a run lasts for some seconds whatever the machine.
WORKFLOW = """
name: long
source: {path: garments, n: 20000, chunk_mib: 1}
steps:
  duplicates: {uses: duplicates}
  clusters: {uses: kmeans, with: {n_clusters: 50, n_init: 1, tol: 0.0, max_iter: 150}}
"""


class Terminal:
    """A directory to work in, and an environment of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "cluster.yaml").write_text(CLUSTER)
        (path / "long.yaml").write_text(WORKFLOW)
        self.environment = {**os.environ, "XDG_STATE_HOME": str(path / "state"), "COLUMNS": "120"}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "fmnist_dask.cli", *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def call(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Standard output and error of a command that ends with a code."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return out, err

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.call(*arguments, "--json", code=code)[0])

    def submit(self, *more: str) -> str:
        return self.call("submit", "long.yaml", "--cluster", "cluster.yaml", *more)[0].strip()

    def until(self, run: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look at a run until something holds."""
        from fmnist_dask.jobs.status import Watched

        watched, end = Watched(self.path / "runs" / run), time.monotonic() + 90
        while not holds(snapshot := watched.look()):
            assert time.monotonic() < end, json.dumps(snapshot, indent=1)
            time.sleep(0.05)
        return snapshot


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    for process in psutil.process_iter():
        try:
            if process.environ().get("XDG_STATE_HOME") == made.environment["XDG_STATE_HOME"]:
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def iterating(snapshot: dict[str, Any]) -> bool:
    steps = {step["name"]: step for step in snapshot["steps"]}
    return "clusters" in steps and steps["clusters"]["checkpoints"] >= 6


def without_times(run: Path) -> dict[str, Any]:
    results = open_run(run)
    # Clients of other tests that closed in another order than they began may have left themselves as the default.
    with dask.config.set(scheduler="synchronous"):
        return {step: results[step].load() for step in results.keys()}  # noqa: SIM118 - a run is no mapping


@pytest.mark.slow
def test_a_run_outlives_its_client_and_is_watched_stopped_and_resumed(terminal: Terminal) -> None:
    run = terminal.submit()
    assert re.fullmatch(r"long-garments-[0-9a-f]{8}", run)
    at_work = terminal.until(run, lambda snapshot: snapshot["alive"])
    driver = at_work["driver"]["pid"]
    assert os.getsid(driver) == driver  # of no terminal

    # A second driver is kept out, by submit and by resume.
    _, said = terminal.call("submit", "long.yaml", "--cluster", "cluster.yaml", code=1)
    assert f"process {driver}" in said
    _, said = terminal.call("resume", run, code=1)
    assert f"process {driver}" in said

    watching = terminal.begin("watch", run, "--json")
    terminal.until(run, lambda snapshot: snapshot["status"] == "RUNNING")
    (listed,) = terminal.json("runs")
    assert (listed["run"], listed["status"], listed["alive"]) == (run, "RUNNING", True)
    # Nothing between these two: on a busy machine the step would have ended before it is told to stop.
    terminal.until(run, iterating)
    stopped = terminal.json("stop", run)
    assert (stopped["status"], stopped["alive"]) == ("STOPPED", False)
    snapshots = [json.loads(line) for line in watching.communicate(timeout=60)[0].splitlines()]
    assert watching.returncode == 130
    assert snapshots[0]["status"] == "RUNNING"
    assert snapshots[-1]["status"] == "STOPPED"
    end = time.monotonic() + 10
    while psutil.pid_exists(driver):
        assert time.monotonic() < end
        time.sleep(0.05)
    shown, _ = terminal.call("status", run)
    for word in ("STOPPED", "clusters", "ProcessCluster", "inertia", "interrupted"):
        assert word in shown
    before = next(step for step in stopped["steps"] if step["name"] == "clusters")["checkpoints"]

    terminal.call("resume", run)
    out, _ = terminal.call("watch", run)  # no terminal: lines
    assert "SUCCEEDED" in out
    ended = terminal.json("status", run)
    events = [json.loads(line) for line in (terminal.path / "runs" / run / "events.jsonl").read_text().splitlines()]
    (resumed,) = [event for event in events if event["event"] == "resumed" and event["step"] == "clusters"]
    assert resumed["answers"] >= before > 0
    assert ended["report"]
    assert (terminal.path / "runs" / run / "performance.html").stat().st_size > 10_000
    assert os.readlink(terminal.path / "runs" / "latest") == run

    terminal.call("run", "long.yaml", "--out", "runs/alone", "--cluster", "cluster.yaml")
    alone, together = (without_times(terminal.path / "runs" / name) for name in ("alone", run))
    assert alone.keys() == together.keys() == {"duplicates", "clusters"}
    for step, result in alone.items():
        assert result.identical(together[step].assign_attrs(result.attrs)), step


@pytest.mark.slow
def test_a_driver_that_is_killed_is_said_to_be_gone(terminal: Terminal) -> None:
    run = terminal.submit()
    driver = terminal.until(run, iterating)["driver"]["pid"]
    os.kill(driver, signal.SIGKILL)
    gone = terminal.until(run, lambda snapshot: not snapshot["alive"])
    assert gone["status"] == "STOPPED"
    assert "driver is gone" in gone["error"]
    assert terminal.json("runs")[0]["status"] == "STOPPED"
    shown, _ = terminal.call("status", run)
    assert f"fmnist-dask resume {terminal.path / 'runs' / run}" in shown
    manifest = json.loads((terminal.path / "runs" / run / "manifest.json").read_text())
    assert manifest["status"] == "RUNNING"  # its last words
    terminal.call("resume", run, "--watch")
    assert terminal.json("status", run)["status"] == "SUCCEEDED"


@pytest.mark.slow
@pytest.mark.long
def test_a_kept_cluster_serves_several_runs_and_is_stopped(terminal: Terminal) -> None:
    assert terminal.json("cluster", "list") == []
    address = terminal.call("cluster", "start", "cluster.yaml")[0].strip()
    again, said = terminal.call("cluster", "start", "cluster.yaml")
    assert again.strip() == address
    assert "runs already" in said
    (kept,) = terminal.json("cluster", "list")
    assert (kept["address"], kept["workers"], kept["class_name"]) == (address, 2, "ProcessCluster")
    names = [f"n{number}" for number in range(5)]
    for number, name in enumerate(names):
        options = [
            "--out",
            f"runs/{name}",
            "--set",
            f"clusters.n_clusters={5 + number}",
            "--set",
            "clusters.max_iter=9",
        ]
        terminal.submit(*options)
    for number, name in enumerate(names):
        ended = terminal.until(name, lambda snapshot: not snapshot["alive"] and snapshot["status"] != "PENDING")
        assert ended["status"] == "SUCCEEDED", ended["error"]
        assert ended["cluster"]["address"] == address
        assert open_run(terminal.path / "runs" / name)["clusters"].sizes["cluster"] == 5 + number
    # Changed since it was started: said, not ignored.
    with open(terminal.path / "cluster.yaml", "a") as file:
        file.write("timeout: 20\n")
    _, said = terminal.call("run", "long.yaml", "--cluster", "cluster.yaml", "--out", "runs/late", code=1)
    assert "changed since its cluster was started" in said
    terminal.call("cluster", "stop", "cluster.yaml")
    assert terminal.json("cluster", "list") == []
    assert not any(psutil.pid_exists(pid) for pid in kept["pids"].values())
    assert "no cluster is kept alive" in terminal.call("cluster", "stop", "cluster.yaml")[1]


@pytest.mark.slow
def test_what_is_wrong_is_said_before_anything_begins(terminal: Terminal) -> None:
    _, said = terminal.call("submit", "long.yaml", "--cluster", "nowhere.yaml", code=2)
    assert "no cluster file nowhere.yaml" in said
    _, said = terminal.call("submit", "long.yaml", "--set", "clusters.n_cluster=3", code=2)
    assert 'did you mean "n_clusters"' in said
    for command in ("status", "watch", "logs", "stop", "resume"):
        _, said = terminal.call(command, "long-garments-00000000", code=1)
        assert "no run at long-garments-00000000" in said
    assert not (terminal.path / "runs").exists()
    assert "no runs in runs/" in terminal.call("runs")[0]


@pytest.mark.slow
def test_a_driver_that_cannot_begin_says_why(terminal: Terminal) -> None:
    (terminal.path / "cluster.yaml").write_text("address: tcp://127.0.0.1:9\ntimeout: 2\n")
    run = terminal.submit()
    ended = terminal.until(run, lambda snapshot: not snapshot["alive"] and snapshot["status"] == "FAILED")
    assert "no scheduler answers at tcp://127.0.0.1:9" in ended["error"]
    logs, _ = terminal.call("logs", run)
    assert "no scheduler answers at tcp://127.0.0.1:9" in logs
    assert "driver.log" in logs
    assert terminal.begin("watch", run).wait(60) == 1


@pytest.mark.slow
def test_logs_follow_to_the_end(terminal: Terminal) -> None:
    run = terminal.submit("--set", "clusters.max_iter=5")
    following = terminal.begin("logs", run, "-f")
    out, _ = following.communicate(timeout=90)
    for word in ("start", "cluster", "checkpoint", "converge", "done", "status SUCCEEDED"):
        assert word in out
    as_json = terminal.call("logs", run, "--json")[0].splitlines()
    assert {"time", "run", "step", "event"} <= json.loads(as_json[-1]).keys()


def test_a_cluster_that_is_kept_on_another_host_is_left_alone(terminal: Terminal) -> None:
    file = (terminal.path / "cluster.yaml").resolve()
    environment = {"XDG_STATE_HOME": terminal.environment["XDG_STATE_HOME"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
        state = state_file(file)
        write_state(state, KeptCluster("cluster", "elsewhere", str(file), "0", "X", 1, 2.0, address="tcp://10.0.0.1:1"))
    (listed,) = terminal.json("cluster", "list")
    assert (listed["host"], listed["address"]) == ("elsewhere", "tcp://10.0.0.1:1")
    for command in (["start"], ["stop"]):
        _, said = terminal.call("cluster", *command, "cluster.yaml", code=1)
        assert "is kept on elsewhere" in said
    assert state.is_file()


@pytest.mark.slow
def test_of_two_who_submit_at_once_one_is_refused(terminal: Terminal) -> None:
    command = ("submit", "long.yaml", "--only", "duplicates", "--cluster", "cluster.yaml", "--out", "runs/one")
    both = [terminal.begin(*command) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    assert any("is in use" in words for words in said)
    ended = terminal.until("one", lambda snapshot: not snapshot["alive"] and snapshot["status"] != "PENDING")
    assert ended["status"] == "SUCCEEDED", ended["error"]


@pytest.mark.slow
def test_a_cluster_is_started_once_and_given_up_by_an_interrupt(terminal: Terminal) -> None:
    file = terminal.path / "slow.yaml"
    file.write_text("module: slow\nclass: Slow\n")
    (terminal.path / "slow.py").write_text(
        "import time\nclass Slow:\n    def __init__(self, **kwargs):\n        time.sleep(300)\n"
    )
    first = terminal.begin("cluster", "start", "slow.yaml", "--trust")
    state = Path(terminal.environment["XDG_STATE_HOME"]) / "fmnist-dask" / "clusters"
    until = time.monotonic() + 60
    while not (logs := list(state.glob("slow-*.log"))):
        assert time.monotonic() < until, first.poll()
        time.sleep(0.05)
    _, said = terminal.call("cluster", "start", "slow.yaml", "--trust", code=1)
    assert "the start of a cluster" in said
    assert first.stderr is not None
    assert f"its log is {logs[0]}" in first.stderr.readline()
    keepers = [
        child for child in psutil.Process(first.pid).children() if "fmnist_dask.cluster.keeper" in child.cmdline()
    ]
    assert len(keepers) == 1
    first.send_signal(signal.SIGINT)
    first.wait(60)
    assert first.returncode != 0
    assert not keepers[0].is_running()
    assert terminal.json("cluster", "list") == []


@pytest.mark.slow
def test_what_was_to_be_forgotten_is_forgotten_by_who_goes_on(terminal: Terminal) -> None:
    from fmnist_dask.workflow.job import read_job
    from fmnist_dask.workflow.rundir import RunDirectory

    run = terminal.submit("--only", "duplicates", "--force")
    ended = terminal.until(run, lambda snapshot: not snapshot["alive"] and snapshot["status"] != "PENDING")
    assert ended["status"] == "SUCCEEDED"
    assert not read_job(RunDirectory(terminal.path / "runs" / run)).force  # it has been done


@pytest.mark.slow
def test_a_submitted_run_leaves_its_report_for_later(terminal: Terminal) -> None:
    run = terminal.submit("--only", "duplicates", "--no-report")
    ended = terminal.until(run, lambda snapshot: not snapshot["alive"] and snapshot["status"] != "PENDING")
    page = terminal.path / "runs" / run / "report.html"
    assert (ended["status"], ended["report"], page.exists()) == ("SUCCEEDED", None, False)
    terminal.call("report", run)
    assert "duplicates" in page.read_text()
    assert terminal.json("status", run)["report"] == str(page.resolve())


def test_control_characters_do_not_reach_the_terminal() -> None:
    line = event_words({"event": "error", "step": "a", "error": "\x1b[2J\x07gone", "time": ""})
    assert "\x1b" not in line
    assert "gone" in line
