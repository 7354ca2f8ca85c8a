"""How a run was asked for, kept in its directory, so that another process can begin it or go on with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fmnist_dask.collection.files import read_json, write_json
from fmnist_dask.errors import RunError
from fmnist_dask.workflow.rundir import RunDirectory


@dataclass(frozen=True)
class Job:
    """What a driver needs beside the run's ``workflow.yaml``.

    Attributes
    ----------
    cluster
        Cluster file or address.
    only
        Steps that were asked for; all if empty.
    directory
        Where relative paths of the workflow begin.
    force
        Published results of chosen steps are still to be forgotten.
    report
        Whether to build one.
    """

    cluster: str
    trust: bool
    store: str
    only: list[str] = field(default_factory=list)
    directory: str = "."
    force: bool = False
    report: bool = True


def write_job(run: RunDirectory, job: Job) -> None:
    """Keep a job in its run's directory."""
    write_json(run.job, asdict(job))


def read_job(run: RunDirectory) -> Job:
    """The job of a run.

    Raises
    ------
    RunError
        It has none.
    """
    data: Any = read_json(run.job)
    try:
        return Job(**data)
    except TypeError:
        raise RunError(
            f"{run.path} does not say how it was asked for ({run.job.name} is missing or of another release)",
            "run the same command again",
        ) from None
