"""The section on performance: its tables and figure from manifests of any age and any length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bokeh.models import HoverTool

from fmnist_dask.report.blocks import Facts, Figure, Table
from fmnist_dask.report.figures.shares import NAME_LENGTH, Part, share_bars
from fmnist_dask.report.page import Page, render
from fmnist_dask.workflow.costs import MOST_BARS, MOST_PROCESSES, MOST_ROWS, performance

EVIL = "<script>alert(1)</script>"


def entry(step: str, seconds: float, kind: str = "pass", title: str = "Sum", **more: Any) -> dict[str, Any]:
    spent = {"decode": seconds, "kernel": 0.5 * seconds, "calls": 0.0, "idle": 0.5 * seconds}
    return {
        "kind": kind, "steps": [step], "title": title, "times": 1, "seconds": seconds, "bytes_read": int(seconds * 5e6),
        "planned_worker_bytes": 200_000_000, "peak_worker_bytes": 150_000_000, "worker_seconds": spent,
        "kernels": {title: 0.5 * seconds}, "scheduler_seconds": 0.1, **more,
    }  # fmt: skip


def blocks(manifest: dict[str, Any], kind: type) -> list[Any]:
    section = performance(manifest)
    assert section is not None
    return [block for block in section.blocks if isinstance(block, kind)]


def tables(manifest: dict[str, Any]) -> dict[str, Table]:
    return {table.columns[0]: table for table in blocks(manifest, Table)}


def test_a_row_says_what_a_pass_read_and_held() -> None:
    table = tables({"work": [entry("clusters", 2.0, times=18)]})["steps"]
    (row,) = table.rows
    assert dict(zip(table.columns, row, strict=True)) == {
        "steps": "clusters", "work": "Sum", "times": "18", "time": "2.00 s", "read": "10.0 MB", "MB/s": "5",
        "planned": "200.0 MB", "measured": "150.0 MB", "of plan": "75 %",
    }  # fmt: skip


def test_bars_share_the_time_of_each_pass() -> None:
    (figure,) = blocks({"work": [entry("a", 2.0), entry("b", 4.0, "calls", "sort")]}, Figure)
    bars, labels = (renderer.data_source.data for renderer in figure.model.renderers)
    assert labels["text"] == ["a: a pass, Sum, 2.00 s", "b: sort, 4.00 s"]
    assert bars["share"].tolist() == pytest.approx([0.5, 0.25, 0.25] * 2)
    assert bars["right"].max() == pytest.approx(1)
    assert bars["amount"][:3] == ["2.00 s", "1.00 s", "1.00 s"]
    assert [(swatch.name, swatch.note) for swatch in figure.legend] == [
        ("reading and decoding", "6.00 s"),
        ("reductions", "3.00 s"),
        ("no task", "3.00 s"),
    ]
    assert figure.model.select_one(HoverTool).tooltips[-1] == ("share", "@share{0.0 %}")
    assert figure.model.xaxis[0].axis_label == "share of the workers' time"


def test_long_lists_are_cut_and_the_rest_is_summed_up() -> None:
    work = [entry(f"step {number}", 1.0 + number) for number in range(MOST_ROWS + 5)]
    processes = [
        {"role": "worker", "address": f"tcp://w:{number}", "pid": number, "peak_bytes": number * 10**6}
        for number in range(MOST_PROCESSES + 4)
    ]
    manifest = {"work": work, "processes": processes}
    rows = tables(manifest)["steps"].rows
    assert len(rows) == MOST_ROWS
    # Six passes of 1 to 6 seconds are left over; the others stand in the order of the run.
    assert rows[-1][:4] == ("6 others", "each shorter", "", "21.0 s")
    assert rows[0][0] == "step 6"
    (figure,) = blocks(manifest, Figure)
    assert len(figure.model.renderers[1].data_source.data["text"]) == MOST_BARS
    shown = tables(manifest)["process"].rows
    assert shown[MOST_PROCESSES][:4] == ("4 other workers", "each less", "", "3.0 MB")
    assert shown[0][1] == f"tcp://w:{MOST_PROCESSES + 3}"


def test_processes_are_named_and_compared_with_the_plan() -> None:
    processes = [
        {"role": "driver", "host": "here", "pid": 1, "peak_bytes": 4e8},
        {"role": "scheduler", "address": "tcp://s:1", "pid": 1, "peak_bytes": 4e8, "in_driver": True},
        {"role": "worker", "address": "tcp://w:1", "pid": 2, "peak_bytes": 1e8, "planned_bytes": 2e8, "lost": True},
    ]
    rows = tables({"processes": processes})["process"].rows
    assert [row[0] for row in rows] == ["worker, lost", "scheduler, in the driver's process", "driver"]
    assert rows[0][1:] == ("tcp://w:1", "2", "100.0 MB", "200.0 MB", "50 %")
    assert rows[2][1:] == ("here", "1", "400.0 MB", "–", "–")


def test_manifests_of_older_versions_have_what_they_know() -> None:
    assert performance({}) is None
    (facts,) = blocks({"seconds": 2.0, "bytes_read": 8_000_000, "passes": 1}, Facts)
    assert ("throughput", "4.0 MB/s over the whole run") in facts.pairs
    assert not tables({"seconds": 2.0, "work": None, "processes": "?"})
    partly = {"work": [{"steps": ["a"], "seconds": 1.0}, {"title": "b"}], "processes": [{"role": "worker"}]}
    assert len(tables(partly)["steps"].rows) == 2
    assert not blocks(partly, Figure)


def test_names_are_text_and_the_page_holds_all() -> None:
    section = performance({"work": [entry(EVIL, 1.0, title=EVIL), entry("x" * 90, 1.0)], "seconds": 3.0})
    assert section is not None
    html = render(Page("title", sections=(section,)))
    assert EVIL not in html
    assert "Performance" in html


def test_names_above_bars_are_cut_to_a_line() -> None:
    plot = share_bars(
        ["n" * 90], ["1 s"], np.array([[1.0, 0.0]]), [["1 s", "0 s"]], [Part("a", "red"), Part("b", "blue")], "x"
    )
    (text,) = plot.renderers[1].data_source.data["text"]
    assert len(text) <= NAME_LENGTH + len(", 1 s")
    assert plot.renderers[0].data_source.data["part"] == ["a"]  # nothing is drawn of nothing


def test_garments_page_has_the_section_before_provenance(garments_page: str) -> None:
    assert garments_page.index('id="performance"') < garments_page.index('id="provenance"')
