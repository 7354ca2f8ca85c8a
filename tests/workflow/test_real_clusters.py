"""The clustering study of Fashion-MNIST, from one command: as many copies as in its first release, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from source_files import arrays_of, first_release, written

import fmnist_dask
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.sources.idx import Idx

#: Images left without copies, and what the study found on them; scikit-learn's figures where it states them.
LEFT = 59_957
PIXELS_INERTIA, CODES_INERTIA = 1_904_516.59, 782_437.33
STUDY = {"pixels": 0.15, "kmeans": 0.27, "mixture": 0.17, "spectral": 0.23}


@pytest.fixture(scope="module")
def first(real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    splits = first_release(arrays_of(Idx(real_data("fashion-mnist"), name="fashion-mnist")))
    return written("npz", tmp_path_factory.mktemp("first") / "first", splits)


def carried_out(source: str, steps: tuple[str, ...], cluster: Connection, place: Path) -> fmnist_dask.Run:
    run = fmnist_dask.run(
        "cluster",
        source=source,
        cluster=str(cluster.client.scheduler.address),
        out=place / "run",
        store=place / "store.zarr",
        only=steps,
    )
    assert run.metrics["unique"]["dropped"] == {"train": 43, "test": 1}
    for name in steps:
        assert run.manifest["steps"][name]["n_used"] == LEFT
        assert run[name]["size"].values.sum() == LEFT
    return run


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.long
def test_the_study_is_redone_and_beaten(first: str, cluster: Connection, tmp_path: Path) -> None:
    run = carried_out(first, ("pixels", "kmeans", "mixture", "hierarchy", "spectral"), cluster, tmp_path)
    metrics = run.metrics
    assert metrics["pixels"]["inertia"] <= PIXELS_INERTIA * 1.001
    assert metrics["kmeans"]["inertia"] <= CODES_INERTIA
    assert metrics["mixture"]["log_likelihood"] >= -11.57
    assert metrics["spectral"]["silhouette"] >= 0.249
    assert metrics["spectral"]["nmi"] >= 0.567
    assert metrics["pixels"]["silhouette"] == pytest.approx(STUDY["pixels"], abs=0.01)
    assert metrics["kmeans"]["silhouette"] > STUDY["kmeans"]
    assert metrics["spectral"]["silhouette"] > STUDY["spectral"]
    # More likely than the study's mixture, whose clusters are rounder.
    assert 0.1 < metrics["mixture"]["silhouette"] < STUDY["mixture"] + 0.05
    labels = run["kmeans"]["labels"].values
    kept = run["unique"]["kept"].values & (np.arange(len(labels)) < 60_000)
    np.testing.assert_array_equal(labels >= 0, kept)
