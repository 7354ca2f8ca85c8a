"""Workflow files: what is valid, and errors that name file, line and remedy."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fmnist_dask.errors import UsageError, WorkflowError
from fmnist_dask.shipped import shipped_directory
from fmnist_dask.workflow.load import find_workflow, load_workflow, prerequisites
from fmnist_dask.workflow.registry import _REGISTERED, StepInput, StepResult, all_steps, find_step, step

VALID = """\
name: mine
source: {path: garments, n: 100}
steps:
  copies: {uses: duplicates}
  pixels:
    uses: pixel_stats
    split: train
    needs: [copies]
    with: {quantiles: [0.1, 0.9]}
"""


def load(tmp_path: Path, text: str, **changes: object) -> object:
    path = tmp_path / "w.yaml"
    path.write_text(text, encoding="utf-8")
    return load_workflow(path, **changes)  # type: ignore[arg-type]


def test_a_valid_workflow_is_resolved_with_its_defaults(tmp_path: Path) -> None:
    workflow = load(tmp_path, VALID)
    assert workflow.resolved()["steps"]["pixels"]["with"] == {"by": "label", "quantiles": [0.1, 0.9]}
    assert workflow.steps["copies"].parameters == {"examples": 24}
    assert workflow.seed == 0


def test_on_pixels_means_the_images_even_beside_a_step_of_that_name(tmp_path: Path) -> None:
    workflow = load(tmp_path, VALID)
    assert prerequisites(workflow.steps["copies"], workflow) == set()
    assert prerequisites(workflow.steps["pixels"], workflow) == {"copies"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("name: x\nsorce: y\nsteps: {a: {uses: duplicates}}", ["w.yaml:2", '"sorce"', 'did you mean "source"']),
        ("name: x\nsteps:\n  a: {uses: duplicats}", ["w.yaml:3", '"duplicats"', 'did you mean "duplicates"']),
        ("name: x\nsteps:\n  a: {uze: duplicates, uses: duplicates}", ["w.yaml:3", '"uze"', 'did you mean "uses"']),
        ("name: x\nsteps:\n  a: {split: train}", ["w.yaml:3", '"uses" is missing']),
        ("steps: {a: {uses: duplicates}}", ['"name" is missing']),
        ("name: x\nsteps: {}", ["w.yaml:2", "at least 1"]),
        ("name: 5x\nsteps: {a: {uses: duplicates}}", ["w.yaml:1", "'5x'", "letter first"]),
        (
            "name: x\nsteps:\n  a: {uses: duplicates, needs: [b]}\n  b:\n    uses: duplicates\n    needs: [a]",
            ["w.yaml:3", "cycle", "a → b → a"],
        ),
        ("name: x\nsteps:\n  a: {uses: duplicates, needs: [c]}", ["w.yaml:3", '"c"', "no step"]),
        ("name: x\nsteps:\n  a: {uses: duplicates, on: pixls}", ["w.yaml:3", '"pixls"', 'did you mean "pixels"']),
        (
            "name: x\nsteps:\n  a:\n    uses: pixel_stats\n    with:\n      quantiles: [0.5, 2]",
            ["w.yaml:6", "less than or equal to 1", "2"],
        ),
        ("name: x\nsteps:\n  a:\n    uses: pixel_stats\n    with: {bi: label}", ["w.yaml:5", '"bi"', 'mean "by"']),
        ("name: x\nseed: -1\nsteps: {a: {uses: duplicates}}", ["w.yaml:2", "seed", "-1"]),
        ("name: x\nsteps: {ingest: {uses: duplicates}}", ["w.yaml:2", '"ingest"']),
        ("name: x\nsteps:\n  a: {uses: pixel_stats, mask: {fraction: 0.5}}", ["w.yaml:3", "pixel_stats", "masked"]),
        (
            "name: x\nsteps:\n  a: {uses: duplicates}\n  b: {uses: pixel_stats, on: a}",
            ["w.yaml:4", "neither features nor images", '"a"'],
        ),
        ("name: x\nsteps: [\n", ["w.yaml:", "not valid YAML"]),
        ("- a\n- b", ["w.yaml", "mapping"]),
        ("name: x\nreport: {titel: y}\nsteps: {a: {uses: duplicates}}", ["w.yaml:2", '"titel"', 'mean "title"']),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(tmp_path, text)
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


def test_python_tags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="not valid YAML"):
        load(tmp_path, "name: !!python/object/apply:os.getcwd []\nsteps: {a: {uses: duplicates}}")


def test_settings_change_parameters_split_and_source(tmp_path: Path) -> None:
    workflow = load(
        tmp_path,
        VALID,
        source="digits",
        settings=["pixels.quantiles=[0.5]", "copies.examples=3", "pixels.split=all"],
        source_options={"n": "5"},
    )
    assert workflow.steps["pixels"].parameters["quantiles"] == [0.5]
    assert workflow.steps["pixels"].split == "all"
    assert workflow.steps["copies"].parameters["examples"] == 3
    assert workflow.source == {"path": "digits", "n": 5}


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("pixels.by=5", ["--set pixels.by=5", "found 5"]),
        ("pixels.bye=label", ["--set pixels.bye", 'did you mean "by"']),
        ("pixel.by=label", ['no step "pixel"', 'did you mean "pixels"']),
        ("pixels", ["step.parameter=value"]),
        ("copies.examples=many", ["--set copies.examples=many", "integer", "many"]),
        ("copies.examples=[", ["not valid YAML"]),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, setting: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, VALID, settings=[setting])
    for part in parts:
        assert part in str(caught.value)


def test_shipped_workflows_are_found_by_name_and_valid() -> None:
    names = [path.stem for path in shipped_directory("workflows").glob("*.yaml")]
    assert "explore" in names
    for name in names:
        assert load_workflow(find_workflow(name)).name == name


def test_an_unknown_workflow_suggests_the_nearest() -> None:
    with pytest.raises(WorkflowError, match='did you mean "explore"'):
        find_workflow("explor")
    with pytest.raises(WorkflowError, match="no workflow file"):
        find_workflow("nowhere/explore.yaml")


@pytest.mark.parametrize(
    ("libraries", "extra", "message", "remedy"),
    [
        (("numpy", "umap-unlearnt"), "map", "the package umap-unlearnt", 'pip install "fmnist-dask[map]"'),
        (("no-a", "no-b"), None, "the packages no-a, no-b", "pip install no-a no-b"),
    ],
)
def test_a_library_that_is_missing_is_said_before_the_run(
    tmp_path: Path, libraries: tuple[str, ...], extra: str | None, message: str, remedy: str
) -> None:
    all_steps()

    @step("lacks", libraries=libraries, extra=extra)
    def lacks(data: StepInput) -> StepResult:
        """Never runs."""
        raise AssertionError

    all_steps.cache_clear()
    try:
        with pytest.raises(WorkflowError) as caught:
            load(tmp_path, "name: w\nsteps:\n  good: {uses: duplicates}\n  map: {uses: lacks}\n")
    finally:
        _REGISTERED.pop("lacks")
        all_steps.cache_clear()
    assert caught.value.message.endswith(f"w.yaml:4: the step lacks needs {message}, not installed here")
    assert caught.value.remedy == remedy


def test_umap_names_the_extra_that_brings_it() -> None:
    umap = find_step("umap")
    assert "umap-learn" in umap.libraries_of({})
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not any(line.startswith("umap-learn") for line in project["dependencies"])
    assert any(line.startswith("umap-learn") for line in project["optional-dependencies"][umap.extra])
