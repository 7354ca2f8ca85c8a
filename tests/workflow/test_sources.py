"""Runs on collections with what could not be read, and with missing pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from source_files import written
from support import random_images

import fmnist_dask
from fmnist_dask.errors import RunError


def workflow(path, source, uses="pixel_stats"):
    path.write_text(yaml.safe_dump({"name": "look", "source": str(source), "steps": {"it": {"uses": uses}}}))
    return path


@pytest.fixture
def damaged(tmp_path):
    """A folder of 60 images, three of which cannot be read; one has a name to be escaped."""
    data = {"train": (random_images(60, (6, 6)), np.arange(60) % 3)}
    root = written("folder", tmp_path / "photos", data)
    files = sorted(root.rglob("*.png"))
    files[3].write_bytes(b"")
    files[20].write_bytes(files[20].read_bytes()[:50])
    files[40].with_name("<b>&.png").write_bytes(b"no picture")
    files[40].unlink()
    return root


@pytest.mark.slow
def test_what_could_not_be_read_is_listed_in_tables_and_report(tmp_path, damaged, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = fmnist_dask.run(workflow(tmp_path / "look.yaml", damaged))
    assert run.manifest["source"]["n"] == 57
    assert run.manifest["source"]["n_quarantined"] == 3
    table = pd.read_parquet(run.path / "tables" / "quarantine.parquet")
    assert table.columns.tolist() == ["source_name", "split", "reason"]
    assert len(table) == 3
    assert (table["reason"] != "").all()
    assert table["source_name"].str.endswith("<b>&.png").sum() == 1
    page = (run.path / "report.html").read_text()
    assert "What could not be read" in page
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>&.png" not in page
    assert "the file is empty" in page


@pytest.mark.slow
def test_a_step_refuses_missing_pixels_and_names_what_fills_them_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = random_images(300, (4, 4)).astype(np.float32)
    values[7, 1, 2] = np.nan
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(RunError, match=r"1 pixels of the collection are missing.*pixel_stats(.|\n)*low_rank"):
        fmnist_dask.run(workflow(tmp_path / "look.yaml", tmp_path / "x.npy"))


@pytest.mark.slow
def test_options_of_a_source_stand_in_the_workflow(tmp_path, monkeypatch, damaged):
    monkeypatch.chdir(tmp_path)
    source = {"path": str(damaged), "size": "12x10", "mode": "rgb", "drop_duplicates": True}
    path = tmp_path / "look.yaml"
    path.write_text(yaml.safe_dump({"name": "look", "source": source, "steps": {"it": {"uses": "pixel_stats"}}}))
    run = fmnist_dask.run(path)
    assert run.manifest["source"]["image_shape"] == [12, 10, 3]
    assert run["it"]["mean"].dims == ("y", "x", "channel")
