"""A cluster of processes on this machine that a driver's death does not take along by accident.

Unlike Dask's ``LocalCluster``, whose scheduler lives in the process that starts it, scheduler and workers are processes
of their own. One that dies is started again, the scheduler at the same address.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fmnist_dask.errors import ClusterError

#: Seconds until a scheduler must have said where it is.
START_TIMEOUT = 60.0
#: Seconds that processes get to end by themselves.
STOP_TIMEOUT = 5.0
#: Seconds between two looks at the processes.
INTERVAL = 0.25
#: A process that dies this often within a minute is not started again.
RESTARTS = 5


class ProcessCluster:
    """A scheduler and workers as processes of their own, watched over by a thread of this one.

    Parameters
    ----------
    n_workers
        Worker processes.
    threads_per_worker
        Threads of each.
    memory_limit
        Of each worker; ``auto`` is a fair share of the machine's.
    host, port
        Where the scheduler listens; port 0 is a free one.
    dashboard_address
        Where its dashboard is; another free port is taken if that one is in use.
    local_directory
        Where workers spill and write their logs; by default a temporary directory.
    security
        A :class:`distributed.Security` whose files all processes use; without it connections are not encrypted.

    Attributes
    ----------
    scheduler_address, dashboard_link : str
        Where it is.
    """

    def __init__(
        self,
        n_workers: int = 1,
        threads_per_worker: int = 1,
        memory_limit: str | int = "auto",
        host: str = "127.0.0.1",
        port: int = 0,
        dashboard_address: str = "127.0.0.1:8787",
        local_directory: str | None = None,
        security: Any = None,
    ) -> None:
        self.n_workers = n_workers
        self._own_directory = local_directory is None
        self.directory = Path(local_directory or tempfile.mkdtemp(prefix="fmnist-dask-cluster-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._tls = _tls_arguments(security)
        protocol = "tls" if security is not None else "tcp"
        port = port or _free_port(host)
        self.scheduler_address = f"{protocol}://{host}:{port}"
        self._file = self.directory / "scheduler.json"
        self._scheduler = [
            "scheduler",
            f"--host={protocol}://{host}",
            f"--port={port}",
            f"--dashboard-address={dashboard_address}",
            f"--scheduler-file={self._file}",
            *self._tls_of("scheduler"),
        ]
        self._workers = [
            "worker",
            self.scheduler_address,
            f"--nworkers={n_workers}",
            f"--nthreads={threads_per_worker}",
            f"--memory-limit={memory_limit}",
            f"--host={protocol}://{host}",
            f"--local-directory={self.directory}",
            "--no-dashboard",
            "--death-timeout=60",
            *self._tls_of("worker"),
        ]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: list[float] = []
        self._closing = threading.Event()
        self.failure: str | None = None
        try:
            self._start("scheduler")
            self._start("workers")
        except BaseException:
            self.close()
            raise
        self._thread = threading.Thread(target=self._mind, name="process-cluster", daemon=True)
        self._thread.start()

    @property
    def dashboard_link(self) -> str:
        """Address of the dashboard's first page."""
        port = json.loads(self._file.read_text(encoding="utf-8"))["services"].get("dashboard")
        host = self.scheduler_address.partition("://")[2].rpartition(":")[0]
        return f"http://{host}:{port}/status" if port else ""

    @property
    def pids(self) -> dict[str, int]:
        """Process of the scheduler, and of what minds the workers."""
        return {name: process.pid for name, process in self._processes.items()}

    def close(self) -> None:
        """End all processes."""
        self._closing.set()
        thread = getattr(self, "_thread", None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()  # it may be starting something again at this moment
        for name in ("workers", "scheduler"):
            self._stop(name)
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _tls_of(self, kind: str) -> list[str]:
        names = {"cert": f"tls_{kind}_cert", "key": f"tls_{kind}_key", "ca-file": "tls_ca_file"}
        return [f"--tls-{option}={self._tls[name]}" for option, name in names.items()] if self._tls else []

    def _start(self, name: str) -> None:
        import dask.config

        arguments = self._scheduler if name == "scheduler" else self._workers
        if name == "scheduler":
            self._file.unlink(missing_ok=True)
        environment = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(dask.config.global_config)}
        with open(self.directory / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "fmnist_dask.cluster.member", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # an interrupt in the terminal is the driver's, which then ends them
            )
        if name == "scheduler":
            self._await_scheduler()

    def _await_scheduler(self) -> None:
        process, until = self._processes["scheduler"], time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError, KeyError):
                if json.loads(self._file.read_text(encoding="utf-8"))["services"] is not None:
                    return
            time.sleep(0.02)
        log = (self.directory / "scheduler.log").read_text(encoding="utf-8", errors="replace").strip()
        raise ClusterError(
            f"the scheduler did not start at {self.scheduler_address}: {log.rpartition(chr(10))[2]}",
            "choose another port; its log is above",
        )

    def _mind(self) -> None:
        """Start again what has died; workers of a scheduler that has died end with it."""
        while not self._closing.wait(INTERVAL):
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if not dead:
                continue
            now = time.monotonic()
            self._restarts = [moment for moment in self._restarts if now - moment < 60] + [now]
            if len(self._restarts) > RESTARTS:
                self.failure = f"{dead[0]} died {RESTARTS} times within a minute"
                self.close()
                return
            try:
                if "scheduler" in dead:
                    self._stop("workers", at_once=True)
                    self._start("scheduler")
                self._start("workers")
            except (ClusterError, OSError):
                continue  # looked at again, so many times as above

    def _stop(self, name: str, at_once: bool = False) -> None:
        process = self._processes.get(name)
        if process is None:
            return
        if process.poll() is None and not at_once:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
        for member in _group(process.pid):  # workers that their nanny has left behind
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> ProcessCluster:
        return self

    def __exit__(self, *rest: object) -> None:
        self.close()


def _group(session: int) -> Iterator[int]:
    """Processes of a session; a process that was started with its own leads one of its number."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == session:
                yield process.pid


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _tls_arguments(security: Any) -> dict[str, str]:
    if security is None:
        return {}
    names = ("tls_ca_file", "tls_scheduler_cert", "tls_scheduler_key", "tls_worker_cert", "tls_worker_key")
    return {name: getattr(security, name) for name in names}
