"""What the workers of a cluster file would offer, for plans."""

from __future__ import annotations

from fmnist_dask.cluster.config import ClusterConfig, worker_count
from fmnist_dask.passes.probe import probe_baseline
from fmnist_dask.passes.sizing import WORKING_BYTES, Workers


def planned_workers(config: ClusterConfig) -> Workers:
    """What the workers of a cluster file would offer; of a running cluster, what they do offer."""
    import dask
    from dask.utils import parse_bytes

    if config.running:
        from fmnist_dask.cluster.connect import connect

        with connect(config) as connection:
            return connection.workers
    from fmnist_dask.cluster.connect import ALLOCATOR, dask_settings

    count = worker_count(config)
    threads, limit = worker_offer(config)
    with dask_settings(config):
        spill = dask.config.get("distributed.worker.memory.spill")
    if limit == "auto":
        import os

        from distributed.system import MEMORY_LIMIT

        memory: int | None = int(MEMORY_LIMIT * min(1, threads / (os.cpu_count() or 1)))
    else:
        memory = parse_bytes(limit) if limit else None
    baseline = probe_baseline({name: str(value) for name, value in ALLOCATOR.items()}) + WORKING_BYTES
    return Workers(count, threads, memory, float(spill) if spill else 0.95, baseline)


def worker_offer(config: ClusterConfig) -> tuple[int, str | int | None]:
    """Threads and memory limit of a worker, in the words of each kind of cluster."""
    from dask.utils import parse_bytes

    kwargs = config.kwargs
    if "worker_options" in kwargs:  # SSHCluster
        options = kwargs["worker_options"] or {}
        return int(options.get("nthreads") or 1), options.get("memory_limit", "auto")
    if config.module == "dask_jobqueue":
        processes = int(kwargs.get("processes") or 1)
        memory = parse_bytes(kwargs["memory"]) // processes if kwargs.get("memory") else "auto"
        return max(1, int(kwargs.get("cores") or 1) // processes), memory
    if "resources" in kwargs:  # KubeCluster
        return 1, str((kwargs["resources"] or {}).get("limits", {}).get("memory", "auto"))
    return int(kwargs.get("threads_per_worker") or 1), kwargs.get("memory_limit", "auto")
