"""Which steps run, in which order, and how a step becomes an algorithm."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable
from typing import Any

from fmnist_dask.errors import UsageError, nearest
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.workflow.load import prerequisites
from fmnist_dask.workflow.model import StepSpec, Workflow
from fmnist_dask.workflow.registry import StepInput, find_step


def ordered(workflow: Workflow) -> list[str]:
    """All steps, each after those that it waits for."""
    order: list[str] = []
    while len(order) < len(workflow.steps):
        order += [
            name
            for name, spec in workflow.steps.items()
            if name not in order and prerequisites(spec, workflow) <= set(order)
        ]
    return order


def closure(workflow: Workflow, only: Iterable[str]) -> list[str]:
    """Steps to run: those named and what they need, in the workflow's order; all if none is named."""
    wanted, chosen = list(only) or list(workflow.steps), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in workflow.steps:
            raise UsageError(f'--only: the workflow has no step "{name}"', nearest(name, workflow.steps))
        if name not in chosen:
            chosen.add(name)
            wanted += prerequisites(workflow.steps[name], workflow)
    return [name for name in workflow.steps if name in chosen]


def algorithm_of(spec: StepSpec, data: StepInput) -> Algorithm[Any]:
    """A step of a workflow as a generator that has not begun."""
    return as_algorithm(find_step(spec.uses).function, data, arguments_of(spec))


def arguments_of(spec: StepSpec) -> dict[str, Any]:
    """What a step's function is called with, defaults included."""
    schema = find_step(spec.uses).parameters
    parameters = schema.model_validate(spec.parameters)
    return {field: getattr(parameters, field) for field in schema.model_fields}


def as_algorithm(function: Any, data: StepInput, arguments: dict[str, Any]) -> Algorithm[Any]:
    """A step's call as a generator, whether it is one or a plain function."""

    def plain() -> Generator[Any, Any, Any]:
        outcome = function(data, **arguments)
        if inspect.isgenerator(outcome):
            outcome = yield from outcome
        return outcome

    return plain()
