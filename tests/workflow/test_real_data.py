"""The published figures of Fashion-MNIST and MNIST, from one command."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fmnist_dask
from fmnist_dask.cluster.connect import Connection

pytestmark = pytest.mark.data
#: Mean of the first four pixels of class 0, scaled to [0, 1].
FIRST_PIXELS = [5.22875817e-06, 7.64705882e-05, 5.79084967e-04, 1.33660131e-03]


def idx(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header).copy()


def explore(source: Any, cluster: Connection, place: Path, **options: Any) -> fmnist_dask.Run:
    address = str(cluster.client.scheduler.address)
    return fmnist_dask.run(
        "explore", source=source, cluster=address, out=place / "run", store=place / "store.zarr", source_options=options
    )


@pytest.fixture(scope="module")
def fashion(cluster: Connection, real_data: Callable[[str], Path], tmp_path_factory: Any) -> fmnist_dask.Run:
    return explore(real_data("fashion-mnist"), cluster, tmp_path_factory.mktemp("fashion"))


def test_fashion_mnist_has_no_duplicates_and_the_published_statistics(fashion: fmnist_dask.Run) -> None:
    assert fashion.metrics["duplicates"] == {
        "n_unique": 70_000,
        "n_groups": 0,
        "surplus": {"train": 0, "test": 0},
        "leaked": {"train": 0, "test": 0},
        "conflicting_labels": 0,
    }
    assert fashion.metrics["pixels"]["mean"] == pytest.approx(0.2860405969887955, abs=1e-15)
    assert fashion.metrics["pixels"]["std"] == pytest.approx(0.35302424451492254, abs=1e-12)
    first = fashion["pixels"]["class_mean"].sel({"class": "T-shirt/top"}).values.ravel()[:4] / 255
    np.testing.assert_allclose(first, FIRST_PIXELS, rtol=1e-8)
    images = fashion["duplicates"]["images"].load()
    assert (images.sel(split="train") == 6000).all()
    assert (images.sel(split="test") == 1000).all()
    assert fashion.manifest["passes"] == 1
    assert fashion.manifest["bytes_read"] == 70_000 * 784


def test_class_statistics_equal_numpy_exactly(fashion: fmnist_dask.Run, real_data: Callable[[str], Path]) -> None:
    raw = real_data("fashion-mnist")
    image = idx(raw / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    label = idx(raw / "train-labels-idx1-ubyte.gz", 8)
    pixels = fashion["pixels"].load()
    np.testing.assert_array_equal(pixels["mean"], image.mean(axis=0))
    for index in range(10):
        of_class = image[label == index]
        np.testing.assert_array_equal(pixels["class_mean"][index], of_class.mean(axis=0))
        np.testing.assert_array_equal(pixels["class_minimum"][index], of_class.min(axis=0))
        quartiles = np.quantile(of_class, [0.25, 0.5, 0.75], axis=0)
        np.testing.assert_array_equal(pixels["class_quantiles"][index], quartiles)
    np.testing.assert_array_equal(pixels["histogram"], np.bincount(image.ravel(), minlength=256))


def test_any_chunking_and_number_of_workers_gives_the_same_arrays(
    fashion: fmnist_dask.Run, start_cluster: Any, tmp_path: Path
) -> None:
    with start_cluster(1) as one:
        for chunk_mib in (3, 11):
            other = explore(fashion.manifest["source"]["path"], one, tmp_path / str(chunk_mib), chunk_mib=chunk_mib)
            assert other.manifest["cluster"]["workers"] == 1
            assert other.collection.chunk_rows != fashion.collection.chunk_rows
            assert other.collection.fingerprint == fashion.collection.fingerprint
            for name in ("duplicates", "pixels", "properties"):
                xr.testing.assert_identical(fashion[name].load(), other[name].load())


def test_planted_duplicates_are_found_and_nothing_else(
    cluster: Connection, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    raw = tmp_path / "planted"
    shutil.copytree(real_data("fashion-mnist"), raw)
    raw.chmod(0o755)
    train = idx(raw / "train-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    test = idx(raw / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    train[59_000], train[100], train[30_000] = train[7], train[7], train[42_000]
    test[5], test[9_999] = train[20_000], test[17]
    for name, image in (("train", train), ("t10k", test)):
        path = raw / f"{name}-images-idx3-ubyte.gz"
        header = gzip.decompress(path.read_bytes())[:16]
        path.unlink()
        path.write_bytes(gzip.compress(header + image.tobytes(), 1))
    run = explore(raw, cluster, tmp_path)
    table = run.table("duplicates")
    groups = {tuple(sorted(members["sample"])) for _, members in table.groupby("group")}
    assert groups == {(7, 100, 59_000), (30_000, 42_000), (20_000, 60_005), (60_017, 69_999)}
    assert run.metrics["duplicates"]["surplus"] == {"train": 3, "test": 1}
    assert run.metrics["duplicates"]["leaked"] == {"train": 1, "test": 1}


def test_mnist_by_name_uses_the_data_directory(
    cluster: Connection, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    real_data("mnist")
    run = explore("mnist", cluster, tmp_path)
    assert run.metrics["duplicates"]["n_unique"] == 70_000
    assert run.metrics["pixels"]["mean"] == pytest.approx(0.1306604762738429, abs=1e-12)
    assert run.collection.class_names == tuple("0123456789")
