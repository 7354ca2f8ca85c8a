"""Options that several commands of the command line share, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fmnist_dask.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def whole_number(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Callback of options that take a number as large as one likes: ``1e9``, ``1_000_000``.

    Raises
    ------
    click.BadParameter
        It is no whole number.
    """
    if value is None:
        return None
    try:
        number = float(value)
        if number == int(number):
            return int(number) if "e" in value.lower() or "." in value else int(value)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"{value!r} is no whole number, such as 1000000 or 1e6", context, option)


def combined(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which help shows them."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


source_option = click.option(
    "--source-option", "source_options", multiple=True, metavar="K=V", help="Option of the source, e.g. n=1000000."
)
trust_option = click.option("--trust", is_flag=True, help="Allow the cluster file to name any class.")
cluster_options = combined(
    click.option(
        "--cluster", metavar="C", help="Cluster file, shipped name, or address of a scheduler. [default: local]"
    ),
    trust_option,
)
workflow_options = combined(
    click.argument("workflow"),
    click.option("--source", metavar="S", help="Name or path; takes the place of the workflow's source."),
    source_option,
    click.option(
        "--store", type=click.Path(), metavar="STORE", help="Where the collection goes. [default: collections/…]"
    ),
    click.option("--out", type=click.Path(), metavar="DIR", help="Where the run goes. [default: runs/…]"),
    cluster_options,
    click.option("--set", "settings", multiple=True, metavar="STEP.PARAM=VALUE", help="Change a step's parameter."),
    click.option("--only", metavar="A,B", help="Run these steps and what they need."),
    click.option("--force", is_flag=True, help="Forget published results."),
    click.option("--json", "as_json", is_flag=True, help="Print the manifest on stdout; messages go to stderr."),
)

no_report_option = click.option("--no-report", is_flag=True, help="Build no report; the command report does it later.")


def load(workflow: str, options: dict[str, Any]) -> Any:
    """The workflow that a command names, with the options that change it."""
    from fmnist_dask.workflow.load import find_workflow, load_workflow

    return load_workflow(
        find_workflow(workflow),
        source=options["source"],
        source_options=pairs(options["source_options"]),
        settings=options["settings"],
    )


def runner_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's options that go to the runner."""
    taken = {key: options[key] for key in ("cluster", "store", "out", "force", "trust")}
    return {**taken, "only": names(options["only"]), "report": not options["no_report"]}


def names(text: str | None) -> list[str]:
    """``a,b`` as a list."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """``k=v`` each as a dict."""
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise UsageError(f'--source-option "{item}" is not of the form name=value')
        found[key] = value
    return found
