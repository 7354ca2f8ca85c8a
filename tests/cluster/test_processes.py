"""A cluster of processes: what dies is started again, and nothing is left in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from distributed import Client

from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.cluster.connect import dask_settings, start
from fmnist_dask.cluster.processes import ProcessCluster
from fmnist_dask.errors import ClusterError


@pytest.fixture
def cluster():
    with dask_settings(load_cluster("local")), ProcessCluster(1, dashboard_address="127.0.0.1:0") as made:
        yield made


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def workers_of(cluster):
    """Process numbers of the workers, by way of a client of its own."""
    with Client(cluster.scheduler_address, timeout=30, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)
        return list(client.run(os.getpid, on_error="ignore").values())  # one may be dying


@pytest.mark.long
@pytest.mark.slow
def test_what_dies_is_started_again_at_the_same_address(cluster):
    first = cluster.pids
    (worker,) = workers_of(cluster)
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in workers_of(cluster))
    assert cluster.pids == first
    os.kill(first["scheduler"], signal.SIGKILL)
    until(lambda: cluster.pids["scheduler"] != first["scheduler"] and cluster.pids["workers"] != first["workers"])
    (third,) = workers_of(cluster)
    assert third != worker


@pytest.mark.slow
def test_closing_leaves_nothing(cluster):
    pids = [*cluster.pids.values(), *workers_of(cluster)]
    directory = cluster.directory
    assert (directory / "scheduler.log").stat().st_size
    cluster.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not directory.exists()


@pytest.mark.slow
def test_it_ends_with_the_process_that_started_it():
    code = (
        "import time\nfrom fmnist_dask.cluster.processes import ProcessCluster\n"
        "cluster = ProcessCluster(1, dashboard_address='127.0.0.1:0')\n"
        "print(*cluster.pids.values(), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        children = until(lambda: psutil.Process(pids[1]).children())
        owner.kill()
    assert len(pids) == 2
    until(lambda: not any(psutil.pid_exists(pid) for pid in [*pids, *(child.pid for child in children)]))


@pytest.mark.slow
def test_a_port_that_is_taken_is_said():
    with ProcessCluster(1, dashboard_address="127.0.0.1:0") as first:
        port = int(first.scheduler_address.rpartition(":")[2])
        with pytest.raises(ClusterError, match=rf"did not start at tcp://127\.0\.0\.1:{port}"):
            ProcessCluster(1, port=port, dashboard_address="127.0.0.1:0")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "local-processes"])
def test_schedulers_listen_on_loopback_unless_told_otherwise(name):
    config = load_cluster(name).model_copy(update={"scale": 1})
    with dask_settings(config), contextlib.closing(start(config)) as cluster:
        with Client(cluster.scheduler_address, timeout=30, set_as_default=False) as client:
            pid = client.run_on_scheduler(os.getpid)
        listening = [place for place in psutil.Process(pid).net_connections("inet") if place.status == "LISTEN"]
        assert listening
        assert {place.laddr.ip for place in listening} <= {"127.0.0.1", "::1"}
