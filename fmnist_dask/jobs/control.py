"""Submitting, resuming and stopping runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fmnist_dask.collection.lease import Lease, holder_of
from fmnist_dask.errors import RunError
from fmnist_dask.jobs.status import Watched, ended
from fmnist_dask.workflow.job import read_job, write_job
from fmnist_dask.workflow.rundir import RunDirectory
from fmnist_dask.workflow.runner import Runner

#: Seconds to wait for a driver to have taken its run.
START_TIMEOUT = 60.0


def submit(runner: Runner) -> RunDirectory:
    """Start a detached driver for a run, and return as soon as it has begun.

    Parameters
    ----------
    runner
        What is to be run; its source and steps have been checked.

    Raises
    ------
    RunError
        A driver is at work on this run already, or the new one did not start.
    """
    with Lease(runner.run.path, "a run") as lease:
        runner.prepare()
        start_driver(runner.run.path, lease)
    return runner.run


def start_driver(path: Path, lease: Lease) -> int:
    """Start a driver in a session of its own, and give it the run's lease; its process.

    Where it cannot begin, that is seen here. One that is only slow to begin, on a file server that is, is left to.
    """
    run = RunDirectory(path)
    command = [sys.executable, "-m", "fmnist_dask.jobs.driver", str(path)]
    with open(run.driver_log, "ab") as log:
        begins = log.tell()
        driver = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    lease.hand_over(driver.pid)
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until:
        if driver.poll() is not None:
            if driver.returncode == 0:
                break
            said = _log_since(run, begins)
            raise RunError(f"the driver of {path.name} ended at once: {said}", f"its log is {run.driver_log}")
        holder = holder_of(path)
        taken = holder is not None and holder.pid == driver.pid and not holder.handed_over
        if taken and RunDirectory(path).manifest.get("status") == "RUNNING":
            break
        time.sleep(0.05)
    return driver.pid


def resume(path: str | Path, cluster: str | None = None, trust: bool = False) -> RunDirectory:
    """Go on with a run that has stopped, failed, or lost its driver.

    Parameters
    ----------
    cluster
        Another cluster file or address than before.

    Raises
    ------
    RunError
        A driver is at work on it.
    """
    from dataclasses import replace

    from fmnist_dask.cluster.config import load_cluster

    run = RunDirectory.existing(path)
    holder = holder_of(run.path)
    if holder is not None:
        raise RunError(
            f"{run.path.name} is being worked on by process {holder.pid} on {holder.host}",
            f"watch it (fmnist-dask watch {run.path.name}), or stop it first",
        )
    with Lease(run.path, "a run") as lease:
        job = read_job(run)
        config = load_cluster(cluster or job.cluster, trust or job.trust)
        if cluster is not None:
            write_job(run, replace(job, cluster=str(config.path or config.address), trust=trust or job.trust))
        start_driver(run.path, lease)
    return run


def stop(path: str | Path, kill: bool = False, timeout: float = 60.0) -> dict[str, Any]:
    """Ask the driver of a run to stop, wherever it is, and wait until it has; the last snapshot.

    Parameters
    ----------
    kill
        Do not ask: end the process. Only on its own host. Nothing that was finished is lost by it.
    timeout
        Seconds to wait.

    Raises
    ------
    RunError
        It has not stopped in time, or cannot be killed from here.
    """
    watched = Watched(Path(path))
    run = RunDirectory(watched.path)
    begun = time.monotonic()
    while (holder := holder_of(run.path)) is None:
        # One that was submitted a moment ago has not taken the run yet.
        if ended(watched.look()) or time.monotonic() - begun > timeout:
            return watched.look()
        time.sleep(0.1)
    if kill:
        if holder.host != socket.gethostname():
            raise RunError(
                f"the driver of {run.path.name} is process {holder.pid} on {holder.host}, not on this host",
                "stop it without --kill, or end it there",
            )
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, signal.SIGKILL)
    until = time.monotonic() + timeout
    while (holder := holder_of(run.path)) is not None:
        if not kill:
            # Again and again: a driver that is just beginning takes an older request for one to an earlier driver.
            run.stop_request.touch()
        if time.monotonic() > until:
            raise RunError(
                f"{run.path.name} has not stopped within {timeout:g} s", "wait longer, or stop it with --kill"
            )
        time.sleep(0.1)
    return watched.look()


def _log_since(run: RunDirectory, begins: int) -> str:
    said = run.driver_log.read_bytes()[begins:].decode("utf-8", "replace").strip()
    if "error: " in said:
        return said.rpartition("error: ")[2].partition("\n  remedy: ")[0]
    return said.splitlines()[-1] if said else "it printed nothing"
