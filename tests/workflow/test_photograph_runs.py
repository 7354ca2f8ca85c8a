"""Workflows on one photograph: bands against the whole, any number of workers, faults, refusals, words."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import photograph_steps
import pytest
from rich.console import Console
from support import some_slow

import fmnist_dask
from fmnist_dask.collection import tiles
from fmnist_dask.collection.files import read_json
from fmnist_dask.collection.layout import MANIFEST
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.raster_writing import begin_raster, plan_raster, store_raster, write_band
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.errors import RunError, UsageError
from fmnist_dask.kernels.landscape import draw
from fmnist_dask.terminal import Terminal
from fmnist_dask.terminal_plan import print_plan
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.plan import plan_workflow
from fmnist_dask.workflow.registry import all_steps
from fmnist_dask.workflow.runner import Runner

#: Drawing is compiled first.
pytestmark = pytest.mark.slow

assert photograph_steps.channel_sums
all_steps.cache_clear()  # that of photograph_steps is registered by now

SIZE = (1200, 900)
TEXT = """\
name: photograph
source: {name: landscape, size: 1200x900, seed: 3}
steps:
  sums:  {uses: channel_sums, split: train}
  again: {uses: channel_sums, needs: [sums]}
"""


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw(3, SIZE, (0, SIZE[0]), (0, SIZE[1]))


def workflow(root: Path, text: str = TEXT) -> Path:
    path = root / "photograph.yaml"
    path.write_text(text)
    return path


class Listening(Terminal):
    """Prints to a text."""

    def __init__(self) -> None:
        super().__init__()
        self.text = io.StringIO()
        self.console = Console(file=self.text, width=160, highlight=False)


@pytest.fixture(scope="module")
def told() -> Listening:
    return Listening()


@pytest.fixture(scope="module")
def done(cluster, tmp_path_factory, told) -> fmnist_dask.Run:
    root = tmp_path_factory.mktemp("photograph")
    address = cluster.client.scheduler.address
    path = workflow(root)
    with told:
        return fmnist_dask.run(path, cluster=address, out=root / "run", store=root / "x.zarr", observer=told)


def sums_of(pixels: np.ndarray) -> list[int]:
    return pixels.sum(axis=(0, 1), dtype=np.int64).tolist()


def test_sums_are_those_of_the_whole(done, pixels):
    assert done["sums"]["sums"].values.tolist() == sums_of(pixels)
    assert done.metrics["again"] == done.metrics["sums"]
    raster = done.collection
    assert isinstance(raster, Raster)
    np.testing.assert_array_equal(raster.read(), pixels)


def test_columns_have_a_value_for_each_pixel_or_line(done, pixels):
    found = done["sums"]
    assert found["inverted"].dims == ("y", "x", "channel")
    np.testing.assert_array_equal(found["inverted"].values, 255 - pixels)
    assert found["mean"].dims == ("y",)
    assert found["mean"].encoding["chunks"] == (512,)


def test_pictures_are_streamed(done, pixels):
    assert (done.path / "pictures" / "sums-streamed.png").read_bytes() == (255 - pixels).tobytes()
    assert (done.path / "pictures" / "sums-whole.png").read_bytes() == b"bytes"
    assert done.manifest["steps"]["sums"]["pictures"] == ["sums-streamed.png", "sums-whole.png"]


def test_the_manifest_speaks_of_one_photograph(done, pixels):
    source = done.manifest["source"]
    assert {name: source[name] for name in ("name", "n", "kind", "image_shape", "pixel_bytes", "synthetic")} == {
        "name": "landscape",
        "n": 1,
        "kind": "photograph",
        "image_shape": [*SIZE, 3],
        "pixel_bytes": pixels.nbytes,
        "synthetic": True,
    }
    assert source["stored_bytes"] == done.collection.stored_bytes()
    assert source["collection"] == done.collection.path
    step = done.manifest["steps"]["sums"]
    assert (step["n_used"], step["n_total"], step["split"]) == (1, 1, "all")
    assert done.manifest["bytes_read"] == 2 * pixels.nbytes
    assert done.manifest["passes"] == 2


def test_report_and_screen_speak_of_one_photograph(done, told):
    page = done.report.read_text(encoding="utf-8")
    for words in (
        "synthetic photograph",
        "One photograph of 900 × 1200 pixels, colour.",
        "1,080,000",
        "landscape · A synthetic landscape, drawn by fmnist-dask",
        "passes over the photograph",
    ):
        assert words in page.replace("\u202f", " ").replace("\xa0", " "), words
    for words in ("not labelled", "1 image", "over the images"):
        assert words not in page, words
    said = told.text.getvalue()
    assert "source      landscape (synthetic): photograph of 1200 × 900 × 3" in said
    assert f"photograph  {done.collection.path} (synthetic): 1200 × 900 × 3 in 6 tiles" in said
    assert "2 passes over the photograph" in said
    assert "ingest: 1,200 of 1,200 lines" in said
    assert "pass 1 (sums): 1,200 of 1,200 lines" in said
    assert "images" not in said
    assert "the photograph landscape" in done._repr_html_()


def test_another_run_finds_everything_done(done, tmp_path, cluster):
    again = fmnist_dask.run(
        workflow(tmp_path), cluster=cluster.client.scheduler.address, out=done.path, store=done.collection.path
    )
    assert {step["status"] for step in again.manifest["steps"].values()} == {"REUSED"}
    assert again.manifest["source"]["n"] == 1
    assert again.manifest["tasks"] == 0


@pytest.mark.slow
def test_one_worker_finds_the_same(done, start_cluster, tmp_path):
    with start_cluster(1) as one:
        address = one.client.scheduler.address
        other = fmnist_dask.run(workflow(tmp_path), cluster=address, out=tmp_path / "run", store=tmp_path / "x.zarr")
    assert other["sums"].identical(done["sums"])
    assert other.collection.fingerprint == done.collection.fingerprint
    for name in ("image/c/0/0/0", "image/c/2/1/0"):
        assert Path(other.collection.path, name).read_bytes() == Path(done.collection.path, name).read_bytes()


@pytest.mark.parametrize("tile_height", some_slow([64], [256]))
def test_a_stored_photograph_is_the_source(done, tmp_path, cluster, tile_height):
    raster = store_raster(photograph_of("landscape", {"size": "1200x900", "seed": 3}), tmp_path / "x", tile_height)
    run = fmnist_dask.run(
        workflow(tmp_path), source=raster.path, cluster=cluster.client.scheduler.address, out=tmp_path / "run"
    )
    assert run["sums"].equals(done["sums"])
    assert run.manifest["source"]["path"] == raster.path
    assert run.manifest["source"]["fingerprint"] == raster.source["fingerprint"]
    assert run.collection == raster


@pytest.mark.slow
def test_an_ingest_that_was_killed_goes_on(done, tmp_path, cluster):
    plan = plan_raster(photograph_of("landscape", {"size": "1200x900", "seed": 3}), tmp_path / "x.zarr")
    begin_raster(plan)
    write_band(plan, 512, 1024)
    tile = tiles.tile_file(plan.path, (1, 0), 3)
    written = tile.stat().st_mtime_ns
    run = fmnist_dask.run(
        workflow(tmp_path), cluster=cluster.client.scheduler.address, out=tmp_path / "run", store=plan.path
    )
    assert run["sums"].equals(done["sums"])
    assert run.collection.fingerprint == done.collection.fingerprint
    assert tile.stat().st_mtime_ns == written
    assert not Path(plan.path, "ingest-parts").exists()


@pytest.mark.slow
def test_a_run_that_failed_goes_on(done, tmp_path, cluster):
    stone = tmp_path / "stone"
    stone.touch()
    text = TEXT.replace("uses: channel_sums, needs", f"uses: channel_sums, with: {{stone: {stone}, line: 700}}, needs")
    given = {"cluster": cluster.client.scheduler.address, "out": tmp_path / "run", "store": tmp_path / "x.zarr"}
    with pytest.raises(RunError, match="again failed: stumbled"):
        fmnist_dask.run(workflow(tmp_path, text), **given)
    stone.unlink()
    run = fmnist_dask.run(workflow(tmp_path, text), **given)
    assert {name: step["status"] for name, step in run.manifest["steps"].items()} == {
        "sums": "REUSED",
        "again": "SUCCEEDED",
    }
    assert run.metrics["again"] == done.metrics["again"]


def test_a_damaged_tile_ends_a_run_with_its_name(tmp_path, cluster):
    raster = store_raster(photograph_of("china"), tmp_path / "x.zarr")
    tiles.tile_file(raster.path, (0, 1), 3).unlink()
    with pytest.raises(RunError, match=r"the tile .*c/0/1/0 is missing"):
        fmnist_dask.run(
            workflow(tmp_path), source=raster.path, cluster=cluster.client.scheduler.address, out=tmp_path / "run"
        )


def test_tables_of_images_do_not_apply(tmp_path, cluster):
    with pytest.raises(Exception, match="with a row for each image; its source is one photograph"):
        fmnist_dask.run(
            workflow(tmp_path),
            source="china",
            cluster=cluster.client.scheduler.address,
            out=tmp_path / "run",
            store=tmp_path / "x.zarr",
            settings=["sums.table=true"],
            only=["sums"],
        )


REFUSED = [
    ("pca: {uses: pca}", r"the step pca works on collections of images, and the source china is one photograph"),
    (
        "codes: {uses: kmeans}",
        r"the step codes \(kmeans\) works on(.|\n)*give a directory of images(.|\n)*channel_sums",
    ),
    ("sums: {uses: channel_sums, split: test}", 'no split "test"'),
    ("all: {uses: takes_all, mask: {fraction: 0.5}}", r"hides pixels of images \(mask\), and the source china"),
    ("means: {uses: line_means}\n  all: {uses: takes_all, on: means}", r'works on "means", but of a photograph'),
]


@pytest.mark.parametrize(("step", "message"), REFUSED)
def test_other_steps_are_refused_before_any_work(tmp_path, step, message):
    text = f"name: refused\nsource: china\nsteps:\n  {step}\n  good: {{uses: channel_sums}}\n"
    loaded = load_workflow(workflow(tmp_path, text))
    with pytest.raises(UsageError, match=message):
        Runner(loaded, out=tmp_path / "run", store=tmp_path / "x.zarr")
    with pytest.raises(UsageError, match=message):
        plan_workflow(loaded, store=tmp_path / "x.zarr")
    assert [file.name for file in tmp_path.iterdir()] == ["photograph.yaml"]
    if "no split" not in message:
        assert Runner(loaded, out=tmp_path / "run", store=tmp_path / "x.zarr", only=["good"]).chosen == ["good"]


def test_vectors_are_refused(tmp_path):
    text = "name: refused\nsource: china\nsteps:\n  codes: {uses: kmeans, on: embedding}\n"
    with pytest.raises(UsageError, match="the source china"):
        Runner(load_workflow(workflow(tmp_path, text)))


@pytest.mark.slow
def test_a_plan_foresees_bands(tmp_path, capsys):
    plan = plan_workflow(load_workflow(workflow(tmp_path)), store=tmp_path / "x.zarr")
    assert plan["source"] == {
        "name": "landscape",
        "kind": "photograph",
        "n": 1,
        "image_shape": [*SIZE, 3],
        "pixel_bytes": 1200 * 900 * 3,
        "collection": str(tmp_path / "x.zarr"),
        "ingested": False,
    }
    ingest, *passes = plan["work"]
    assert (ingest["tasks"], ingest["chunks"]) == (3, 3)
    assert [(row["name"], row["bytes_read"]) for row in passes] == [(f"pass {i}", 1200 * 900 * 3) for i in (1, 2)]
    print_plan(plan)
    said = capsys.readouterr().out
    assert "landscape: one photograph of 1200 × 900 × 3, 3.2 MB of pixels" in said
    raster = store_raster(photograph_of("landscape", {"size": "1200x900", "seed": 3}), tmp_path / "x.zarr")
    again = plan_workflow(load_workflow(workflow(tmp_path)), store=raster.path)
    assert again["source"]["ingested"]
    assert [row["name"] for row in again["work"]] == ["pass 1", "pass 2"]


@pytest.mark.slow
@pytest.mark.long
def test_the_command_line_submits_and_runs_one(tmp_path):
    site = tmp_path / "site"
    package = site / "photograph_steps-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: photograph-steps\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[fmnist_dask.steps]\nphotograph = photograph_steps\n")
    import os

    tests = Path(photograph_steps.__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(tests), *sys.path])}
    path = workflow(tmp_path)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = [sys.executable, "-c", "from fmnist_dask.cli import main; main()"]
        return subprocess.run(
            [*code, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )

    ran = command("run", str(path), "--source", "china", "--source-option", "size=200x300",
                  "--source-option", "fit=stretch", "--json")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads(ran.stdout)
    assert manifest["source"]["image_shape"] == [200, 300, 3]
    assert read_json(Path(manifest["source"]["collection"]) / MANIFEST)["kind"] == "raster"
    submitted = command("submit", str(path), "--out", str(tmp_path / "sent"))
    assert submitted.returncode == 0, submitted.stderr
    watched = command("watch", str(tmp_path / "sent"))
    assert watched.returncode == 0, watched.stderr
    assert "the photograph landscape (synthetic)" in watched.stdout
    resumed = command("resume", str(tmp_path / "sent"))
    assert resumed.returncode == 0, resumed.stderr
