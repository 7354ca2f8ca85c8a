"""The command line. Thin: each command parses, calls the Python interface, and prints; imports are made inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fmnist_dask import __version__
from fmnist_dask.cli_jobs import COMMANDS
from fmnist_dask.cli_options import (
    cluster_options,
    load,
    names,
    no_report_option,
    pairs,
    runner_options,
    source_option,
    whole_number,
    workflow_options,
)
from fmnist_dask.errors import FmnistDaskError, UsageError


class _Main(click.Group):
    """Turns errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FmnistDaskError as error:
            if ctx.params.get("debug"):
                raise
            _say_error(error.message, error.remedy)
            ctx.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; the same command goes on from here", err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            _say_error(f"{type(error).__name__}: {error}", "run it again with fmnist-dask --debug … for the traceback")
            ctx.exit(1)


def _say_error(message: str, remedy: str | None) -> None:
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(message, err=True)
    if remedy:
        click.secho("remedy: ", fg="yellow", bold=True, err=True, nl=False)
        click.echo(remedy, err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fmnist-dask")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """See what is in a collection of images that is bigger than memory.

    \b
    fmnist-dask run explore                       synthetic garments, no download
    fmnist-dask run explore --source ~/photos     a folder of images
    fmnist-dask workflows                         what else can be run
    fmnist-dask submit explore --watch            in the background, on any cluster
    """  # noqa: D301 - click wants the character


@main.command()
@workflow_options
@no_report_option
def run(workflow: str, dry_run: bool = False, **options: Any) -> None:
    """Run WORKFLOW (a file or a shipped name) and leave a report.

    The same command finds the same run and goes on where it stopped.
    """
    if dry_run:
        _plan(workflow, options)
        return
    import json

    from fmnist_dask.terminal import Terminal
    from fmnist_dask.workflow.runner import Runner

    loaded = load(workflow, options)
    with Terminal(to_stderr=options["as_json"]) as terminal:
        runner = Runner(loaded, observer=terminal, **runner_options(options))
        try:
            runner.execute()
        finally:
            if options["as_json"] and runner.began:
                click.echo(json.dumps(runner.run.manifest, indent=2, ensure_ascii=False))


run.params.append(click.Option(["--dry-run"], is_flag=True, help="Plan only, like the command plan."))


@main.command()
@workflow_options
@click.option("--images", callback=whole_number, metavar="N", help="Plan for so many images like these, e.g. 1e9.")
@click.option("--workers", callback=whole_number, metavar="N", help="Plan for so many workers like these.")
@click.option("--no-timing", is_flag=True, help="Sizes only; start no worker.")
def plan(workflow: str, **options: Any) -> None:
    """Say what a run would do: passes, tasks, bytes, memory, disk, time.

    Workers are started, or those of a running cluster are asked, to work through a few blocks of each pass: rates are
    measured, not known. Nothing is run or written.
    """
    _plan(workflow, options)


def _plan(workflow: str, options: dict[str, Any]) -> None:
    import json

    from fmnist_dask.terminal_plan import print_plan
    from fmnist_dask.workflow.plan import plan_workflow

    planned = plan_workflow(
        load(workflow, options),
        cluster=options["cluster"],
        trust=options["trust"],
        store=options["store"],
        only=names(options["only"]),
        images=options.get("images"),
        workers=options.get("workers"),
        timed=not options.get("no_timing", False),
    )
    if options["as_json"]:
        click.echo(json.dumps(planned, indent=2))
    else:
        print_plan(planned)


@main.command()
@click.argument("source")
@click.argument("store", required=False, type=click.Path())
@source_option
@click.option("--append", is_flag=True, help="Append to the collection at STORE.")
@cluster_options
def ingest(
    source: str,
    store: str | None,
    source_options: tuple[str, ...],
    append: bool,
    cluster: str | None,
    trust: bool,
) -> None:
    """Turn SOURCE (a name, a path or a URL) into a collection at STORE. By default below collections/."""
    from fmnist_dask.terminal import Terminal
    from fmnist_dask.workflow.ingest_alone import ingest_source
    from fmnist_dask.workflow.load import parse_yaml

    options = {key: parse_yaml(value) for key, value in pairs(source_options).items()}
    with Terminal() as terminal:
        ingest_source(source, store, options, cluster, trust, terminal, append)


@main.command()
@click.argument("store", type=click.Path())
def info(store: str) -> None:
    """Describe the collection, or the photograph, at STORE."""
    from fmnist_dask.collection.raster import Raster, is_raster
    from fmnist_dask.collection.store import Collection
    from fmnist_dask.terminal import print_collection, print_raster

    if is_raster(store):
        print_raster(Raster.open(store))
    else:
        print_collection(Collection.open(store))


@main.command()
@click.argument("run_", metavar="RUN")
@click.option("--open", "open_", is_flag=True, help="Open it in a browser.")
def report(run_: str, open_: bool) -> None:
    """Build the report of RUN (an id or a path), for the first time or again, from its results."""
    from fmnist_dask.workflow.rundir import RunDirectory
    from fmnist_dask.workflow.runner import write_report

    path = write_report(RunDirectory.existing(run_))
    click.echo(path)
    if open_:
        click.launch(str(path))


@main.command()
@click.option("--copy", type=click.Path(), metavar="DIR", help="Copy the shipped files there, to change them.")
def workflows(copy: str | None) -> None:
    """List the shipped workflows and the steps that workflows can use."""
    from fmnist_dask.shipped import shipped_directory
    from fmnist_dask.terminal import print_workflows
    from fmnist_dask.workflow.registry import all_steps

    files = sorted(shipped_directory("workflows").glob("*.yaml"))
    if copy is None:
        print_workflows(files, all_steps())
        return
    target = Path(copy)
    taken = [target / file.name for file in files if (target / file.name).exists()]
    if taken:
        raise UsageError(f"{taken[0]} exists already", "choose another directory, or move the file away")
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        (target / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
        click.echo(target / file.name)


for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
