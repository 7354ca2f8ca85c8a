"""Results of real steps on small arrays, and run directories that hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_dask.collection import parts, planning, writer
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.workflow.page import build_report
from fmnist_dask.workflow.publish import publish
from fmnist_dask.workflow.registry import ReportContext, StepInput, StepResult, find_step
from fmnist_dask.workflow.rundir import RunDirectory, now

EVIL = "<script>alert(1)</script>"
STEPS = ("duplicates", "pixel_stats", "image_properties")


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random pictures, all different: half black, as cut-out photographs are."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (count, *shape), dtype=np.uint8)
    pixels[:, : shape[0] // 2] = 0
    return pixels


def collection(kind: str) -> ArrayCollection:
    """A small collection of each kind that a report must be able to show."""
    if kind == "labelled":
        pixels = images(200, (28, 28))
        label = np.arange(200) % 3
        split = (np.arange(200) >= 150).astype(np.int8)
        pixels[160] = pixels[0]  # a leak
        label[160] = label[0]
        pixels[10] = pixels[4]  # a conflict: labels 1 and 1 below become 1 and 2
        label[10] = (label[4] + 1) % 3
        pixels[20] = pixels[17]  # a copy
        pixels[30] = 0  # a blank image
        pixels[31] = 1
        pixels[31, 0, :4] = 3  # very dark, low contrast
        return ArrayCollection(
            pixels, label, split, ("shoe", EVIL, "a name that is much too long for an axis"), ("train", "test")
        )
    if kind == "unlabelled":
        return ArrayCollection(images(60, (8, 8)))
    if kind == "colour":
        return ArrayCollection(
            images(90, (64, 64, 3)), np.arange(90) % 2, np.arange(90) % 3, ("one", "two"), ("a", "b", "c")
        )
    if kind == "two channels":
        return ArrayCollection(images(40, (9, 12, 2)), np.arange(40) % 2, None, ("one", "two"))
    if kind == "large":
        return ArrayCollection(images(20, (150, 100)))
    if kind == "many classes":
        names = tuple(f"class {number}" for number in range(150))
        return ArrayCollection(
            images(300, (8, 8)), np.arange(300) // 2 % 149, np.arange(300) % 2, names, ("train", "test")
        )
    if kind == "all the same":
        return ArrayCollection(
            np.full((50, 8, 8), 7, np.uint8), np.arange(50) % 2, np.arange(50) % 2, ("one", "two"), ("train", "test")
        )
    if kind == "partly labelled":
        return ArrayCollection(images(50, (8, 8)), np.where(np.arange(50) < 20, -1, 0), None, ("only",))
    if kind == "one image":
        return ArrayCollection(images(1, (28, 28)))
    if kind == "several sizes":
        size = np.where(np.arange(60) < 40, 28, np.arange(60)).astype(np.int32)
        return ArrayCollection(images(60, (28, 28)), extra={"height": size, "width": size})
    raise KeyError(kind)


@pytest.fixture(scope="session")
def step_result() -> Callable[..., tuple[StepResult, ReportContext]]:
    """Run a step on a collection, or a kind of one; the result and what its figure builder is told."""
    cache: dict[Any, tuple[StepResult, ReportContext]] = {}

    def run(kind: Any, uses: str, split: str = "all") -> tuple[StepResult, ReportContext]:
        if isinstance(kind, ArrayCollection) or (kind, uses, split) not in cache:
            source = kind if isinstance(kind, ArrayCollection) else collection(kind)
            code = None if split == "all" else list(source.splits).index(split)
            result = drive(find_step(uses).function(StepInput(source, split, code, 0)), source, LocalEngine())
            total = result.n_total or source.n
            used = total if result.n_used is None else result.n_used
            context = ReportContext(uses, uses, split, result.metrics, used, total, source.class_names)
            if isinstance(kind, ArrayCollection):
                return result, context
            cache[kind, uses, split] = result, context
        return cache[kind, uses, split]

    return run


@pytest.fixture(scope="session")
def garments_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run over 2,100 garments on disk, published as the runner does it."""
    base: Path = tmp_path_factory.mktemp("runs")
    source = open_source("garments", {"n": 2100})
    plan = planning.plan_ingest(source, base / "garments.zarr")
    for part in writer.begin(plan):
        parts.write_part(plan, part)
    store = writer.commit(plan)
    run = RunDirectory(base / "explore-garments-00000000")
    run.create()
    entries = {}
    for uses, split in zip(STEPS, ("all", "train", "all"), strict=True):
        given = StepInput(store, split, store.split_code(split), 0)
        result = drive(find_step(uses).function(given), store, LocalEngine())
        publish(run, uses, result, store)
        entries[uses] = {
            "uses": uses, "split": split, "status": "SUCCEEDED", "seconds": 0.1, "passes": 1, "metrics": result.metrics,
            "exact": result.exact, "n_used": result.n_used, "n_total": result.n_total,
        }  # fmt: skip
    run.manifest.update(
        run=run.path.name,
        status="SUCCEEDED",
        workflow="explore",
        source={
            **source.provenance(), "n": store.n, "splits": store.splits, "class_names": list(store.class_names),
            "image_shape": list(store.image_shape),
        },
        seed=0,
        versions={"numpy": np.__version__},
        cluster={"class": "LocalCluster", "workers": 2, "threads": 2, "memory_limit": 2**30},
        started=now(),
        ended=now(),
        seconds=2.0,
        passes=1,
        bytes_read=1646400,
        peak_worker_bytes=200 * 10**6,
        planned_worker_bytes=210 * 10**6,
        peak_driver_bytes=300 * 10**6,
        error=None,
        steps=entries,
    )  # fmt: skip
    run.save()
    return run


@pytest.fixture(scope="session")
def garments_page(garments_run: RunDirectory) -> str:
    """The report of that run."""
    return build_report(garments_run)
