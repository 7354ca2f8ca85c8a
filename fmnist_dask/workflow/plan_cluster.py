"""The cluster that plans measure on: a running one itself, else a few workers here like those of the file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.config import ClusterConfig, worker_count
from fmnist_dask.passes.sizing import Workers
from fmnist_dask.workflow.plan_workers import worker_offer

if TYPE_CHECKING:
    from distributed import Client


@dataclass
class PlanningCluster:
    """Workers to measure on.

    Attributes
    ----------
    workers
        What those of the file will offer.
    startup
        Seconds until they were there and ready.
    """

    client: Client
    workers: Workers
    startup: float


@contextlib.contextmanager
def planning_cluster(config: ClusterConfig, count: int | None = None) -> Iterator[PlanningCluster]:
    """Start some workers like those of a cluster file, or connect to those that run.

    Parameters
    ----------
    count
        Workers to plan for; by default as many as the file asks for, or run.
    """
    from fmnist_dask.cluster.connect import connect

    began = time.perf_counter()
    with connect(config if config.running else _alike(config)) as connection:
        workers = connection.workers
        if count is not None or not config.running:
            workers = replace(workers, count=count or worker_count(config))
        yield PlanningCluster(connection.client, workers, time.perf_counter() - began)


def _alike(config: ClusterConfig) -> ClusterConfig:
    """Worker processes on this machine with threads, memory and settings of a file's; no more than there are cores."""
    from dask.system import CPU_COUNT

    threads, limit = worker_offer(config)
    kwargs: dict[str, Any] = {"threads_per_worker": threads, "memory_limit": limit, "dashboard_address": None}
    scale = max(1, min(worker_count(config), CPU_COUNT // threads))
    return ClusterConfig(kwargs=kwargs, scale=scale, config=config.config)
