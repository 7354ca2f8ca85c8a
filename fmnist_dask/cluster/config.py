"""Cluster files: ``module``, ``class``, ``args``, ``kwargs`` as dask-ctl spells them, and ``scale`` and ``config``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from fmnist_dask.cluster.classes import KNOWN_CLASSES, known_class
from fmnist_dask.errors import ClusterError, UsageError, nearest
from fmnist_dask.shipped import shipped_directory

#: Keyword arguments whose own keys are names of the user's: they are not touched.
FREE_KEYS = {"env", "environ", "environment", "labels", "annotations"}


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)


class Adapt(_Part):
    """Bounds of a cluster that grows and shrinks with its work."""

    minimum: pydantic.PositiveInt = 1
    maximum: pydantic.PositiveInt

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Adapt:
        if self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is less than minimum {self.minimum}")
        return self


class Security(_Part):
    """Files of a cluster that speaks TLS; who lacks them is refused."""

    ca_file: str
    cert: str
    key: str


class ClusterConfig(_Part):
    """One cluster file. Keys may be spelled with hyphens or underscores.

    Attributes
    ----------
    scale
        Workers; ``auto`` is one for each core of this machine.
    adapt
        Takes the place of ``scale``: workers come and go with the work.
    timeout
        Seconds to wait for the scheduler, and then for workers: jobs in a queue need more than processes.
    config
        Laid over Dask's own configuration.
    """

    version: Literal[1] = 1
    module: str = "dask.distributed"
    class_name: str = pydantic.Field(default="LocalCluster", alias="class")
    args: list[Any] = pydantic.Field(default_factory=list)
    kwargs: dict[str, Any] = pydantic.Field(default_factory=dict)
    scale: pydantic.PositiveInt | Literal["auto"] = "auto"
    adapt: Adapt | None = None
    timeout: pydantic.PositiveFloat | None = None
    config: dict[str, Any] = pydantic.Field(default_factory=dict)
    security: Security | None = None
    address: str | None = None
    scheduler_file: str | None = None
    #: The file that this was read from.
    _path: Path | None = pydantic.PrivateAttr(default=None)

    @property
    def qualified_class(self) -> str:
        """Module and class."""
        return f"{self.module}.{self.class_name}"

    @property
    def running(self) -> bool:
        """Whether the cluster runs already, so that it is only connected to."""
        return self.address is not None or self.scheduler_file is not None

    @property
    def path(self) -> Path | None:
        """The file that this was read from; ``None`` for an address."""
        return self._path

    @property
    def digest(self) -> str:
        """Changes with anything that the file says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


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
    path = find_cluster_file(text)
    data = _read(path)
    config = _validate(path, data)
    config._path = path.resolve()
    _check_memory_limit(path, config.kwargs.get("memory_limit"))
    if not config.running:
        if config.qualified_class not in KNOWN_CLASSES and not trust:
            known = sorted(KNOWN_CLASSES)
            raise ClusterError(
                f"{path} names the class {config.qualified_class}, which is not among those known to be clusters: "
                f"{', '.join(known)}",
                "a cluster file runs code: read it, and say --trust if you trust it",
            )
        worker_count(config)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the cluster file {path}: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a cluster file is a mapping", f"see {shipped_directory('cluster-configs')}")
    data = _with_underscores(data)
    if isinstance(data.get("kwargs"), dict):
        data["kwargs"] = _with_underscores(data["kwargs"], deep=True)
    for name in ("security", "adapt"):
        if isinstance(data.get(name), dict):
            data[name] = _with_underscores(data[name])
    if isinstance(data.get("scale"), dict):  # scale: {adapt: {minimum: 1, maximum: 8}}, or with the bounds at once
        bounds = data.pop("scale")
        data["adapt"] = bounds.get("adapt", bounds)
    return _absolute(path, data)


def _with_underscores(data: Mapping[Any, Any], deep: bool = False) -> dict[str, Any]:
    made = {}
    for key, value in data.items():
        name = str(key).replace("-", "_")
        inner = deep and isinstance(value, Mapping) and name not in FREE_KEYS
        made[name] = _with_underscores(value, deep) if inner else value
    return made


def _absolute(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """Names of files are relative to the cluster file."""

    def resolve(name: Any) -> Any:
        return str((path.resolve().parent / Path(name).expanduser()).resolve()) if isinstance(name, str) else name

    if data.get("scheduler_file") is not None:
        data["scheduler_file"] = resolve(data["scheduler_file"])
    if isinstance(data.get("security"), dict):
        data["security"] = {key: resolve(value) for key, value in data["security"].items()}
    return data


def _validate(path: Path, data: dict[str, Any]) -> ClusterConfig:
    try:
        return ClusterConfig.model_validate(data)
    except pydantic.ValidationError as error:
        # A value may be one of several types: the first complaint is of the type that comes first.
        first = error.errors()[0]
        at = [str(part) for part in first["loc"]]
        parts: dict[str, type[pydantic.BaseModel]] = {"adapt": Adapt, "security": Security}
        model = parts.get(at[0], ClusterConfig)
        known = [field.alias or name for name, field in model.model_fields.items()]
        if first["type"] == "extra_forbidden":
            raise UsageError(f'{path}: unknown key "{".".join(at)}"', nearest(at[-1], known)) from error
        if first["type"] == "missing":
            raise UsageError(f'{path}: "{".".join(at)}" is missing', f'add "{at[-1]}"') from error
        if at[0] == "scale":
            raise UsageError(
                f"{path}: scale: {data['scale']!r} is neither a number of workers, 1 or more, nor auto",
                "or write  adapt: {minimum: 1, maximum: 8}",
            ) from error
        raise UsageError(f"{path}: {at[0]}: {first['msg']} (found {first['input']!r})") from error


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


def find_cluster_file(text: str) -> Path:
    """A path, or the file of a shipped name."""
    path = Path(text).expanduser()
    if path.is_file():
        return path
    shipped = {file.stem: file for file in shipped_directory("cluster-configs").glob("*.yaml")}
    if text in shipped:
        return shipped[text]
    raise UsageError(f"no cluster file {text}", nearest(text, shipped))


def worker_count(config: ClusterConfig) -> int:
    """Workers that a file asks for, at least; ``auto`` is one for each core that this process may use.

    Raises
    ------
    UsageError
        ``auto``, but the workers run elsewhere.
    """
    if config.adapt is not None:
        return config.adapt.minimum
    if config.scale != "auto":
        return config.scale
    wanted = config.kwargs.get("n_workers")
    if wanted is not None:
        return int(wanted)
    if config.class_name == "SSHCluster":
        hosts = config.kwargs.get("hosts") or (config.args[0] if config.args else ())
        each = (config.kwargs.get("worker_options") or {}).get("n_workers", 1)
        return max(1, (len(hosts) - 1) * int(each))
    known = known_class(config.qualified_class)
    if known is not None and not known.own_cores:
        raise UsageError(
            f"{config.path}: scale: auto is one worker for each core of this machine, but the workers of "
            f"{config.class_name} run elsewhere",
            "say how many:  scale: 4  or  adapt: {minimum: 1, maximum: 8}",
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(config.kwargs.get("threads_per_worker") or 1))
