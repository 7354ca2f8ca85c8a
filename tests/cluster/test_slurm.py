"""Real SLURM: one node with munged, slurmctld and slurmd started here, and workers as its jobs.

``tests/cluster/slurm.sh`` installs what this needs on Debian, and runs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
MISSING = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"there is no {', '.join(MISSING)} (see tests/cluster/slurm.sh)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="SLURM's daemons are started by root"),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running SLURM of one node; the environment in which its commands find it."""
    host, cores = socket.gethostname().partition(".")[0], os.cpu_count() or 1
    for name in ("state", "spool", "munge"):
        (tmp_path / name).mkdir()
    (tmp_path / "munge").chmod(0o711)
    key = tmp_path / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munge = tmp_path / "munge" / "socket"
    config = tmp_path / "slurm.conf"
    config.write_text(
        f"""
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
CredType=cred/munge
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
StateSaveLocation={tmp_path}/state
SlurmdSpoolDir={tmp_path}/spool
SlurmctldPidFile={tmp_path}/slurmctld.pid
SlurmdPidFile={tmp_path}/slurmd.pid
SlurmctldLogFile={tmp_path}/slurmctld.log
SlurmdLogFile={tmp_path}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=3000 State=UNKNOWN
PartitionName=normal Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
    )
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": PATH}
    files = [f"--{name}-file={tmp_path}/munge/{name}" for name in ("pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={munge}", f"--key-file={key}", *files],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config), "-N", host],
    ]
    daemons = []
    try:
        for command in commands:
            daemons.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(1)
        end = time.monotonic() + 40
        while "idle" not in (said := _sinfo(environment)):
            logs = [path.read_text()[-1500:] for path in tmp_path.rglob("*log") if path.is_file()]
            assert time.monotonic() < end, "\n".join([said, *logs])
            time.sleep(0.5)
        yield environment
    finally:
        subprocess.run(["scancel", "--full", "--user", "root"], env=environment, capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait()


def _sinfo(environment: dict[str, str]) -> str:
    return subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True).stdout


def run(arguments: list[str], directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=directory, env=environment, capture_output=True, text=True, timeout=170)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with a cluster file whose workers are jobs."""
    pytest.importorskip("dask_jobqueue", reason="the extra jobqueue is not installed")
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "slurm.yaml").write_text(
        f"""
module: dask_jobqueue
class: SLURMCluster
kwargs:
  queue: normal
  cores: 1
  processes: 1
  memory: 1GB
  walltime: "00:10:00"
  interface: lo
  python: {sys.executable}
  local-directory: {tmp_path}
  log-directory: {tmp_path}/jobs
  scheduler-options: {{dashboard_address: "127.0.0.1:0"}}
scale: 2
timeout: 100
"""
    )
    return directory


def test_workers_are_jobs(work: Path, slurm: dict[str, str]) -> None:
    command = [sys.executable, "-m", "fmnist_dask.cli", "run", "explore", "--cluster", "slurm.yaml"]
    ran = run([*command, "--source-option", "n=3000", "--json"], work, slurm)
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads(ran.stdout)
    assert manifest["status"] == "SUCCEEDED"
    assert manifest["cluster"]["class"] == "SLURMCluster"
    assert manifest["cluster"]["workers"] == 2
    jobs = run(["scontrol", "show", "jobs", "--oneliner"], work, slurm).stdout
    assert len(re.findall(r"JobName=dask-worker", jobs)) == 2


def test_the_driver_is_a_job(work: Path, slurm: dict[str, str]) -> None:
    """As the README shows: the whole run inside one job, on its own node."""
    (work / "job.sh").write_text(
        "#!/bin/bash\n#SBATCH --partition=normal --ntasks=1 --cpus-per-task=2 --mem=2500 --output=job.txt\n"
        f"exec {sys.executable} -m fmnist_dask.cli run explore --source-option n=3000 --cluster local --out runs/job\n"
    )
    begun = run(["sbatch", "--wait", "job.sh"], work, slurm)
    assert begun.returncode == 0, (work / "job.txt").read_text()
    from fmnist_dask.jobs.status import Watched

    snapshot = Watched(work / "runs" / "job").look()
    assert snapshot["status"] == "SUCCEEDED"
    assert snapshot["report"]


def test_a_job_that_is_cancelled_stops_in_good_order_and_goes_on(work: Path, slurm: dict[str, str]) -> None:
    """scancel sends SIGTERM, as the end of a job's time does: the run is STOPPED, and resumes."""
    from fmnist_dask.jobs.status import Watched

    (work / "job.sh").write_text(
        "#!/bin/bash\n#SBATCH --partition=normal --ntasks=1 --cpus-per-task=2 --mem=2500 --output=job.txt\n"
        f"exec {sys.executable} -m fmnist_dask.cli run explore --source-option n=30000 --cluster local --out runs/job "
        "--set clusters.tol=0\n"
    )
    number = run(["sbatch", "--parsable", "job.sh"], work, slurm).stdout.strip()
    end = time.monotonic() + 90
    while not any(_checkpoints(work)):
        assert time.monotonic() < end
        time.sleep(0.1)
    run(["scancel", "--full", number], work, slurm)
    watched = Watched(work / "runs" / "job")
    while (snapshot := watched.look())["alive"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (snapshot["status"], snapshot["error"]) == ("STOPPED", "interrupted; the same command goes on from here")
    resumed = run([sys.executable, "-m", "fmnist_dask.cli", "resume", "runs/job", "--watch"], work, slurm)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def _checkpoints(work: Path) -> list[int]:
    from fmnist_dask.jobs.status import Watched

    path = work / "runs" / "job"
    if not (path / "manifest.json").is_file():
        return []
    return [step["checkpoints"] for step in Watched(path).look()["steps"]]
