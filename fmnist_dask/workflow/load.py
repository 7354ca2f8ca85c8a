"""Reading and checking workflow files: every error names file, line, what is wrong and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from fmnist_dask.errors import UsageError, WorkflowError, nearest
from fmnist_dask.shipped import shipped_directory
from fmnist_dask.workflow.model import Report, StepSpec, Workflow
from fmnist_dask.workflow.registry import Step, all_steps, find_step

KeyPath = tuple[str | int, ...]
#: What ``on`` may say beside the name of a step. A step may bear such a name; ``on`` then still means the images.
INPUTS = ("pixels", "embedding")


def find_workflow(name: str | Path) -> Path:
    """A workflow file: a path, or the name of a shipped one.

    Raises
    ------
    WorkflowError
        There is none.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(shipped_directory("workflows").glob("*.yaml"))}
    if str(name) in shipped:
        return shipped[str(name)]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise WorkflowError(f"no workflow file {name}", f"shipped workflows: {', '.join(shipped)}")
    raise WorkflowError(f'no workflow "{name}"', nearest(str(name), shipped))


def load_workflow(
    path: Path, *, source: Any = None, source_options: Mapping[str, str] | None = None, settings: Sequence[str] = ()
) -> Workflow:
    """Read a workflow, apply what the command line changes, and check everything.

    Parameters
    ----------
    source
        Takes the place of the file's source.
    source_options
        Added to the source.
    settings
        ``step.parameter=value`` each; values are YAML.

    Raises
    ------
    WorkflowError
        With file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data, lines = parse_yaml(text), _Lines(path, text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise WorkflowError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}", "mend the file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise WorkflowError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise WorkflowError(f"{path}: a workflow is a mapping with name, source, steps", "see: fmnist-dask workflows")
    if source is not None:
        data["source"] = str(source)
    if source_options:
        data["source"] = _with_options(data.get("source", "garments"), source_options)
    _apply_settings(data, settings, lines)
    workflow = _validate(data, lines)
    _check_steps(workflow, lines)
    _check_order(workflow, lines)
    return workflow


class _Loader(yaml.SafeLoader):
    """The safe loader, but words like ``on`` and ``yes`` are strings, as in YAML 1.2: ``on`` is a key here."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|false|False)$"), list("tTfF"))


def parse_yaml(text: str) -> Any:
    """Parse YAML from a user, safely."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader


class _Lines:
    """Line of each key of a YAML file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines: dict[KeyPath, int] = {}
        #: What ``--set`` has put in: key → its words.
        self.settings: dict[KeyPath, str] = {}
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            self._walk(root, ())

    def _walk(self, node: yaml.Node, at: KeyPath) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                place = (*at, key.value)
                self.lines[place] = key.start_mark.line + 1
                self._walk(value, place)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self.lines[(*at, index)] = value.start_mark.line + 1
                self._walk(value, (*at, index))

    def where(self, at: KeyPath) -> str:
        """``file:line`` of a key, or of the nearest one above it; ``--set …`` where that put it in."""
        for length in range(len(at), 0, -1):
            if at[:length] in self.settings:
                return f"--set {self.settings[at[:length]]}"
        while at and at not in self.lines:
            at = at[:-1]
        return f"{self.path}:{self.lines[at]}" if at else str(self.path)

    def error(self, at: KeyPath, message: str, remedy: str | None = None) -> WorkflowError:
        """An error at a key."""
        return WorkflowError(f"{self.where(at)}: {message}", remedy)


def _with_options(source: Any, options: Mapping[str, str]) -> dict[str, Any]:
    base = dict(source) if isinstance(source, Mapping) else {"path": source}
    return {**base, **{key: parse_yaml(value) for key, value in options.items()}}


def _apply_settings(data: dict[str, Any], settings: Sequence[str], lines: _Lines) -> None:
    for setting in settings:
        target, equals, value = setting.partition("=")
        step, dot, parameter = target.partition(".")
        if not (equals and dot and step and parameter):
            raise UsageError(f'--set "{setting}" is not of the form step.parameter=value')
        steps = data.get("steps")
        if not isinstance(steps, dict):
            return  # the check of the file says so, with its line
        if step not in steps:
            raise UsageError(f'--set {setting}: the workflow has no step "{step}"', nearest(step, map(str, steps)))
        try:
            parsed = parse_yaml(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting}: the value is not valid YAML") from error
        if not isinstance(steps[step], dict):
            steps[step] = {}
        if parameter in ("split", "on"):
            steps[step][parameter] = parsed
            lines.settings["steps", step, parameter] = setting
        else:
            lines.settings["steps", step, "with", parameter] = setting
            if not isinstance(steps[step].get("with"), dict):
                steps[step]["with"] = {}
            steps[step]["with"][parameter] = parsed


def _validate(data: dict[str, Any], lines: _Lines) -> Workflow:
    try:
        return Workflow.model_validate(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        at = tuple(first["loc"])
        raise _explain(first, at, lines, _fields_at(at)) from error


def _fields_at(at: KeyPath) -> list[str]:
    if len(at) >= 3 and at[0] == "steps":
        return [field.alias or name for name, field in StepSpec.model_fields.items()]
    if len(at) >= 2 and at[0] == "report":
        return list(Report.model_fields)
    return list(Workflow.model_fields)


def _explain(first: Any, at: KeyPath, lines: _Lines, known: Sequence[str]) -> WorkflowError:
    """One of pydantic's errors in this project's form."""
    key = str(at[-1]) if at else ""
    if first["type"] == "extra_forbidden":
        return lines.error(at, f'unknown key "{key}"', nearest(key, known))
    if first["type"] == "missing":
        return lines.error(at[:-1], f'"{key}" is missing', f'add "{key}"')
    if first["type"] == "string_pattern_mismatch":
        return lines.error(at, f"{key}: {first['input']!r} is no name: letters, digits, - and _, a letter first")
    return lines.error(at, f"{'.'.join(map(str, at))}: {first['msg']} (found {first['input']!r})")


def _check_steps(workflow: Workflow, lines: _Lines) -> None:
    for name, spec in workflow.steps.items():
        at: KeyPath = ("steps", name)
        if not name.replace("_", "a").replace("-", "a").isalnum() or name == "ingest":
            raise lines.error(at, f'"{name}" cannot name a step', "use letters, digits, - and _")
        try:
            step = find_step(spec.uses)
        except UsageError as error:
            raise lines.error((*at, "uses"), error.message, error.remedy) from error
        others = [other for other in workflow.steps if other != name]
        for index, needed in enumerate(spec.needs):
            if needed not in workflow.steps:
                raise lines.error(
                    (*at, "needs", index), f'{name} needs "{needed}", which is no step', nearest(needed, others)
                )
        if spec.on not in (*INPUTS, *workflow.steps):
            raise lines.error(
                (*at, "on"), f'{name} works on "{spec.on}", which is neither', nearest(spec.on, {*INPUTS, *others})
            )
        if spec.mask is not None and "mask" not in step.accepts:
            raise lines.error((*at, "mask"), f"the step {spec.uses} does not work on masked images", "take mask away")
        if spec.on == "embedding" and "on" not in step.accepts:
            raise lines.error(
                (*at, "on"), f'the step {spec.uses} works on pixels only, not on "embedding"', 'take "on" away'
            )
        if spec.on not in INPUTS:
            _check_features(name, workflow, lines)
        try:
            checked = step.parameters.model_validate(spec.parameters)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = (*at, "with", *first["loc"])
            raise _explain(first, place, lines, list(step.parameters.model_fields)) from error
        # Defaults are spelled out: a change of a default must change the fingerprint.
        spec.parameters = checked.model_dump(mode="json")
        _check_libraries(step, spec, (*at, "uses"), lines)


def _check_libraries(step: Step, spec: StepSpec, at: KeyPath, lines: _Lines) -> None:
    """Whether what decides a step's result is installed: said before the run, not in the midst of it."""
    missing = step.missing_libraries(spec.parameters)
    if missing:
        extras = ",".join(step.extras_for(missing))
        how = f'pip install "fmnist-dask[{extras}]"' if extras else f"pip install {' '.join(missing)}"
        packages = f"the package {missing[0]}" if len(missing) == 1 else f"the packages {', '.join(missing)}"
        raise lines.error(at, f"the step {step.name} needs {packages}, not installed here", how)


def _check_features(name: str, workflow: Workflow, lines: _Lines) -> None:
    """Whether the step that ``on`` names has something for others, and this step can work on it."""
    on = workflow.steps[name].on
    try:
        giver = find_step(workflow.steps[on].uses)
    except UsageError:
        return  # said where that step stands
    if not giver.gives:
        able = [other for other, spec in workflow.steps.items() if _gives(spec.uses) and other != name]
        raise lines.error(
            ("steps", name, "on"),
            f'{name} works on "{on}", but the step {giver.name} has neither features nor images for other steps',
            nearest(on, {*INPUTS, *able}),
        )
    step = find_step(workflow.steps[name].uses)
    wanted = "on" if "features" in giver.gives else "images"
    if wanted not in step.accepts:
        what = "pixels only" if wanted == "on" else "all images of a split only"
        raise lines.error(
            ("steps", name, "on"), f'the step {step.name} works on {what}, not on "{on}"', 'take "on" away'
        )


def _gives(uses: str) -> bool:
    known = all_steps().get(uses)
    return known is not None and bool(known.gives)


def _check_order(workflow: Workflow, lines: _Lines) -> None:
    remaining = {name: prerequisites(spec, workflow) for name, spec in workflow.steps.items()}
    while remaining:
        free = [name for name, needed in remaining.items() if not needed & remaining.keys()]
        if not free:
            name = next(iter(remaining))
            cycle = " → ".join([*remaining, name])
            raise lines.error(
                ("steps", name), f"steps wait for each other in a cycle: {cycle}", "take one of their needs away"
            )
        for name in free:
            del remaining[name]


def prerequisites(spec: StepSpec, workflow: Workflow) -> set[str]:
    """Steps that must have ended before a step begins."""
    return {*spec.needs, *({spec.on} & set(workflow.steps) - set(INPUTS))}
