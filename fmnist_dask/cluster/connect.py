"""From a cluster file to a client, and what its workers offer."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.checks import check_workers
from fmnist_dask.cluster.classes import check_arguments, find_class, known_class
from fmnist_dask.cluster.config import ClusterConfig, worker_count
from fmnist_dask.cluster.kept import running_cluster
from fmnist_dask.errors import ClusterError, FmnistDaskError, UsageError
from fmnist_dask.passes.probe import WorkerState, prepare_aside, worker_state
from fmnist_dask.passes.sizing import WORKING_BYTES, Workers

if TYPE_CHECKING:
    from distributed import Client

#: Seconds to wait for a scheduler, and for the workers of a cluster of processes.
CONNECT_TIMEOUT = 30
#: Seconds to wait for workers that come through a queue.
QUEUE_TIMEOUT = 600
#: glibc's allocator in worker processes. Dask sets the first to 64 KiB, which makes NumPy's temporaries fault in their
#: pages anew each time: drawing garments took 3.5 times as long, a pass 1.5 times. Here freed memory is kept while a
#: task runs and handed back when it ends (``release_memory``). 32 MiB is the largest value that glibc takes for the
#: second. One arena keeps threads from hoarding.
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": 64 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20, "MALLOC_ARENA_MAX": 1}


#: When Dask spills and pauses, as shares of a worker's limit. What tasks hold is small and short-lived, so that
#: spilling it (at 70 % by default) frees nothing; the plan keeps below the first.
MEMORY = {"spill": 0.8, "pause": 0.9}
#: How often workers look at what they do, and how long such looks are added up. By default 100 times and for a second:
#: an hour of that is kept, 0.1 MB each second (measured), which would be most of a worker's memory in the end.
PROFILE = {"interval": "50 ms", "cycle": "60 s"}
#: How often each event loop looks at how late it is. By default 50 times a second: a scheduler, a client and two
#: nannies in one thread, with nothing to do, took 7.2 % of it (measured; 2.9 % so).
TICK = "200 ms"
#: How schedulers of ours differ from Dask's: a worker that is silent for so long (frozen, or its host is gone) is
#: started again and its work done by others, and the dashboard has a page of runs.
SCHEDULER = {"worker-ttl": "60 s", "preload": ["fmnist_dask.cluster.dashboard"]}
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
        """Peak memory, spilled bytes and process number of each worker that answers."""
        states: dict[str, WorkerState] = self.client.run(worker_state, on_error="ignore")
        return states

    def worker_bytes(self) -> list[int]:
        """Resident bytes of each worker, as they told the scheduler last."""
        info = self.client.scheduler_info(n_workers=-1)["workers"]
        return [int(worker["metrics"].get("memory", 0)) for worker in info.values()]


@contextlib.contextmanager
def dask_settings(config: ClusterConfig) -> Iterator[None]:
    """Dask's configuration while a cluster of a file is used: ours below, the file's ``config`` on top."""
    import dask
    import distributed.config  # noqa: F401 - puts its defaults into Dask's configuration

    ours: dict[str, Any] = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR.items()}
    ours |= {f"distributed.worker.memory.{name}": value for name, value in MEMORY.items()}
    ours |= {f"distributed.worker.profile.{name}": value for name, value in PROFILE.items()}
    ours["distributed.admin.tick.interval"] = TICK
    ours |= {f"distributed.scheduler.{name}": value for name, value in SCHEDULER.items()}
    with dask.config.set(ours):
        # Setting a nested mapping would take the place of the whole tree.
        merged = dask.config.merge(dask.config.config, config.config)
        with dask.config.set(merged):
            yield


@contextlib.contextmanager
def connect(
    config: ClusterConfig, announce: Announce | None = None, directories: Iterable[Path] = ()
) -> Iterator[Connection]:
    """Start the cluster of a file, or connect to one that runs; stop what was started.

    Parameters
    ----------
    config
        The cluster file. If its cluster is kept alive (``fmnist-dask cluster start``), that one is connected to.
    announce
        Called with the dashboard's address and the cluster's description as soon as the workers are there, before they
        have imported what tasks need.
    directories
        That workers must see, too.

    Raises
    ------
    ClusterError
        It cannot be started or reached, has no workers, or its workers cannot do the work.
    """
    # The port of the dashboard may be taken; distributed then takes another and warns, and we print the one it took.
    warnings.filterwarnings("ignore", message="Port .* is already in use")
    logging.getLogger("distributed.shuffle").setLevel(logging.ERROR)
    with dask_settings(config), contextlib.ExitStack() as stack:
        kept = running_cluster(config)
        started = None
        if kept is not None:
            target: Any = kept.address
        elif config.running:
            target = config.address
        else:
            target = started = stack.enter_context(contextlib.closing(start(config)))
        client = stack.enter_context(_client(config, target))
        expected = worker_count(config) if started is not None else 1
        _await_workers(client, config, expected)
        connection = _describe(client, config, announce, directories, started_here=started is not None)
        from fmnist_dask.passes.late_workers import late_workers_prepared  # which needs distributed

        if not config.running:  # workers of a cluster that is not ours are not ours to send away
            stack.enter_context(late_workers_prepared(client, lean=True))
        yield connection


def _client(config: ClusterConfig, target: Any) -> Client:
    from distributed import Client

    if config.scheduler_file is not None and not Path(config.scheduler_file).is_file():
        # Dask would wait for it for ever.
        raise ClusterError(f"there is no scheduler file {config.scheduler_file}", "start the scheduler that writes it")
    security = security_of(config)
    address = target if isinstance(target, str) or target is None else target.scheduler_address
    own = target is not None and not isinstance(target, str) and hasattr(target, "loop")
    # A client that cannot connect is closed by Dask where it is collected, if at all. That may be in the thread of
    # another client's event loop, which then waits for a lock that waits for it: the other one cannot start. So it is
    # closed here, and its event loop with it.
    client: Client = Client.__new__(Client)
    try:
        Client.__init__(
            client,
            target if own else address,
            scheduler_file=config.scheduler_file,
            timeout=config.timeout or CONNECT_TIMEOUT,
            **({} if security is None else {"security": security}),
        )
    except (OSError, ValueError, TypeError) as error:
        with contextlib.suppress(AttributeError):  # it failed before it had anything to close
            client.close()
            client._loop_runner.stop()
        place = address or config.scheduler_file
        reason = "no security was given" if str(place).startswith("tls://") and security is None else str(error)
        raise ClusterError(
            f"no scheduler answers at {place}: {reason}",
            "check the address, that it runs, and whether it wants TLS (security: {ca-file, cert, key})",
        ) from error
    return client


def security_of(config: ClusterConfig) -> Any:
    """The :class:`distributed.Security` of a file that names certificates; else ``None``."""
    from distributed import Security

    files = config.security
    if files is None:
        return None
    for path in (files.ca_file, files.cert, files.key):
        if not Path(path).is_file():
            raise ClusterError(f"{config.path}: security: there is no file {path}", "names are relative to the file")
    both = {
        f"tls_{role}_{name}": value
        for role in ("client", "scheduler", "worker")
        for name, value in (("cert", files.cert), ("key", files.key))
    }
    return Security(tls_ca_file=files.ca_file, require_encryption=True, **both)


def start(config: ClusterConfig) -> Any:
    """An instance of the file's cluster class, with its workers asked for.

    Raises
    ------
    ClusterError, UsageError
        Its class is missing, does not take what the file gives, or cannot be started.
    """
    cluster_class = find_class(config.module, config.class_name)
    check_arguments(str(config.path or "the cluster file"), cluster_class, config.kwargs)
    kwargs = dict(config.kwargs)
    count = worker_count(config)
    known = known_class(config.qualified_class)
    if config.class_name == "LocalCluster":
        # Errors reach the driver as exceptions; workers need not print them, too.
        kwargs = {"n_workers": count, "processes": True, "silence_logs": logging.ERROR, **kwargs}
    elif known is not None and known.own_cores:
        kwargs = {"n_workers": count, **kwargs}
    if (security := security_of(config)) is not None:
        kwargs["security"] = security
        if config.class_name == "LocalCluster":
            kwargs.setdefault("protocol", "tls://")
    if config.adapt is not None and not hasattr(cluster_class, "adapt") and isinstance(cluster_class, type):
        raise UsageError(f"{config.path}: {config.class_name} does not adapt", "say how many workers:  scale: 4")
    cluster = None
    try:
        cluster = cluster_class(*config.args, **kwargs)
        if config.adapt is not None:
            cluster.adapt(minimum=config.adapt.minimum, maximum=config.adapt.maximum)
        elif known is None or known.scaled:
            cluster.scale(count)
    except BaseException as error:
        if cluster is not None:
            with contextlib.suppress(Exception):
                cluster.close()
        raise _not_started(config, error) from error
    return cluster


def _not_started(config: ClusterConfig, error: BaseException) -> BaseException:
    """What is said of an error of a cluster's class; each has its own."""
    if isinstance(error, FmnistDaskError) or not isinstance(error, Exception):
        return error
    if isinstance(error, TypeError):
        return ClusterError(
            f"{config.class_name} does not take what the cluster file gives: {error}", "mend its kwargs"
        )
    said = f"{config.class_name} could not be started: {type(error).__name__}: {error}"
    return ClusterError(said, _start_remedy(config))


def _start_remedy(config: ClusterConfig) -> str:
    known = known_class(config.qualified_class)
    if known is not None and known.own_cores:
        return (
            'in a script, put the call below if __name__ == "__main__": since worker processes import the script; '
            "else see the messages above"
        )
    return "check hosts, queue, credentials, whatever the cluster file names, and the messages above"


def _await_workers(client: Client, config: ClusterConfig, expected: int) -> None:
    """Wait for all workers that were asked for; where they come through a queue, the first will do after a while."""
    known = known_class(config.qualified_class)
    queued = known is not None and known.scaled and not config.running
    seconds = config.timeout or (QUEUE_TIMEOUT if queued else CONNECT_TIMEOUT)
    try:
        client.wait_for_workers(expected, timeout=seconds)
    except TimeoutError:
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        if there == 0 or not queued:
            raise ClusterError(
                f"of {expected} workers {there} came within {seconds:g} s",
                "look into the cluster's own logs and queue; timeout: in the cluster file waits longer",
            ) from None


def _describe(
    client: Client, config: ClusterConfig, announce: Announce | None, directories: Iterable[Path], started_here: bool
) -> Connection:
    import dask

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
        "address": client.scheduler.address,
    }
    if announce is not None:
        announce(client.dashboard_link, description)
    check_workers(client, directories)
    resident: dict[str, int] = client.run(prepare_aside, lean=not config.running, on_error="ignore")
    if not resident:
        raise ClusterError("all workers died before work began", "look into their logs")
    workers = Workers(
        count=len(info),
        threads=threads,
        memory_limit=limit,
        usable=float(spill) if spill else 0.95,
        baseline=max(resident.values()) + WORKING_BYTES,
    )
    return Connection(client, workers, description, client.dashboard_link, started_here)


def ssh_tunnel(dashboard: str) -> str | None:
    """The ``ssh -L`` line that opens a dashboard from elsewhere, when this session came over SSH."""
    if not os.environ.get("SSH_CONNECTION"):
        return None
    port = dashboard.rpartition(":")[2].split("/")[0]
    host = os.environ["SSH_CONNECTION"].split()[2]
    return f"ssh -L {port}:127.0.0.1:{port} {os.environ.get('USER', 'you')}@{host}"
