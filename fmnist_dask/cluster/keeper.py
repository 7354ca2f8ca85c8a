"""The process that keeps a cluster alive: ``python -m fmnist_dask.cluster.keeper CLUSTER STATE [--trust]``."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.cluster.kept import KeptCluster, write_state
from fmnist_dask.collection.lease import process_start
from fmnist_dask.errors import FmnistDaskError

#: Seconds between two looks at the cluster.
INTERVAL = 0.5


def main() -> None:
    """Hold the cluster until it is told to stop, or the cluster has ended."""
    file, state_path = Path(sys.argv[1]), Path(sys.argv[2])
    stopped, started = threading.Event(), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        if not started.is_set():
            # A start may wait for long, for machines that do not answer.
            sys.exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    config = load_cluster(file, trust="--trust" in sys.argv)
    me, host = os.getpid(), socket.gethostname()
    state = KeptCluster(file.stem, host, str(file), config.digest, config.class_name, me, process_start(me))
    try:
        keep(config, state, state_path, started, stopped)
    except FmnistDaskError as error:
        state.error = str(error)
        write_state(state_path, state)
        sys.exit(1)


def keep(
    config: ClusterConfig, state: KeptCluster, state_path: Path, started: threading.Event, stopped: threading.Event
) -> None:
    """Start the cluster, say where it is, and wait."""
    from fmnist_dask.cluster.config import worker_count
    from fmnist_dask.cluster.connect import dask_settings, start

    with dask_settings(config):
        cluster = start(config)
        started.set()
        try:
            state.address = str(cluster.scheduler_address)
            state.dashboard = str(cluster.dashboard_link)
            state.workers = worker_count(config)
            state.pids = dict(getattr(cluster, "pids", {}))
            state.started = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            write_state(state_path, state)
            while not stopped.wait(INTERVAL) and not ended(cluster):
                pids = dict(getattr(cluster, "pids", {}))
                if pids != state.pids:
                    state.pids = pids
                    write_state(state_path, state)
        finally:
            state_path.unlink(missing_ok=True)
            cluster.close()


def ended(cluster: object) -> bool:
    """Whether a cluster has ended by itself."""
    status = getattr(cluster, "status", None)
    return getattr(cluster, "failure", None) is not None or getattr(status, "name", "") in ("closed", "failed")


if __name__ == "__main__":
    main()
