"""Classes that cluster files may name: which are known, which extra brings them, and what arguments they take."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmnist_dask.errors import ClusterError, UsageError, nearest


@dataclass(frozen=True)
class KnownClass:
    """A kind of cluster that is started without ``--trust``.

    Attributes
    ----------
    extra
        Extra of this package that brings what the class needs.
    module
        Module that must be importable for it.
    scaled
        Whether workers are asked for with ``scale`` after the cluster is there.
    own_cores
        Whether workers run on this machine, so that ``auto`` means one for each of its cores.
    """

    extra: str | None = None
    module: str | None = None
    scaled: bool = True
    own_cores: bool = False


LOCAL = KnownClass(scaled=False, own_cores=True)
SSH = KnownClass("ssh", "asyncssh", scaled=False)
QUEUE = KnownClass("jobqueue", "dask_jobqueue")
#: Classes that a cluster file may name without ``--trust``, by the name that they are imported by.
KNOWN_CLASSES: dict[str, KnownClass] = {
    "dask.distributed.LocalCluster": LOCAL,
    "distributed.LocalCluster": LOCAL,
    "dask.distributed.SSHCluster": SSH,
    "distributed.SSHCluster": SSH,
    "fmnist_dask.cluster.processes.ProcessCluster": LOCAL,
    **{f"dask_jobqueue.{name}Cluster": QUEUE for name in ("HTCondor", "LSF", "Moab", "OAR", "PBS", "SGE", "SLURM")},
    "dask_kubernetes.operator.KubeCluster": KnownClass("kubernetes", "dask_kubernetes"),
    "dask_gateway.GatewayCluster": KnownClass("gateway", "dask_gateway"),
}


def known_class(qualified: str) -> KnownClass | None:
    """What is known of a class; ``None`` for one that needs ``--trust``."""
    return KNOWN_CLASSES.get(qualified)


def find_class(module: str, name: str) -> Any:
    """Import a cluster class.

    Raises
    ------
    ClusterError
        The module is missing (the remedy names the extra that brings it), or has no such class.
    """
    known = known_class(f"{module}.{name}")
    needed = known.module if known is not None and known.module else module.partition(".")[0]
    if importlib.util.find_spec(needed) is None:
        extra = known.extra if known is not None else None
        how = f'pip install "fmnist-dask[{extra}]"' if extra else "install it where fmnist-dask is installed"
        raise ClusterError(f"{name} needs the package {needed}, which is not installed", how)
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ClusterError(f"the cluster file's module {module} cannot be imported: {error}", "install it") from error
    try:
        return getattr(found, name)
    except AttributeError:
        names = [name for name in dir(found) if name.endswith("Cluster")]
        raise ClusterError(f"{module} has no class {name}", nearest(name, names)) from None


def check_arguments(where: str, cluster_class: Any, kwargs: Mapping[str, Any]) -> None:
    """Whether a class takes these keyword arguments, as far as signatures tell.

    Raises
    ------
    UsageError
        It does not; the remedy names the nearest one that it takes.
    """
    names = argument_names(cluster_class)
    if names is None:
        return
    for key in kwargs:
        if key not in names:
            title = getattr(cluster_class, "__name__", str(cluster_class))
            raise UsageError(f'{where}: kwargs: {title} takes no "{key}"', nearest(key, names))


def argument_names(cluster_class: Any) -> set[str] | None:
    """Names of the keyword arguments that a class takes; ``None`` where its signatures do not tell."""
    names: set[str] = set()
    open_ended = False
    for function in _signatures(cluster_class):
        open_ended = False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                open_ended = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                names.add(parameter.name)
    names -= {"self", "cls", "loop", "asynchronous", "args"}
    return None if open_ended else names


def _signatures(cluster_class: Any) -> Iterable[Any]:
    """Functions whose keyword arguments a class hands on to one another; the last one takes no others."""
    name = getattr(cluster_class, "__name__", "")
    if not inspect.isclass(cluster_class):
        yield cluster_class
        if name == "SSHCluster":
            from distributed.deploy.ssh import old_cluster_kwargs

            yield _taking(*old_cluster_kwargs)
        return
    for base in inspect.getmro(cluster_class):
        if "__init__" in vars(base) and base is not object:
            yield vars(base)["__init__"]
            if base.__module__.startswith(("distributed.deploy.cluster", "distributed.deploy.spec")):
                break
    job = getattr(cluster_class, "job_cls", None)
    if job is not None:  # dask-jobqueue: what the cluster does not know goes to its jobs
        yield from (vars(base)["__init__"] for base in inspect.getmro(job)[:-1] if "__init__" in vars(base))
        yield _taking()
    elif name == "LocalCluster":
        from distributed import Nanny, Worker

        yield Nanny.__init__
        yield Worker.__init__
        yield _taking()


def _taking(*names: str) -> Any:
    """A function with these keyword arguments, and no others."""

    def function() -> None:
        """Never called."""

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in sorted(names)]
    )
    return function
