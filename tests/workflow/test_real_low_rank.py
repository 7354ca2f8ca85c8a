"""Low-rank models of Fashion-MNIST: the optimum without holes, and what hidden pixels are filled in with."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

import fmnist_dask

pytestmark = pytest.mark.data
#: What H2O's GLRM reached at rank 2 in 100 iterations, on raw pixels.
H2O_OBJECTIVE = 151_324_384_033
MASK = {"fraction": 0.2, "seed": 1234}


@pytest.fixture
def run(tmp_path, cluster, real_data):
    def carry_out(steps):
        path = tmp_path / "some.yaml"
        path.write_text(yaml.safe_dump({"name": "some", "source": str(real_data("fashion-mnist")), "steps": steps}))
        address = str(cluster.client.scheduler.address)
        return fmnist_dask.run(path, cluster=address, out=tmp_path / "run", store=tmp_path / "store.zarr")

    return carry_out


def errors(run, name):
    dataset = run[name]
    return dict(zip(dataset["method"].values.tolist(), dataset["rmse"].values.tolist(), strict=True))


def test_two_directions_are_the_best_there_are_and_64_fill_in_better_than_neighbours(run):
    plane = {"uses": "low_rank", "split": "train", "with": {"rank": 2, "regularization": "none"}}
    filled = {"uses": "low_rank", "split": "train", "mask": MASK, "with": {"rank": 64}}
    found = run({"plane": plane, "filled": filled})
    image = found.collection.read("image", 0, 60_000).reshape(60_000, -1).astype(np.float64)
    lengths = np.linalg.eigvalsh(image.T @ image)
    objective = found.metrics["plane"]["objective"]
    assert objective == pytest.approx(lengths[:-2].sum(), rel=1e-8)
    assert objective <= H2O_OBJECTIVE
    metrics = found.metrics["filled"]
    assert metrics["rmse_heldout"] <= 0.112
    assert 0.94 <= metrics["coverage_95"] <= 0.96
    by_method = errors(found, "filled")
    assert by_method["mean of the pixel"] == pytest.approx(0.295, abs=1e-3)
    assert by_method["rank 64"] < by_method["mean of four neighbours"] < by_method["mean of the pixel in its class"]


@pytest.mark.slow
def test_the_best_single_model_is_a_third_better_than_neighbours(run):
    found = run({"filled": {"uses": "low_rank", "split": "train", "mask": MASK, "with": {"rank": 500}}})
    assert found.metrics["filled"]["rmse_heldout"] <= 0.082
    assert 0.93 <= found.metrics["filled"]["coverage_95"] <= 0.98
