"""Faults of real processes, at random moments: what a submitted run must survive."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: In the environment of all processes of one run, so that what is left of it is found.
MARK = "FMNIST_DASK_FAULTS"
#: Seconds that a run may take, faults included.
BOUND = 150.0
CLUSTER = """
module: fmnist_dask.cluster.processes
class: ProcessCluster
kwargs: {threads_per_worker: 1, memory_limit: 1GiB, dashboard_address: "127.0.0.1:0"}
scale: 3
config: {distributed: {scheduler: {worker-ttl: 8s}}}
"""
WORKFLOW = """
name: faults
source: {path: garments, n: 20000, chunk_mib: 1}
steps:
  duplicates: {uses: duplicates}
  pixels:     {uses: pixel_stats, split: train, with: {by: label}}
  pca:        {uses: pca, split: train, with: {n_components: 8}}
  clusters:   {uses: kmeans, split: train, with: {n_clusters: 10, n_init: 2, tol: 0.0, max_iter: 30}}
  filled:     {uses: low_rank, split: train, mask: {fraction: 0.2, seed: 3}, with: {rank: 8, max_iter: 3, tol: 0.0}}
"""


@dataclass
class Place:
    """Where one run lies, and how its commands are called."""

    path: Path

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "cluster.yaml").write_text(CLUSTER)
        (self.path / "faults.yaml").write_text(WORKFLOW)
        self.environment = {**os.environ, MARK: str(self.path), "XDG_STATE_HOME": str(self.path / "state")}

    @property
    def run(self) -> Path:
        """The run's directory; it may be a small disk of its own."""
        return self.path / "disk" / "run"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call the command line."""
        return subprocess.run(
            [sys.executable, "-m", "fmnist_dask.cli", *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=BOUND,
            stdin=subprocess.DEVNULL,
        )

    def submit(self) -> subprocess.CompletedProcess[str]:
        """Begin."""
        where = ["--out", str(self.run), "--store", str(self.path / "store.zarr")]
        return self.command("submit", "faults.yaml", "--cluster", "cluster.yaml", *where)

    def status(self) -> dict[str, Any]:
        """Its state, from the run's directory."""
        from fmnist_dask.jobs.status import Watched

        return Watched(self.run).look()

    def processes(self) -> list[psutil.Process]:
        """Processes that were started for this run and are there still."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.path) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def named(self, *words: str) -> list[psutil.Process]:
        """Those in whose command line all of these words stand."""
        found = []
        for process in self.processes():
            try:
                if all(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """Worker processes: children that the nannies have started."""
        children = []
        for nanny in self.named("cluster.member", " worker "):
            children += [child for child in nanny.children() if "tracker" not in " ".join(child.cmdline())]
        return children


def kill_worker(place: Place, chance: random.Random) -> None:
    """One worker, as the kernel does when memory is out."""
    workers = place.workers()
    if workers:
        _signal(chance.choice(workers), signal.SIGKILL)


def freeze_worker(place: Place, chance: random.Random) -> None:
    """One worker does nothing any more, and does not end."""
    workers = place.workers()
    if workers:
        _signal(chance.choice(workers), signal.SIGSTOP)


def kill_nannies(place: Place, chance: random.Random) -> None:
    """All workers at once, with what would start them again."""
    for process in place.named("cluster.member", " worker "):
        _signal(process, signal.SIGKILL)


def kill_driver(place: Place, chance: random.Random) -> None:
    """The process that the run is driven by; its cluster ends with it."""
    for process in place.named("fmnist_dask.jobs.driver"):
        _signal(process, signal.SIGKILL)


def kill_scheduler(place: Place, chance: random.Random) -> None:
    """The scheduler, which is started again at the same address."""
    for process in place.named("cluster.member", " scheduler "):
        _signal(process, signal.SIGKILL)


def fill_disk(place: Place, chance: random.Random) -> None:
    """Nothing more can be written into the run's directory, for some seconds."""
    filler = place.path / "disk" / "filler"
    try:
        with open(filler, "wb") as file:
            while True:
                file.write(bytes(2**16))
                file.flush()
    except OSError:
        pass
    time.sleep(chance.uniform(1, 4))
    filler.unlink()


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


Fault = Callable[[Place, random.Random], None]
FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (kill_worker, freeze_worker, kill_nannies, kill_driver, kill_scheduler, fill_disk)
}


def survive(place: Place, fault: Fault, moment: float, chance: random.Random) -> dict[str, Any]:
    """Submit, wait, do harm, and resume until the run has ended well; the last snapshot."""
    begun = time.monotonic()
    started = place.submit()
    if started.returncode == 0:
        time.sleep(moment)
        fault(place, chance)
    resumed = 0
    while True:
        assert time.monotonic() - begun < BOUND, f"after {BOUND} s: {json.dumps(place.status(), indent=1)}"
        snapshot = place.status()
        if snapshot["status"] == "SUCCEEDED":
            break
        if snapshot["status"] in ("FAILED", "STOPPED"):
            assert resumed < 3, f"resumed {resumed} times: {snapshot['error']}"
            resumed += 1
            went_on = place.command("resume", str(place.run))
            if went_on.returncode != 0:
                time.sleep(2)  # the disk may be full still
        time.sleep(0.2)
    snapshot["resumed"] = resumed
    return snapshot


def left_over(place: Place) -> list[str]:
    """Command lines of processes that have not ended some seconds after the run has."""
    until = time.monotonic() + 15
    while (there := place.processes()) and time.monotonic() < until:
        time.sleep(0.2)
    found = []
    for process in there:
        try:
            found.append(" ".join(process.cmdline()))
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return found


def contents(place: Place) -> dict[str, str]:
    """Digest of every file of the collection, the results and the tables."""
    found = {}
    roots = [place.path / "store.zarr", place.run / "results.zarr", place.run / "tables"]
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.name not in ("manifest.json", ".lease"):
                found[f"{root.name}/{path.relative_to(root)}"] = hashlib.blake2b(path.read_bytes()).hexdigest()
    return found
