"""The book of benchmarks at its smallest size: chapters run, both sides agree, and what is written can be read."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Modules that have a chapter.
CHAPTERS = sorted(
    path.stem
    for path in (ROOT / "tests" / "benchmarks").glob("*.py")
    if "\ndef chapter(" in path.read_text(encoding="utf-8")
)
#: Chapters that compare results, not only seconds.
AGREEING = ("append", "codecs", "grids", "ingest", "nearest", "neighbours", "pca", "scaling", "silhouette")


def book(*arguments: str, code: str | None = None, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """The command of the book; with ``code``, what that does before it."""
    environment = {name: value for name, value in os.environ.items() if name != "FMNIST_DASK_DATA"}
    start = ["-m", "tests.benchmarks"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def written(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "book.json").read_text(encoding="utf-8"))
    return found


def test_an_unknown_chapter_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    done = book("kmean", "--size", "tiny", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "there is no chapter 'kmean'" in done.stderr
    assert 'did you mean "kmeans"?' in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_module_with_a_chapter_is_in_the_book() -> None:
    done = book("--list")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(CHAPTERS)


BROKEN = """
import sys, types
from tests.benchmarks import __main__, book, settings
broken = types.ModuleType("tests.benchmarks.broken", "Breaks after a row.")
broken.BY_SIZE = {"usual": settings.Options()}
def chapter(given, options):
    from tests.benchmarks.rows import beside_base
    yield beside_base("first", 2.0, "second", 4.0, 1)
    raise ValueError("it broke")
broken.chapter = chapter
sys.modules["tests.benchmarks.broken"] = broken
__main__.CHAPTERS = ("broken", *book.CHAPTERS)
sys.exit(__main__.main())
"""


#: Chapters as processes of their own, as other sizes have them; one of them finds a file where its directory should be.
APART = """
import sys
from dataclasses import replace
from tests.benchmarks import __main__, book
def apart(chapter, settings, repeats):
    if chapter.name == "grids":
        file = settings.directory / "file"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        settings = replace(settings, directory=file)
    book._apart(chapter, settings, repeats)
book._here = apart
sys.exit(__main__.main())
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_chapter_that_fails_is_told_at_the_end_and_the_others_go_on(tmp_path: Path) -> None:
    places = ("--directory", str(tmp_path / "stores"), "--out", str(tmp_path / "out"))
    done = book("broken", "nearest", "--size", "tiny", *places, code=BROKEN)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "failed: broken: ValueError: it broke"
    found = written(tmp_path / "out")
    assert [chapter["name"] for chapter in found["chapters"]] == ["broken", "nearest"]
    assert [bool(chapter["error"]) for chapter in found["chapters"]] == [True, False]
    assert [row["ratio"] for row in found["rows"] if row["chapter"] == "broken"] == [0.5]
    assert any(row["chapter"] == "nearest" for row in found["rows"])
    table = (tmp_path / "out" / "book.md").read_text(encoding="utf-8")
    assert "it broke" in table
    assert table.count("\n| ") == 1 + len(found["chapters"]) + len(found["rows"])
    assert "it broke" in (tmp_path / "out" / "book.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_chapters_that_are_processes_hand_their_rows_and_failures_back(tmp_path: Path) -> None:
    places = ("--directory", str(tmp_path / "stores"), "--out", str(tmp_path / "out"))
    done = book("grids", "nearest", "--size", "tiny", "--repeat", "2", *places, code=APART)
    assert done.returncode == 1, done.stderr
    found = written(tmp_path / "out")
    grids, nearest = found["chapters"]
    assert "returned non-zero exit status" in grids["error"]
    assert nearest["error"] == ""
    assert {row["chapter"] for row in found["rows"]} == {"nearest"}
    assert all(row["agrees"] and len(row["runs"]["ours"]) == 2 for row in found["rows"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_at_its_smallest_size(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = book(name, "--size", "tiny", "--markdown", "--directory", str(tmp_path / "stores"), "--out", str(out))
    assert done.returncode == 0, done.stderr[-4000:]
    found = written(out)
    (chapter,) = found["chapters"]
    assert chapter["name"] == name
    rows = found["rows"]
    assert rows or chapter["missing"]
    assert [f"{row['what']}: {fault}" for row in rows for fault in faults(row)] == []
    assert any(row["agrees"] for row in rows) or name not in AGREEING
    assert {"cpu", "cores", "memory_bytes", "os", "python", "blas"} <= set(found["machine"])
    assert found["versions"]["scikit-learn"][0].isdigit()
    table = (out / "book.md").read_text(encoding="utf-8")
    assert table.count("\n| ") == len(rows) + (2 if rows else 1)  # heads of the table and of the chapter
    assert table in done.stdout
    page = (out / "book.html").read_text(encoding="utf-8")
    assert "<html" in page
    assert "<script src" not in page
    assert page.count("<tr") >= len(rows)


def faults(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row."""
    found = [f"{side} is {row[side]['value']}" for side in ("ours", "other") if not math.isfinite(row[side]["value"])]
    if not math.isfinite(row["ratio"]) or row["ratio"] <= 0:
        found.append(f"ratio {row['ratio']}")
    if row["agrees"] is False:
        found.append(f"both sides differ: {row['remark']}")
    if row["peer"] and not row["other"]["version"]:
        found.append(f"no version of {row['other']['name']}")
    return found
