"""What the README shows works as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from fmnist_dask.cli import main
from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.registry import all_steps

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    outcome = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    if "fmnist_dask.run" in code:
        assert "n_unique" in outcome.stdout
        assert "<xarray.Dataset>" in outcome.stdout


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_blocks_are_valid(text: str, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(text, encoding="utf-8")
    if "kind: Job" in text:
        (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
        check_command(container["args"])
    elif "steps:" in text:
        assert load_workflow(path).steps
    else:
        assert load_cluster(path).scale == yaml.safe_load(text)["scale"]


def check_command(words: list[str]) -> None:
    """Whether our command line understands these words."""
    assert words[0] == "fmnist-dask"
    command: click.Command = main
    context: click.Context | None = None
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, words
        command, rest = found, rest[1:]
    context = command.make_context(command.name, list(rest))
    assert context.params


@pytest.mark.parametrize(
    "line", [line for text in blocks("sh") for line in text.splitlines() if re.search(r"fmnist-dask \w", line)]
)
def test_commands_are_understood(line: str) -> None:
    words = shlex.split(line, comments=True)
    check_command(words[words.index("fmnist-dask") :])


def test_commands_of_tables_are_there() -> None:
    for words in re.findall(
        r"^\| `fmnist-dask ([a-z]+)(?: ([a-z]+) )?", README.read_text(encoding="utf-8"), re.MULTILINE
    ):
        command: click.Command = main
        for word in filter(None, words):
            assert isinstance(command, click.Group)
            command = command.commands[word]


def test_every_step_and_source_is_named() -> None:
    text = README.read_text(encoding="utf-8")
    for name in [*(name for name in all_steps() if _shipped(name)), "garments", "digits", "fashion-mnist", "mnist"]:
        assert f"`{name}`" in text


def _shipped(name: str) -> bool:
    return all_steps()[name].function.__module__.startswith("fmnist_dask.")


def test_the_picture_is_there_and_small() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / path).stat().st_size < 300_000
