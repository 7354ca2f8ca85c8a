"""Cluster files: ``module``, ``class``, ``args``, ``kwargs`` as dask-ctl spells them, and ``scale`` and ``config``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from fmnist_dask.errors import ClusterError, UsageError, nearest
from fmnist_dask.shipped import shipped_directory

#: Classes that a cluster file may name without ``--trust``.
KNOWN_CLASSES = {"dask.distributed.LocalCluster", "distributed.LocalCluster"}


class ClusterConfig(pydantic.BaseModel):
    """One cluster file. Keys may be spelled with hyphens or underscores."""

    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)

    version: Literal[1] = 1
    module: str = "dask.distributed"
    class_name: str = pydantic.Field(default="LocalCluster", alias="class")
    args: list[Any] = pydantic.Field(default_factory=list)
    kwargs: dict[str, Any] = pydantic.Field(default_factory=dict)
    scale: pydantic.PositiveInt | Literal["auto"] = "auto"
    config: dict[str, Any] = pydantic.Field(default_factory=dict)
    address: str | None = None
    scheduler_file: str | None = None

    @property
    def qualified_class(self) -> str:
        """Module and class."""
        return f"{self.module}.{self.class_name}"

    @property
    def running(self) -> bool:
        """Whether the cluster runs already, so that it is only connected to."""
        return self.address is not None or self.scheduler_file is not None


def load_cluster(spec: str | Path | None, trust: bool = False) -> ClusterConfig:
    """Read a cluster file, or take an address.

    Parameters
    ----------
    spec
        A path, a shipped name (``local``), an address (``tcp://host:port``), or ``None`` for ``local``.
    trust
        Allow classes that are not known: a cluster file is code of its author's.

    Raises
    ------
    ClusterError, UsageError
    """
    text = str(spec) if spec is not None else "local"
    if "://" in text:
        return ClusterConfig(address=text)
    path = _find(text)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the cluster file {path}: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a cluster file is a mapping", f"see {shipped_directory('cluster-configs')}")
    data = {str(key).replace("-", "_"): value for key, value in data.items()}
    try:
        config = ClusterConfig.model_validate(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = [field.alias or name for name, field in ClusterConfig.model_fields.items()]
        remedy = nearest(key, known) if first["type"] == "extra_forbidden" else None
        message = f'unknown key "{key}"' if remedy else f"{key}: {first['msg']} (found {first['input']!r})"
        raise UsageError(f"{path}: {message}", remedy) from error
    _check_memory_limit(path, config.kwargs.get("memory_limit"))
    if not config.running and config.qualified_class not in KNOWN_CLASSES and not trust:
        raise ClusterError(
            f"{path} names the class {config.qualified_class}, which is not among those known to be clusters: "
            f"{', '.join(sorted(KNOWN_CLASSES))}",
            "a cluster file runs code: read it, and say --trust if you trust it",
        )
    return config


def _check_memory_limit(path: Path, limit: Any) -> None:
    from dask.utils import parse_bytes

    if limit in (None, "auto"):
        return
    try:
        parse_bytes(limit)
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}: memory_limit: {limit!r} is no number of bytes", "for instance 2GiB, or auto for a fair share"
        ) from None


def _find(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_file():
        return path
    shipped = {file.stem: file for file in shipped_directory("cluster-configs").glob("*.yaml")}
    if text in shipped:
        return shipped[text]
    raise UsageError(f"no cluster file {text}", nearest(text, shipped))


def worker_count(config: ClusterConfig) -> int:
    """Workers that a file asks for; ``auto`` is one for each core that this process may use."""
    if config.scale != "auto":
        return config.scale
    wanted = config.kwargs.get("n_workers")
    if wanted is not None:
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(config.kwargs.get("threads_per_worker") or 1))
