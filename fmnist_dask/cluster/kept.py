"""Clusters that are kept alive for several runs: started, listed and stopped from the command line.

Each has a keeper, a process of its own that holds the cluster, and a small state file that says where it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import psutil

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.collection.files import read_json, write_json
from fmnist_dask.collection.lease import Lease, process_start
from fmnist_dask.errors import ClusterError

#: Seconds to wait for a cluster to end in good order before its processes are killed.
STOP_TIMEOUT = 60.0
#: The same for one that has not started yet.
GIVE_UP_TIMEOUT = 10.0
#: Seconds after which a start is slow, and those who wait are told where to look.
SLOW_START = 10.0
#: Module that schedulers and workers of ours are started by.
MEMBER = "fmnist_dask.cluster.member"


@dataclass
class KeptCluster:
    """What a state file says.

    Attributes
    ----------
    host
        Where the keeper runs: home directories may be shared by many hosts.
    pid, process_started
        The keeper; the second tells it from a later process with the same number.
    pids
        Other processes of the cluster on this host, by what they are.
    """

    name: str
    host: str
    file: str
    digest: str
    class_name: str
    pid: int
    process_started: float | None
    address: str = ""
    dashboard: str = ""
    workers: int = 0
    started: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether the keeper runs on another host, so that nothing can be said of it here."""
        return self.host != socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether the keeper is there; one on another host may be."""
        if self.elsewhere:
            return True
        return self.process_started is not None and process_start(self.pid) == self.process_started


def state_directory() -> Path:
    """Where state files lie; below ``XDG_STATE_HOME`` if that is set."""
    base = os.environ.get("XDG_STATE_HOME")
    root = Path(base) / "fmnist-dask" if base else Path(platformdirs.user_state_path("fmnist-dask"))
    return root / "clusters"


def state_file(file: Path) -> Path:
    """State file of a cluster file."""
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    return state_directory() / f"{file.stem}-{digest}.json"


def read_state(path: Path) -> KeptCluster | None:
    """A state file; ``None`` if there is none, or it is no state of this release."""
    try:
        data = read_json(path)
        return KeptCluster(**data) if data is not None else None
    except (OSError, ValueError, TypeError):
        return None


def write_state(path: Path, state: KeptCluster) -> None:
    """Write a state file, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(path, asdict(state))


def running_cluster(config: ClusterConfig) -> KeptCluster | None:
    """The cluster of a file if it is kept alive.

    Raises
    ------
    ClusterError
        It is, but the file has been changed since it was started.
    """
    if config.running or config.path is None:
        return None
    state = read_state(state_file(config.path))
    if state is None or not state.alive or not state.address:
        return None
    if state.elsewhere:
        raise _elsewhere(state)
    if state.digest != config.digest:
        raise ClusterError(
            f"{config.path} has been changed since its cluster was started at {state.address}",
            f"fmnist-dask cluster stop {config.path}, then start it again",
        )
    return state


def start_cluster(
    config: ClusterConfig, trust: bool = False, waiting: Callable[[Path], None] | None = None
) -> tuple[KeptCluster, bool]:
    """Start the cluster of a file and leave it running; (the cluster, whether it was started now).

    Parameters
    ----------
    waiting
        Called once, with the path of the keeper's log, if it takes longer than :data:`SLOW_START`.

    Raises
    ------
    ClusterError
        It did not start.
    InUseError
        It is being started at this moment.
    """
    if config.running or config.path is None:
        raise ClusterError(
            f"{config.path or config.address} names a cluster that runs already", "give a file with a class"
        )
    path = state_file(config.path)
    with Lease(state_directory() / ".starting" / path.stem, "the start of a cluster"):
        if (found := running_cluster(config)) is not None:
            return found, False
        path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "fmnist_dask.cluster.keeper", str(config.path), str(path)]
        log = path.with_suffix(".log")
        with open(log, "wb") as output:
            keeper = subprocess.Popen(
                [*command, *(["--trust"] if trust else [])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            return _started(keeper, config.path, log, waiting), True
        except BaseException:  # who waited may have lost patience
            _give_up(keeper)
            path.unlink(missing_ok=True)
            raise


def _started(
    keeper: subprocess.Popen[bytes], file: Path, log: Path, waiting: Callable[[Path], None] | None
) -> KeptCluster:
    """The cluster, once its keeper has said where it is."""
    path = state_file(file)
    slow = time.monotonic() + SLOW_START
    while True:
        state = read_state(path)
        if state is not None and state.error:
            keeper.wait()
            message, _, remedy = state.error.partition("\n  remedy: ")
            raise ClusterError(message, remedy or f"its log is {log}")
        if state is not None and state.address:
            return state
        if keeper.poll() is not None:
            raise ClusterError(f"the cluster of {file} did not start", f"its log is {log}")
        if waiting is not None and time.monotonic() > slow:
            waiting(log)
            waiting = None
        time.sleep(0.05)


def _give_up(keeper: subprocess.Popen[bytes]) -> None:
    """End a keeper whose cluster has not started; its members end with it."""
    keeper.terminate()
    try:
        keeper.wait(GIVE_UP_TIMEOUT)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()


def stop_cluster(file: Path) -> KeptCluster | None:
    """Stop the cluster of a file, whatever stands in it by now; ``None`` if it is not kept alive.

    Processes on this host that its keeper, killed, has left behind end by themselves; what is left is killed.
    """
    path = state_file(file)
    state = read_state(path)
    if state is None:
        return None
    if state.elsewhere:
        raise _elsewhere(state)
    was_alive = state.alive
    if was_alive:
        os.kill(state.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_TIMEOUT
        while state.alive and time.monotonic() < until:
            time.sleep(0.05)
        if state.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGKILL)
    path.unlink(missing_ok=True)
    _kill_left(state)
    return state if was_alive else None


def _kill_left(state: KeptCluster) -> None:
    """End members that a keeper, killed, has left behind; a later process with the same number is none."""
    for pid in state.pids.values():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if MEMBER in process.cmdline():
                process.kill()


def _elsewhere(state: KeptCluster) -> ClusterError:
    return ClusterError(
        f"the cluster of {state.file} is kept on {state.host} (process {state.pid}), not on this host",
        f"use and stop it there, or, if {state.host} is no more, remove {state_directory() / state.name}-….json",
    )


def kept_clusters() -> list[KeptCluster]:
    """Those that are alive; state files of others are removed."""
    found = []
    for path in sorted(state_directory().glob("*.json")):
        state = read_state(path)
        if state is not None and state.alive:
            found.append(state)
        elif state is None or state.address:
            with contextlib.suppress(OSError, json.JSONDecodeError):
                path.unlink()
    return found


def describe(state: KeptCluster) -> dict[str, Any]:
    """What ``cluster list --json`` prints."""
    return {name: value for name, value in asdict(state).items() if name not in ("process_started", "error")}
