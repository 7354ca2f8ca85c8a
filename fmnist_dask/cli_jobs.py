"""Commands about runs that go on without this terminal, and about clusters that are kept alive."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from fmnist_dask.cli_options import load, no_report_option, runner_options, trust_option, workflow_options

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
run_argument = click.argument("run_", metavar="RUN")
watch_option = click.option("--watch", "watching", is_flag=True, help="Then watch it, until it ends or Ctrl-C.")


def _print_json(value: Any, indent: int | None = 2) -> None:
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


@click.command()
@workflow_options
@no_report_option
@watch_option
def submit(workflow: str, watching: bool, **options: Any) -> None:
    """Run WORKFLOW in the background, on this host; its id alone is printed on stdout.

    A driver process of its own starts the cluster (or uses the one that `cluster start` keeps alive), works, and stops
    what it started. It outlives this terminal: see watch, status, logs, stop, resume.
    """
    from fmnist_dask.jobs.control import submit as start
    from fmnist_dask.workflow.runner import Runner

    run = start(Runner(load(workflow, options), **runner_options(options)))
    _began(run.path, options["as_json"], watching)


@click.command()
@run_argument
@click.option("--cluster", metavar="C", help="Another cluster file, shipped name, or address than before.")
@trust_option
@json_option
@watch_option
def resume(run_: str, cluster: str | None, trust: bool, as_json: bool, watching: bool) -> None:
    """Go on, in the background, with a RUN that was stopped or killed, or has failed."""
    from fmnist_dask.jobs.control import resume as start

    run = start(run_, cluster, trust)
    _began(run.path, as_json, watching)


def _began(path: Path, as_json: bool, watching: bool) -> None:
    from fmnist_dask.jobs.status import Watched

    snapshot = Watched(path).look()
    driver = snapshot["driver"]
    click.echo(f"driver      process {driver['pid']} on {driver['host']}; log {path / 'driver.log'}", err=True)
    click.echo(f"run         {path}\nwatch it    fmnist-dask watch {_name_of(path)}", err=True)
    if as_json:
        _print_json(snapshot)
    else:
        click.echo(path.name)
    if watching:
        _watch(path)


def _name_of(path: Path) -> str:
    """The shortest words that find a run from here."""
    return path.name if path.parent == (Path.cwd() / "runs").resolve() else str(path)


@click.command()
@click.option("--directory", type=click.Path(), default="runs", metavar="DIR", help="Where runs lie. [default: runs]")
@json_option
def runs(directory: str, as_json: bool) -> None:
    """List runs, the last one first."""
    from fmnist_dask.jobs.status import all_runs

    found = all_runs(Path(directory))
    if as_json:
        _print_json(found)
        return
    from fmnist_dask.watching import print_runs

    print_runs(found, directory)


@click.command()
@run_argument
@json_option
def status(run_: str, as_json: bool) -> None:
    """Say how far RUN (an id or a path) is: steps, images a second, time left, memory, errors."""
    from fmnist_dask.jobs.status import Watched

    snapshot = Watched(Path(run_)).look()
    if as_json:
        _print_json(snapshot)
        return
    from fmnist_dask.watching import print_status

    print_status(snapshot)


@click.command()
@run_argument
@click.option("-f", "--follow", "following", is_flag=True, help="Go on printing until the run ends.")
@json_option
def logs(run_: str, following: bool, as_json: bool) -> None:
    """Print what happened in RUN: its events, and at the end what its driver has printed."""
    from fmnist_dask.jobs.status import Watched, ended, event_words
    from fmnist_dask.workflow.story import EventFile

    watched = Watched(Path(run_))
    events = EventFile(watched.path / "events.jsonl")
    while True:
        over = ended(watched.look())
        for event in events.more():
            click.echo(json.dumps(event, ensure_ascii=False) if as_json else event_words(event))
        if over or not following:
            break
        time.sleep(0.3)
    driver_log = watched.path / "driver.log"
    if not as_json and driver_log.is_file():
        click.echo(f"--- {driver_log}")
        click.echo(driver_log.read_text(encoding="utf-8", errors="replace").rstrip())


@click.command()
@run_argument
@json_option
def watch(run_: str, as_json: bool) -> None:
    """Watch RUN live until it ends; with --json, one snapshot a line whenever something changed.

    Ctrl-C leaves the run alone. Exits 0 if the run has succeeded, 1 if it has failed, 130 if it was stopped.
    """
    from fmnist_dask.jobs.status import Watched

    path = Watched(Path(run_)).path
    if not as_json:
        _watch(path)
        return
    from fmnist_dask.jobs.status import follow

    snapshot: dict[str, Any] = {}
    for snapshot in follow(path):
        _print_json(snapshot, None)
    _exit(snapshot)


def _watch(path: Path) -> None:
    from fmnist_dask.watching import watch_run

    try:
        snapshot = watch_run(path)
    except KeyboardInterrupt:
        click.echo(f"{path.name} goes on without this terminal", err=True)
        return
    _exit(snapshot)


def _exit(snapshot: dict[str, Any]) -> None:
    codes = {"SUCCEEDED": 0, "STOPPED": 130}
    click.get_current_context().exit(codes.get(snapshot.get("status", ""), 1))


@click.command()
@run_argument
@click.option("--kill", is_flag=True, help="Do not ask the driver: end its process, on this host.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait.")
@json_option
def stop(run_: str, kill: bool, timeout: float, as_json: bool) -> None:
    """Stop the driver of RUN, wherever it is. Nothing that is finished is lost; resume goes on from there."""
    from fmnist_dask.jobs.control import stop as end

    snapshot = end(run_, kill, timeout)
    if as_json:
        _print_json(snapshot)
    else:
        click.echo(f"{snapshot['run']}: {snapshot['status']}")


@click.group()
def cluster() -> None:
    """Keep clusters alive for several runs."""


@cluster.command("start")
@click.argument("file")
@trust_option
@json_option
def cluster_start(file: str, trust: bool, as_json: bool) -> None:
    """Start the cluster of FILE (or a shipped name) and leave it running; its address is printed on stdout.

    Runs with the same --cluster FILE use it until `cluster stop FILE`.
    """
    from fmnist_dask.cluster.config import load_cluster
    from fmnist_dask.cluster.kept import describe, start_cluster

    def waiting(log: Path) -> None:
        click.echo(f"still starting; its log is {log}; Ctrl-C gives up", err=True)

    state, fresh = start_cluster(load_cluster(file, trust), trust, waiting)
    if as_json:
        _print_json(describe(state))
        return
    said = "started" if fresh else "runs already"
    click.echo(f"{state.name} {said}: {state.class_name}, keeper is process {state.pid}", err=True)
    click.echo(f"dashboard   {state.dashboard}", err=True)
    click.echo(state.address)


@cluster.command("stop")
@click.argument("file")
@json_option
def cluster_stop(file: str, as_json: bool) -> None:
    """Stop the cluster of FILE."""
    from fmnist_dask.cluster.config import find_cluster_file
    from fmnist_dask.cluster.kept import describe, stop_cluster

    state = stop_cluster(find_cluster_file(file).resolve())
    if as_json:
        _print_json(None if state is None else describe(state))
    else:
        click.echo(f"{file}: no cluster is kept alive" if state is None else f"{state.name} stopped", err=True)


@cluster.command("list")
@json_option
def cluster_list(as_json: bool) -> None:
    """List the clusters that are kept alive on this host."""
    from fmnist_dask.cluster.kept import describe, kept_clusters

    found = [describe(state) for state in kept_clusters()]
    if as_json:
        _print_json(found)
        return
    from fmnist_dask.watching import print_clusters

    print_clusters(found)


COMMANDS = (submit, runs, status, watch, logs, stop, resume, cluster)
