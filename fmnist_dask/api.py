"""The Python interface: the same things as on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.raster import Raster, is_raster
from fmnist_dask.collection.store import Collection
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory
from fmnist_dask.workflow.story import read_words

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fmnist_dask.workflow.observe import Observer


class Run:
    """A run's results.

    Parameters
    ----------
    path
        A run directory, or the id of a run below ``runs/``.

    Examples
    --------
    >>> run = fmnist_dask.open_run("runs/latest")  # doctest: +SKIP
    >>> run["pixels"]["class_mean"].sel({"class": "Trouser"})  # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self._directory = RunDirectory.existing(path)

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self._directory.path

    @property
    def manifest(self) -> dict[str, Any]:
        """What the run did: source, steps, metrics, versions, memory, times."""
        return self._directory.manifest

    @property
    def status(self) -> str:
        """PENDING, RUNNING, SUCCEEDED, STOPPED or FAILED."""
        return str(self.manifest["status"])

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metrics of each step."""
        return {name: step["metrics"] for name, step in self.manifest["steps"].items()}

    @property
    def collection(self) -> Collection | Raster:
        """The collection, or the photograph, that the run read."""
        place = self.manifest["source"]["collection"]
        return Raster.open(place) if is_raster(place) else Collection.open(place)

    @property
    def report(self) -> Path:
        """The report's path."""
        return self._directory.report

    def keys(self) -> list[str]:
        """Names of the steps whose results are there."""
        published = [name for name, step in self.manifest["steps"].items() if step["status"] in PUBLISHED]
        return [name for name in published if (self._directory.results / name).is_dir()]

    def __getitem__(self, step: str) -> xr.Dataset:
        """A step's result, a lazy dataset."""
        from fmnist_dask.errors import RunError, nearest
        from fmnist_dask.workflow.publish import open_results

        if step not in self.keys():
            raise RunError(f'the run {self.path.name} has no result "{step}"', nearest(step, self.keys()))
        return open_results(self._directory, step)

    def tree(self) -> xr.DataTree:
        """All results as one tree."""
        import xarray

        return xarray.open_datatree(self._directory.results, engine="zarr", consolidated=False)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run, for instance ``duplicates``."""
        import pandas

        from fmnist_dask.errors import RunError, nearest

        path = self._directory.tables / f"{name}.parquet"
        if not path.is_file():
            known = [file.stem for file in self._directory.tables.glob("*.parquet")]
            raise RunError(f'the run {self.path.name} has no table "{name}"', nearest(name, known))
        return pandas.read_parquet(path)

    def __repr__(self) -> str:
        return f"<fmnist_dask.Run {self.path.name}: {self.status}, results {', '.join(self.keys()) or 'none'}>"

    def _repr_html_(self) -> str:
        source = self.manifest["source"]
        rows = "".join(
            f"<tr><td><b>{escape(name)}</b></td><td>{escape(step['status'])}</td><td>{_words(step['metrics'])}</td></tr>"
            for name, step in self.manifest["steps"].items()
        )
        head = f"{self.path.name}: {self.status}, {read_words(source)}"
        return f"<div><b>fmnist_dask.Run</b> {escape(head)}<table>{rows}</table>{escape(str(self.report))}</div>"


def _words(metrics: Mapping[str, Any]) -> str:
    return escape(", ".join(f"{key} {value}" for key, value in metrics.items()))


def run(
    workflow: str | Path = "explore",
    *,
    source: str | Path | None = None,
    source_options: Mapping[str, Any] | None = None,
    cluster: str | Path | None = None,
    store: str | Path | None = None,
    out: str | Path | None = None,
    settings: Iterable[str] = (),
    only: Iterable[str] = (),
    force: bool = False,
    trust: bool = False,
    report: bool = True,
    observer: Observer | None = None,
) -> Run:
    """Run a workflow and wait for its end; finished steps of an earlier, equal run are used again.

    Parameters
    ----------
    workflow
        A file, or the name of a shipped workflow.
    source
        Takes the place of the workflow's source: a name or a path.
    source_options
        Options of the source, for instance ``{"n": 1000}``.
    cluster
        A cluster file, a shipped name, or the address of a scheduler; by default worker processes on this machine.
        A script that starts processes needs ``if __name__ == "__main__":`` around this call.
    store, out
        Where the collection and the run go; by default below ``collections/`` and ``runs/``.
    settings
        ``"step.parameter=value"`` each.
    only
        Names of steps to run, with what they need.
    force
        Forget published results.
    trust
        Allow cluster files to name any class.
    report
        Whether to build the report; ``fmnist-dask report`` builds it later, too.
    observer
        Hears of progress.

    Returns
    -------
    Run

    Raises
    ------
    FmnistDaskError
        With cause and remedy.
    """
    from fmnist_dask.workflow.load import find_workflow, load_workflow
    from fmnist_dask.workflow.runner import Runner

    options = {key: str(value) for key, value in (source_options or {}).items()}
    loaded = load_workflow(find_workflow(workflow), source=source, source_options=options, settings=list(settings))
    runner = Runner(
        loaded,
        cluster=cluster,
        store=store,
        out=out,
        only=only,
        force=force,
        trust=trust,
        report=report,
        observer=observer,
    )
    runner.execute()
    return Run(runner.run.path)


def plan(
    workflow: str | Path = "explore",
    *,
    source: str | Path | None = None,
    source_options: Mapping[str, Any] | None = None,
    cluster: str | Path | None = None,
    store: str | Path | None = None,
    settings: Iterable[str] = (),
    only: Iterable[str] = (),
    trust: bool = False,
    images: int | None = None,
    workers: int | None = None,
    timed: bool = True,
) -> dict[str, Any]:
    """Say what a run would do: passes, tasks, bytes, memory, disk and time. Nothing is run or written.

    Parameters
    ----------
    workflow, source, source_options, cluster, store, settings, only, trust
        As :func:`run` takes them.
    images, workers
        Plan for so many of them, alike those that there are.
    timed
        Have workers work through a few blocks of each pass; else nothing is said of time.

    Returns
    -------
    dict
        See :func:`~fmnist_dask.workflow.plan.plan_workflow`.

    Raises
    ------
    MemoryLimitError
        It would not fit the workers; names the step, and what would fit.
    """
    from fmnist_dask.workflow.load import find_workflow, load_workflow
    from fmnist_dask.workflow.plan import plan_workflow

    options = {key: str(value) for key, value in (source_options or {}).items()}
    loaded = load_workflow(find_workflow(workflow), source=source, source_options=options, settings=list(settings))
    return plan_workflow(
        loaded, cluster=cluster, trust=trust, store=store, only=only, images=images, workers=workers, timed=timed
    )


def open_run(path: str | Path) -> Run:
    """Open a run: its directory, or its id below ``runs/``."""
    return Run(path)


def open_collection(path: str | Path) -> Collection:
    """Open a collection that an ingest or a run has made."""
    return Collection.open(path)


def ingest(
    source: str | Path | Mapping[str, Any],
    store: str | Path | None = None,
    *,
    append: bool = False,
    source_options: Mapping[str, Any] | None = None,
    cluster: str | Path | None = None,
    trust: bool = False,
    observer: Observer | None = None,
) -> Collection | Raster:
    """Turn raw images into a collection; one that is there already is returned as it is.

    A photograph becomes a raster collection, stored in tiles: a single image file, ``{"photo": path}`` of an image
    file, an NPY file or a Zarr array, ``landscape``, ``china`` or ``flower``.

    Parameters
    ----------
    source
        A name (``garments``, ``digits``, ``fashion-mnist``, ``mnist``), a path, or a URL that fsspec knows.
    store
        Where to put it; by default below ``collections/``.
    append
        Append to the collection at ``store``. Until all is written, readers see the rows of before.
    """
    from fmnist_dask.workflow.ingest_alone import ingest_source

    return ingest_source(source, store, dict(source_options or {}), cluster, trust, observer, append)
