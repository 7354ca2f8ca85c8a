"""The step ``low_rank`` in workflows: masks, missing pixels, filled images, the report."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from support import random_images

import fmnist_dask
from fmnist_dask.collection.masked import MaskedImages
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.errors import RunError, SourceError, UsageError, WorkflowError
from fmnist_dask.kernels.masking import hidden_pixels

MASK = {"fraction": 0.2, "seed": 1234}


@pytest.fixture
def run(tmp_path, monkeypatch, cluster):
    monkeypatch.chdir(tmp_path)

    def carry_out(steps, source, name="some", report=False):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "source": source, "steps": steps}))
        return fmnist_dask.run(path, cluster=str(cluster.client.scheduler.address), report=report)

    return carry_out


def errors_of(dataset):
    """Root mean square error of each way to fill in."""
    return dict(zip(dataset["method"].values.tolist(), dataset["rmse"].values.tolist(), strict=True))


@pytest.mark.slow
def test_hidden_pixels_are_filled_in_and_scored(run):
    garments = {"path": "garments", "n": 3000}
    found = run(
        {"filled": {"uses": "low_rank", "split": "train", "mask": MASK, "with": {"rank": 24}}}, garments, report=True
    )
    metrics = found.metrics["filled"]
    filled, images = found["filled"], found.collection
    n, n_train = images.n, images.splits["train"]
    image = images.read("image", 0, n)
    hidden = hidden_pixels(1234, np.arange(n), 784, 0.2).reshape(n, 28, 28)
    imputed = filled["imputed"].values
    np.testing.assert_array_equal(imputed[~hidden], image[~hidden])
    error = (imputed.astype(float) - image)[hidden] / 255
    of_train = (images.read("split", 0, n) == 0)[:, None, None] & hidden
    of_train_error = (imputed.astype(float) - image)[of_train] / 255
    # Whole numbers have been made of what was expected.
    assert metrics["rmse_heldout"] == pytest.approx(np.sqrt((of_train_error**2).mean()), abs=1e-4)
    assert metrics["mae_heldout"] == pytest.approx(np.abs(of_train_error).mean(), abs=1e-3)
    assert np.sqrt((error**2).mean()) < 1.2 * metrics["rmse_heldout"]
    assert metrics["missing_fraction"] == pytest.approx(0.2, abs=1e-3)
    assert 0.93 < metrics["coverage_95"] < 0.97
    assert metrics["rank"] == 24
    by_method = errors_of(filled)
    mean = np.where(hidden | ~of_train.any(axis=(1, 2))[:, None, None], np.nan, image)
    expected = np.nanmean(mean[:n_train] if n_train == n else mean, axis=0)
    baseline = np.sqrt((((expected - image) / 255)[of_train] ** 2).mean())
    assert by_method["mean of the pixel"] == pytest.approx(baseline, rel=1e-4)
    assert by_method["rank 24"] == metrics["rmse_heldout"]
    assert (
        by_method["rank 24"] < by_method["rank 8"] < by_method["rank 2"] < by_method["mean of the pixel in its class"]
    )
    assert filled["codes"].shape == (n, 24)
    assert np.isfinite(filled["codes"].values).all()
    report = (found.path / "report.html").read_text()
    for words in ("Missing pixels, filled in", "Archetypes", "Map of all images", "mean of four neighbours"):
        assert words in report
    assert found.manifest["steps"]["filled"]["exact"] is False


@pytest.mark.slow
def test_pixels_that_nobody_knows_are_filled_in_without_a_truth(run, tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.kron(random_images(600, (3, 3), seed=2), np.ones((2, 2)))
    values = np.where(rng.random(smooth.shape) < 0.15, np.nan, smooth)
    np.save(tmp_path / "some.npy", values)
    with pytest.raises(RunError, match="low_rank"):
        run({"parts": {"uses": "pca"}}, str(tmp_path / "some.npy"), "refused")
    found = run({"filled": {"uses": "low_rank", "with": {"rank": 9}}}, str(tmp_path / "some.npy"))
    imputed, missing = found["filled"]["imputed"].values, np.isnan(values)
    np.testing.assert_array_equal(imputed[~missing], values[~missing].astype(np.uint8))
    # Blocks of four equal pixels: mostly one of them is known.
    assert np.sqrt(((imputed - smooth)[missing] ** 2).mean()) < 0.25 * smooth.std()
    metrics = found.metrics["filled"]
    assert metrics["rmse_heldout"] is None
    assert metrics["coverage_95"] is None
    assert metrics["missing_fraction"] == pytest.approx(0.15, abs=0.01)
    both = run({"more": {"uses": "low_rank", "mask": MASK, "with": {"rank": 9}}}, str(tmp_path / "some.npy"), "both")
    assert both.metrics["more"]["missing_fraction"] == pytest.approx(0.15 + 0.85 * 0.2, abs=0.01)
    assert both.metrics["more"]["rmse_heldout"] < 0.3 * smooth.std() / 255


@pytest.mark.slow
def test_complete_images_are_modelled_exactly_and_other_steps_work_on_codes(run):
    steps = {
        "plane": {"uses": "low_rank", "with": {"rank": 2, "regularization": "none"}},
        "groups": {"uses": "kmeans", "on": "plane", "with": {"n_clusters": 3}},
    }
    found = run(steps, {"path": "garments", "n": 1500})
    image = found.collection.read("image", 0, 1500).reshape(1500, -1).astype(float)
    lengths = np.linalg.svd(image)[1]
    assert found.metrics["plane"]["objective"] == pytest.approx((lengths[2:] ** 2).sum(), rel=1e-8)
    assert found.metrics["plane"]["rmse_observed"] == pytest.approx(
        np.sqrt((lengths[2:] ** 2).mean() * 782 / image.size) / 255
    )
    assert "imputed" not in found["plane"]
    codes = found["plane"]["codes"].values
    components = found["plane"]["components"].values.reshape(2, -1)
    residual = image - codes @ components
    assert (residual**2).sum() == pytest.approx(found.metrics["plane"]["objective"], rel=1e-5)
    assert found.manifest["steps"]["plane"]["exact"] is True
    assert found.metrics["groups"]["inertia"] > 0


@pytest.mark.slow
def test_filled_images_are_a_source_for_other_workflows(run, tmp_path):
    rng = np.random.default_rng(1)
    smooth = np.kron(random_images(500, (3, 3), seed=2), np.ones((2, 2)))
    values = np.where(rng.random(smooth.shape) < 0.15, np.nan, smooth)
    labels = rng.integers(0, 3, 500)
    np.savez(
        tmp_path / "some.npz", x_train=values[:400], y_train=labels[:400], x_test=values[400:], y_test=labels[400:]
    )
    steps = {"filled": {"uses": "low_rank", "with": {"rank": 9}}, "other": {"uses": "low_rank", "with": {"rank": 2}}}
    first = run(steps, str(tmp_path / "some.npz"))
    with pytest.raises(UsageError, match="filled, other"):
        open_source(first.path)
    with pytest.raises(UsageError, match="no step"):
        open_source({"path": str(first.path), "step": "fill"})
    source = {"path": str(first.path), "step": "filled"}
    second = run({"parts": {"uses": "pca", "with": {"n_components": 2}}}, source, "again")
    made = second.collection
    assert made.missing_pixels == 0
    assert made.splits == {"train": 400, "test": 100}
    np.testing.assert_array_equal(made.read("image", 0, 500), first["filled"]["imputed"].values)
    for name in ("label", "split", "source_name", "height"):
        np.testing.assert_array_equal(made.read(name, 0, 500), first.collection.read(name, 0, 500))
    assert second.metrics["parts"]["explained_variance_ratio_sum"] > 0
    with pytest.raises(SourceError, match="no step of the run"):
        open_source(second.path)


@pytest.mark.slow
def test_filled_images_of_a_collection_that_grew_lie_by_split(run, tmp_path, cluster):
    """Rows of a split that were appended lie behind those of other splits in the old collection, not in the new one."""
    rng = np.random.default_rng(1)
    image = random_images(600, (5, 4), seed=3)
    values = np.where(rng.random(image.shape) < 0.1, np.nan, image)
    for name, part in (("first", slice(0, 300)), ("more", slice(300, 600))):
        half = (part.start + part.stop) // 2
        arrays = {"x_train": values[part.start : half], "x_test": values[half : part.stop]}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    store, address = tmp_path / "some.zarr", str(cluster.client.scheduler.address)
    fmnist_dask.ingest(tmp_path / "first.npz", store, cluster=address)
    fmnist_dask.ingest(tmp_path / "more.npz", store, cluster=address, append=True)
    first = run({"filled": {"uses": "low_rank", "with": {"rank": 3}}}, str(store))
    second = run({"look": {"uses": "pixel_stats"}}, str(first.path), "again")
    old_split, made = first.collection.read("split", 0, 600), second.collection
    assert (np.diff(old_split) != 0).sum() == 3
    order = np.argsort(old_split, kind="stable")
    np.testing.assert_array_equal(made.read("split", 0, 600), old_split[order])
    np.testing.assert_array_equal(made.read("image", 0, 600), first["filled"]["imputed"].values[order])


@pytest.mark.slow
def test_colour_images_lose_all_channels_of_a_pixel(run, tmp_path):
    rng = np.random.default_rng(3)
    directions = rng.standard_normal((4, 6 * 5 * 3)) * 30
    image = (128 + rng.standard_normal((800, 4)) @ directions).clip(0, 255).reshape(800, 6, 5, 3).astype(np.uint8)
    np.savez(tmp_path / "some.npz", x_train=image, y_train=rng.integers(0, 3, 800))
    found = run(
        {"filled": {"uses": "low_rank", "mask": MASK, "with": {"rank": 4}}}, str(tmp_path / "some.npz"), report=True
    )
    hidden = hidden_pixels(1234, np.arange(800), 30, 0.2).reshape(800, 6, 5)
    filled = found["filled"]
    changed = (filled["imputed"].values != image).any(axis=-1)
    assert not changed[~hidden].any()
    error = np.sqrt(((filled["imputed"].values.astype(float) - image)[hidden] ** 2).mean()) / 255
    assert found.metrics["filled"]["rmse_heldout"] == pytest.approx(error, abs=2e-3)
    by_method = errors_of(filled)
    assert by_method["rank 4"] < 0.6 * by_method["mean of the pixel"]
    assert int(filled["hidden"]) == hidden.sum()
    assert "Missing pixels, filled in" in (found.path / "report.html").read_text()


def smooth_images(n: int, shape: tuple[int, ...], k: int = 4, seed: int = 0) -> np.ndarray:
    """Images of few directions, and a little noise."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    directions = np.linalg.qr(rng.standard_normal((size, k)))[0].T * 20 * np.sqrt(size)
    values = 128 + rng.standard_normal((n, k)) @ directions / np.sqrt(k) + 3 * rng.standard_normal((n, size))
    return np.rint(values.clip(0, 255)).astype(np.uint8).reshape(n, *shape)


@pytest.mark.slow
def test_more_values_than_pairs_fit_are_modelled_in_turns(run, tmp_path):
    image = smooth_images(300, (40, 40, 3))
    np.savez(tmp_path / "large.npz", x_train=image, y_train=np.arange(300) % 2)
    found = run(
        {"filled": {"uses": "low_rank", "mask": MASK, "with": {"rank": 4, "max_iter": 30}}}, str(tmp_path / "large.npz")
    )
    by_method = errors_of(found["filled"])
    assert by_method["rank 4"] < 0.3 * by_method["mean of the pixel"]
    assert by_method["rank 4"] < by_method["rank 2"]
    assert found.metrics["filled"]["converged"]
    assert 0.92 < found.metrics["filled"]["coverage_95"] < 0.98
    assert found["filled"]["codes"].shape == (300, 4)


@pytest.mark.slow
def test_nonnegative_models_fill_in_by_sums_of_parts(run, tmp_path):
    rng = np.random.default_rng(0)
    parts = rng.random((3, 36)) * (rng.random((3, 36)) < 0.5)
    image = np.rint((rng.gamma(2, 30, (800, 3)) @ parts).clip(0, 255)).astype(np.uint8).reshape(800, 6, 6)
    np.savez(tmp_path / "parts.npz", x_train=image, y_train=np.arange(800) % 2)
    steps = {
        "parts": {"uses": "low_rank", "mask": MASK, "with": {"rank": 3, "regularization": "non-negative", "tol": 1e-5}}
    }
    found = run(steps, str(tmp_path / "parts.npz"), report=True)
    assert (found["parts"]["codes"].values >= 0).all()
    assert (found["parts"]["components"].values >= 0).all()
    by_method = errors_of(found["parts"])
    assert by_method["rank 3"] < 0.2 * by_method["mean of the pixel"]
    assert "sums of parts" in (found.path / "report.html").read_text()
    assert found.manifest["steps"]["parts"]["exact"] is False


@pytest.mark.slow
@pytest.mark.long
def test_a_mixture_fills_in_better_than_its_single_model(run):
    step = {"uses": "low_rank", "split": "train", "mask": MASK, "with": {"rank": 64, "groups": 3, "max_iter": 1}}
    found = run({"filled": step}, {"path": "garments", "n": 3000}, report=True)
    by_method, metrics = errors_of(found["filled"]), found.metrics["filled"]
    assert metrics["rmse_heldout"] == by_method["mixture of 3 Gaussians"] < by_method["rank 64"]
    assert 0.9 < metrics["coverage_95"] < 0.98
    assert found["filled"]["group_size"].values.sum() == pytest.approx(found.collection.splits["train"], rel=0.02)
    assert np.isfinite(found["filled"]["codes"].values).all()
    assert "mixture of 3 Gaussians" in (found.path / "report.html").read_text()
    with pytest.raises(RunError, match="groups=3 with regularization none"):
        run({"filled": {**step, "with": {"groups": 3, "regularization": "none"}}}, {"path": "garments", "n": 500}, "no")


@pytest.mark.slow
def test_filled_images_of_a_step_are_worked_on_by_others(run, tmp_path):
    image = smooth_images(600, (6, 5))
    gone = np.random.default_rng(1).random(image.shape) < 0.15
    np.savez(tmp_path / "some.npz", x_train=np.where(gone, np.nan, image), y_train=np.arange(600) % 3)
    steps = {
        "filled": {"uses": "imputed", "with": {"rank": 4}},
        "statistics": {"uses": "pixel_stats", "on": "filled"},
        "parts": {"uses": "pca", "on": "filled", "with": {"n_components": 3}},
        "groups": {"uses": "kmeans", "on": "parts", "with": {"n_clusters": 3}},
        "again": {"uses": "low_rank", "on": "filled", "mask": MASK, "with": {"rank": 4}},
    }
    found = run(steps, str(tmp_path / "some.npz"))
    filled = found["filled"]["imputed"].values
    np.testing.assert_array_equal(filled[~gone], image[~gone])
    np.testing.assert_allclose(found["statistics"]["mean"].values, filled.mean(axis=0))
    variance = np.linalg.eigvalsh(np.cov(filled.reshape(600, -1).T, bias=True))
    ratio = variance[-3:].sum() / variance.sum()
    assert found.metrics["parts"]["explained_variance_ratio_sum"] == pytest.approx(ratio, rel=1e-9)
    assert found.metrics["again"]["missing_fraction"] == pytest.approx(0.2, abs=0.01)
    with pytest.raises(RunError, match="pixels of the collection are missing"):
        run({"statistics": {"uses": "pixel_stats"}}, str(tmp_path / "some.npz"), "unfilled")


@pytest.mark.slow
def test_complete_images_go_on_as_they_are(run):
    steps = {
        "filled": {"uses": "imputed", "with": {"rank": 2}},
        "statistics": {"uses": "pixel_stats", "on": "filled"},
        "plain": {"uses": "pixel_stats"},
    }
    found = run(steps, {"path": "garments", "n": 500})
    np.testing.assert_array_equal(found["statistics"]["mean"].values, found["plain"]["mean"].values)


@pytest.mark.slow
def test_filled_images_can_be_kept_as_they_are_expected_to_be(run):
    step = {"uses": "low_rank", "mask": MASK, "with": {"rank": 4, "impute": "float32"}}
    found = run({"filled": step}, {"path": "garments", "n": 600})
    whole = run({"filled": {**step, "with": {"rank": 4}}}, {"path": "garments", "n": 600}, "whole")
    values = found["filled"]["imputed"].values
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.rint(values), whole["filled"]["imputed"].values)
    hidden = hidden_pixels(1234, np.arange(600), 784, 0.2).reshape(600, 28, 28)
    assert (np.rint(values) != values)[hidden].mean() > 0.3
    with pytest.raises(SourceError, match="float32"):
        open_source(found.path)


@pytest.mark.slow
def test_pixels_that_are_missing_by_class_are_noticed(run, tmp_path):
    image, label = smooth_images(900, (6, 5)), np.arange(900) % 3
    rng = np.random.default_rng(2)
    anywhere = rng.random(image.shape) < 0.1
    by_class = anywhere.copy()
    by_class[label == 1, 2:4, 1:3] |= rng.random(((label == 1).sum(), 2, 2)) < 0.3
    for name, gone in (("anywhere", anywhere), ("by_class", by_class)):
        np.savez(tmp_path / f"{name}.npz", x_train=np.where(gone, np.nan, image), y_train=label)
        found = run(
            {"filled": {"uses": "low_rank", "with": {"rank": 4}}}, str(tmp_path / f"{name}.npz"), name, report=True
        )
        report = (found.path / "report.html").read_text()
        if name == "anywhere":
            assert found.metrics["filled"]["missing_by_class_p"] > 0.001
            assert "as often in every class" in report
        else:
            assert found.metrics["filled"]["missing_by_class_p"] < 1e-6
            assert "depends on the class" in report
            largest = float(found["filled"]["class_missing_largest"])
            assert 0.1 < largest < 0.3


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"gamma_x": 1.0, "gamma_y": 1.0}, "do nothing with regularization noise"),
        ({"gamma_x": 1.0, "regularization": "quadratic"}, "one alone bounds nothing"),
    ],
)
def test_penalties_that_mean_nothing_are_refused(run, parameters, words):
    with pytest.raises(RunError, match=words):
        run({"plane": {"uses": "low_rank", "with": parameters}}, {"path": "garments", "n": 100})


@pytest.mark.slow
def test_images_that_another_step_keeps_are_masked_like_all(run, tmp_path):
    images = random_images(500, (6, 6), 200, seed=4)
    np.savez(tmp_path / "some.npz", x_train=images, y_train=np.arange(500) % 3)
    steps = {
        "once": {"uses": "deduplicated"},
        "filled": {"uses": "low_rank", "on": "once", "mask": MASK, "with": {"rank": 5}},
    }
    found = run(steps, str(tmp_path / "some.npz"))
    kept = found["once"]["kept"].values
    assert 100 < kept.sum() < 400
    hidden = hidden_pixels(1234, np.arange(500), 36, 0.2)
    assert found.manifest["steps"]["filled"]["n_used"] == kept.sum()
    assert found.metrics["filled"]["missing_fraction"] == pytest.approx(hidden[kept].mean(), rel=1e-9)
    mean = np.where(hidden | ~kept[:, None], np.nan, images.reshape(500, -1))
    error = (np.nanmean(mean, axis=0) - images.reshape(500, -1))[kept][hidden[kept]] / 255
    by_method = errors_of(found["filled"])
    assert by_method["mean of the pixel"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)


def test_steps_that_see_all_pixels_refuse_a_mask(run):
    with pytest.raises(WorkflowError, match="masked images"):
        run({"parts": {"uses": "pca", "mask": MASK}}, "garments")


def test_hidden_pixels_cannot_be_read_by_mistake(run):
    found = run({"plane": {"uses": "low_rank", "with": {"rank": 1}}}, {"path": "garments", "n": 600})
    whole, masked = found.collection, MaskedImages.over(found.collection, 0.5, 3)
    block = masked.block(0, 300)
    hidden = block.array("missing")
    assert 0.4 < hidden.mean() < 0.6
    assert not block.image[hidden].any()
    np.testing.assert_array_equal(block.image, masked.read("image", 0, 300))
    np.testing.assert_array_equal(block.image[~hidden], whole.read("image", 0, 300)[~hidden])
    np.testing.assert_array_equal(block.array("truth"), whole.read("image", 0, 300))
    np.testing.assert_array_equal(block.array("hidden"), hidden)
    assert MaskedImages.over(whole, 0.5, 4) != masked
