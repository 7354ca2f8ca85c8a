"""From a cluster file to a client, and what its workers offer."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.config import ClusterConfig, worker_count
from fmnist_dask.errors import ClusterError, nearest
from fmnist_dask.passes.probe import WorkerState, prepare_worker, worker_state
from fmnist_dask.passes.sizing import WORKING_BYTES, Workers

if TYPE_CHECKING:
    from distributed import Client

#: Seconds to wait for a scheduler, and for its first worker.
CONNECT_TIMEOUT = 30
#: glibc's allocator in worker processes. Dask sets the first to 64 KiB, which makes NumPy's temporaries fault in their
#: pages anew each time: drawing garments took 3.5 times as long, a pass 1.5 times. Here freed memory is kept while a
#: task runs and handed back when it ends (``release_memory``). 32 MiB is the largest value that glibc takes for the
#: second. One arena keeps threads from hoarding.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": 64 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20, "MALLOC_ARENA_MAX": 1}


#: When Dask spills and pauses, as shares of a worker's limit. What tasks hold is small and short-lived, so that
#: spilling it (at 70 % by default) frees nothing; the plan keeps below the first.
MEMORY = {"spill": 0.8, "pause": 0.9}
Announce = Callable[[str, dict[str, Any]], None]


@dataclass
class Connection:
    """A client, what its workers offer, and what the manifest says of the cluster."""

    client: Client
    workers: Workers
    description: dict[str, Any]
    dashboard: str
    started_here: bool

    def worker_states(self) -> dict[str, WorkerState]:
        """Peak memory, spilled bytes and process number of each worker."""
        states: dict[str, WorkerState] = self.client.run(worker_state)
        return states


@contextlib.contextmanager
def dask_settings(config: ClusterConfig) -> Iterator[None]:
    """Dask's configuration while a cluster of a file is used: ours below, the file's ``config`` on top."""
    import dask
    import distributed.config  # noqa: F401 - puts its defaults into Dask's configuration

    ours: dict[str, Any] = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()}
    ours |= {f"distributed.worker.memory.{name}": value for name, value in MEMORY.items()}
    with dask.config.set(ours):
        # Setting a nested mapping would take the place of the whole tree.
        merged = dask.config.merge(dask.config.config, config.config)
        with dask.config.set(merged):
            yield


@contextlib.contextmanager
def connect(config: ClusterConfig, announce: Announce | None = None) -> Iterator[Connection]:
    """Start the cluster of a file, or connect to one that runs; stop what was started.

    Parameters
    ----------
    config
        The cluster file.
    announce
        Called with the dashboard's address and the cluster's description as soon as the workers are there, before they
        have imported what tasks need.

    Raises
    ------
    ClusterError
        It cannot be started or reached, or has no workers.
    """
    from distributed import Client

    # The port of the dashboard may be taken; distributed then takes another and warns, and we print the one it took.
    warnings.filterwarnings("ignore", message="Port .* is already in use")
    logging.getLogger("distributed.shuffle").setLevel(logging.ERROR)
    with dask_settings(config), contextlib.ExitStack() as stack:
        if config.running:
            target: Any = config.address
        else:
            target = stack.enter_context(contextlib.closing(_start(config)))
        try:
            client = Client(target, scheduler_file=config.scheduler_file, timeout=CONNECT_TIMEOUT)
        except (OSError, ValueError) as error:
            place = config.address or config.scheduler_file
            raise ClusterError(
                f"no scheduler answers at {place}: {error}", "check the address and that it runs"
            ) from error
        stack.enter_context(client)
        yield _describe(client, config, announce)


def _start(config: ClusterConfig) -> Any:
    """An instance of the file's cluster class, with its workers asked for."""
    try:
        module = importlib.import_module(config.module)
        cluster_class = getattr(module, config.class_name)
    except ImportError as error:
        raise ClusterError(
            f"the cluster file's module {config.module} cannot be imported: {error}", "install it"
        ) from error
    except AttributeError:
        names = [name for name in dir(module) if name.endswith("Cluster")]
        raise ClusterError(
            f"{config.module} has no class {config.class_name}", nearest(config.class_name, names)
        ) from None
    kwargs = dict(config.kwargs)
    count = worker_count(config)
    local = config.class_name == "LocalCluster"
    if local:
        # Errors reach the driver as exceptions; workers need not print them, too.
        kwargs = {"n_workers": count, "processes": True, "silence_logs": logging.ERROR, **kwargs}
    try:
        cluster = cluster_class(*config.args, **kwargs)
        if not local:
            cluster.scale(count)
    except TypeError as error:
        raise ClusterError(
            f"{config.class_name} does not take what the cluster file gives: {error}", "mend its kwargs"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"{config.class_name} could not be started: {error}",
            'in a script, put the call below if __name__ == "__main__": since worker processes import the script; '
            "else see the messages above",
        ) from error
    return cluster


def _describe(client: Client, config: ClusterConfig, announce: Announce | None) -> Connection:
    import dask

    client.wait_for_workers(1 if config.running else worker_count(config), timeout=CONNECT_TIMEOUT)
    info = client.scheduler_info(n_workers=-1)["workers"]
    limits = [worker["memory_limit"] for worker in info.values() if worker["memory_limit"]]
    threads = max(worker["nthreads"] for worker in info.values())
    spill = dask.config.get("distributed.worker.memory.spill")
    limit = min(limits) if limits else None
    description = {
        "class": "existing" if config.running else config.class_name,
        "workers": len(info),
        "threads": threads * len(info),
        "memory_limit": limit,
    }
    if announce is not None:
        announce(client.dashboard_link, description)
    resident: dict[str, int] = client.run(prepare_worker, lean=not config.running)
    workers = Workers(
        count=len(info),
        threads=threads,
        memory_limit=limit,
        usable=float(spill) if spill else 0.95,
        baseline=max(resident.values()) + WORKING_BYTES,
    )
    return Connection(client, workers, description, client.dashboard_link, not config.running)


def ssh_tunnel(dashboard: str) -> str | None:
    """The ``ssh -L`` line that opens a dashboard from elsewhere, when this session came over SSH."""
    if not os.environ.get("SSH_CONNECTION"):
        return None
    port = dashboard.rpartition(":")[2].split("/")[0]
    host = os.environ["SSH_CONNECTION"].split()[2]
    return f"ssh -L {port}:127.0.0.1:{port} {os.environ.get('USER', 'you')}@{host}"
