"""Low-rank models of Fashion-MNIST: the optimum without holes, and what hidden pixels are filled in with."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

import fmnist_dask
from fmnist_dask.collection.sources.detect import open_source

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


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_best_single_model_is_a_third_better_than_neighbours(run):
    found = run({"filled": {"uses": "low_rank", "split": "train", "mask": MASK, "with": {"rank": 500}}})
    assert found.metrics["filled"]["rmse_heldout"] <= 0.082
    assert 0.93 <= found.metrics["filled"]["coverage_95"] <= 0.98


@pytest.mark.parametrize("fraction", [pytest.param(0.5, marks=pytest.mark.slow), 0.9])
def test_most_pixels_may_be_hidden(run, fraction):
    step = {"uses": "low_rank", "split": "test", "mask": {"fraction": fraction, "seed": 7}, "with": {"rank": 32}}
    found = run({"filled": step})
    by_method = errors(found, "filled")
    assert by_method["rank 32"] < min(by_method[name] for name in by_method if not name.startswith("rank"))
    assert 0.93 < found.metrics["filled"]["coverage_95"] < 0.97
    assert np.isfinite(found["filled"]["codes"].values).all()
    assert (found["filled"]["contrast"].values > 0).all()


def test_a_pixel_an_image_and_a_region_of_a_class_may_be_missing(tmp_path, cluster, real_data):
    """Of a pixel or an image that is never there, what is known of all is said, and how little it is."""
    source = open_source(str(real_data("fashion-mnist")))
    rows = next(source.read(0, 0, 10_000, 10_000))
    image, label = rows.image, rows.label
    missing = np.zeros(image.shape, bool)
    missing[:, :, 14] = True  # a column of all images
    missing[42] = True
    missing[label == 3, 5:15, 8:20] = True
    np.savez(tmp_path / "some.npz", x_train=np.where(missing, np.nan, image), y_train=label)
    path = tmp_path / "some.yaml"
    step = {"uses": "low_rank", "with": {"rank": 32}}
    path.write_text(yaml.safe_dump({"name": "some", "source": str(tmp_path / "some.npz"), "steps": {"filled": step}}))
    found = fmnist_dask.run(path, cluster=str(cluster.client.scheduler.address), out=tmp_path / "run")
    filled, scale = found["filled"], found["filled"]["error_scale"].values
    imputed = filled["imputed"].values
    np.testing.assert_array_equal(imputed[~missing], image[~missing])
    assert np.isfinite(filled["codes"].values).all()
    assert np.isfinite(scale).all()
    # What no image has is as uncertain as any pixel of any image; its neighbours are not.
    assert scale[:, 14].min() > 1.5 * np.median(scale[:, [12, 16]])
    np.testing.assert_allclose(imputed[42], 255 * filled["mean"].values, atol=1)
    # The region of dresses, which no dress has: better than what is there in other images.
    dress, region = label == 3, (slice(None), slice(5, 15), slice(8, 20))
    never = np.zeros((int(dress.sum()), 10, 12), bool)
    never[:, :, 14 - 8] = True  # the column that nothing has
    truth, others = image[dress][region].astype(float), image[~dress][region].mean(axis=0)
    wrong = np.square(imputed[dress][region] - truth)[~never].mean()
    assert wrong < 0.9 * np.square(others - truth)[~never].mean()
    assert found.metrics["filled"]["missing_by_class_p"] < 1e-9
    assert "depends on the class" in (found.path / "report.html").read_text()


@pytest.mark.long
@pytest.mark.slow
def test_few_codes_tell_classes_as_well_as_published_ones_do(run):
    """A third of the images; forests of all of them are in the benchmark."""
    parameters = {"ranks": [2, 8, 32], "images": 20_000, "raw": False}
    found = run({"sweep": {"uses": "rank_sweep", "split": "train", "with": parameters}})
    published = {"2": 0.51341, "8": 0.73393, "32": 0.86116}
    for rank, accuracy in found.metrics["sweep"]["accuracy"].items():
        assert accuracy > published[rank] - 0.02
    assert found.metrics["sweep"]["accuracy_boosting"]["32"] > 0.845


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mixture_beats_the_best_single_model(run):
    """Of the test images; of the 60,000 training images README has the figures."""
    parameters = {"rank": 300, "groups": 6, "max_iter": 1}
    found = run({"filled": {"uses": "low_rank", "split": "test", "mask": MASK, "with": parameters}})
    by_method, metrics = errors(found, "filled"), found.metrics["filled"]
    assert metrics["rmse_heldout"] == by_method["mixture of 6 Gaussians"] < 0.95 * by_method["rank 300"]
    assert 0.92 < metrics["coverage_95"] < 0.97
