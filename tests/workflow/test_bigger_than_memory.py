"""Garments in workers of one gibibyte: memory as planned, whatever their number, and exact results at that size.

``FMNIST_DASK_LARGE=10000000`` runs it with ten million, 7.84 GB of pixels; by default there are a million.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fmnist_dask
from fmnist_dask.kernels import garments

N = int(os.environ.get("FMNIST_DASK_LARGE", "1000000"))
LIMIT = 2**30

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(14_400)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    found: Path = tmp_path_factory.mktemp("large")
    file = "kwargs: {threads_per_worker: 1, memory_limit: 1GiB, dashboard_address: '127.0.0.1:0'}\nscale: 2\n"
    (found / "two.yaml").write_text(file)
    return found


def command(place: Path, *words: str) -> dict[str, Any]:
    options = ("--source-option", f"n={N}", "--cluster", "two.yaml", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_dask.cli", *words, "explore", *options],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def plan(place: Path) -> dict[str, Any]:
    return command(place, "plan")


@pytest.fixture(scope="module")
def run(place: Path, plan: dict[str, Any]) -> fmnist_dask.Run:
    manifest = command(place, "run")
    print({name: manifest[name] for name in ("seconds", "peak_worker_bytes", "peak_driver_bytes")}, plan["seconds"])
    return fmnist_dask.open_run(place / "runs" / manifest["run"])


def test_it_succeeds_within_the_memory_that_was_planned(run: fmnist_dask.Run, plan: dict[str, Any]) -> None:
    manifest = run.manifest
    assert manifest["status"] == "SUCCEEDED"
    assert (manifest["spilled_bytes"], manifest["worker_restarts"]) == (0, 0)
    assert manifest["peak_worker_bytes"] <= LIMIT
    assert 0.75 <= manifest["peak_worker_bytes"] / plan["peak_worker_bytes"] <= 1.25
    assert manifest["peak_driver_bytes"] <= LIMIT


def test_it_takes_the_passes_and_the_time_that_were_planned(run: fmnist_dask.Run, plan: dict[str, Any]) -> None:
    assert max(row["tasks"] for row in plan["work"]) < 10_000
    assert 0.5 <= run.manifest["seconds"] / plan["seconds"]["total"] <= 2


def arrays(run: fmnist_dask.Run) -> Any:
    return zarr.open_group(run.manifest["source"]["collection"], mode="r")


def test_all_planted_copies_and_leaks_are_found_and_nothing_else(run: fmnist_dask.Run) -> None:
    group = arrays(run)
    flags, origin = group["planted"][:N], group["planted_origin"][:N]
    copies = np.flatnonzero(flags & garments.EXACT_DUPLICATE)
    members = np.concatenate([copies, np.unique(origin[copies])])
    groups = np.concatenate([origin[copies], np.unique(origin[copies])])
    table = run.table("duplicates").sort_values(["group", "sample"])
    order = np.lexsort((members, groups))
    np.testing.assert_array_equal(table["sample"], members[order])
    np.testing.assert_array_equal(table["group"], groups[order])
    train = run.collection.splits["train"]
    sides = np.unique(np.stack([groups, members >= train], axis=1), axis=0)
    crossing = set(sides[:, 0][np.flatnonzero(np.diff(sides[:, 0]) == 0)].tolist())
    leaked = members[np.isin(groups, list(crossing))]
    assert run.metrics["duplicates"]["leaked"] == {
        "train": int((leaked < train).sum()),
        "test": int((leaked >= train).sum()),
    }
    assert run.metrics["duplicates"]["n_unique"] == N - len(copies)


def test_statistics_equal_those_of_streamed_data(run: fmnist_dask.Run) -> None:
    """Counts by NumPy alone, chunk by chunk, from the arrays on disk."""
    group = arrays(run)
    train, rows, pixel = run.collection.splits["train"], group["image"].chunks[0], np.arange(784) * 256
    counts = np.zeros((10, 784 * 256), np.int64)
    for start in range(0, train, rows):
        stop = min(start + rows, train)
        image, label = group["image"][start:stop].reshape(-1, 784), group["label"][start:stop]
        for name in range(10):
            counts[name] += np.bincount((image[label == name] + pixel).ravel(), minlength=784 * 256)
    counts = counts.reshape(10, 784, 256)
    pixels = run["pixels"].load()
    names = list(garments.CLASS_NAMES)
    assert counts.sum() == train * 784
    check(counts.sum(axis=0), pixels["mean"], pixels["std"], pixels["quantiles"])
    for at, name in enumerate(names):
        of = pixels.sel({"class": name})
        check(counts[at], of["class_mean"], of["class_std"], of["class_quantiles"])


def check(counts: np.ndarray, mean: Any, std: Any, quantiles: Any) -> None:
    """Statistics of each pixel from how often it has each value, shape (784, 256)."""
    n, values = counts[0].sum(), np.arange(256)
    total, squares = counts @ values, counts @ values**2
    np.testing.assert_array_equal(mean.values.ravel(), total / n)
    np.testing.assert_allclose(std.values.ravel(), np.sqrt(squares / n - (total / n) ** 2), rtol=1e-9, atol=1e-9)
    below = counts.cumsum(axis=1)
    for at, q in enumerate((0.25, 0.5, 0.75)):
        rank = q * (n - 1)
        low, high = ((below > place).argmax(axis=1) for place in (np.floor(rank), min(np.floor(rank) + 1, n - 1)))
        np.testing.assert_allclose(
            quantiles.isel(quantile=at).values.ravel(), low + (high - low) * (rank % 1), rtol=0, atol=1e-9
        )
