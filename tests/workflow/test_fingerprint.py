"""Whose versions a step's result depends on."""

from __future__ import annotations

import importlib.metadata

import pytest

from fmnist_dask.workflow import fingerprint
from fmnist_dask.workflow.load import find_workflow, load_workflow
from fmnist_dask.workflow.registry import find_step


@pytest.mark.parametrize("step", ["clusters", "pca"])
@pytest.mark.parametrize(
    ("engine", "library", "matters"),
    [
        ("fmnist-dask", "numba", True),
        ("fmnist-dask", "numpy", True),
        ("fmnist-dask", "dask-ml", False),
        ("dask-ml", "dask-ml", True),
        ("dask-ml", "scikit-learn", True),
        ("dask-ml", "bokeh", False),
    ],
)
def test_libraries_of_the_engine_count(
    step: str, engine: str, library: str, matters: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = load_workflow(find_workflow("explore"), settings=[f"{step}.engine={engine}"])
    spec = workflow.steps[step]

    def now() -> str:
        return fingerprint.step_fingerprint(find_step(spec.uses), spec, "collection", 0, {})

    before, real = now(), importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "999" if name == library else real(name))
    assert (now() != before) is matters
