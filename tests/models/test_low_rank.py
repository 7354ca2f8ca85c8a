"""Low-rank models against singular value decompositions, closed forms, planted truths, and exact EM."""

from __future__ import annotations

import numpy as np
import pytest
from support import rechunked

from fmnist_dask.errors import UsageError
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_model import LowRankOptions
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive


def planted(n: int = 1500, side: int = 6, k: int = 3, noise: float = 4.0, seed: int = 0) -> np.ndarray:
    """Images of rank k and noise."""
    rng = np.random.default_rng(seed)
    factors = np.linalg.qr(rng.standard_normal((side * side, k)))[0].T * np.array([90, 60, 45])[:k, None]
    values = 128 + rng.standard_normal((n, k)) @ factors + noise * rng.standard_normal((n, side * side))
    return np.rint(values.clip(0, 255)).astype(np.uint8).reshape(n, side, side)


def holes(image: np.ndarray, fraction: float, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).random(image.shape) < fraction


def source_of(image: np.ndarray, missing: np.ndarray | None = None, chunk_rows: int = 256) -> ArrayCollection:
    missing = np.zeros(image.shape, bool) if missing is None else missing
    return ArrayCollection(
        np.where(missing, 0, image).astype(np.uint8), chunk_rows=chunk_rows, extra={"missing": missing}
    )


def fitted(source, tasks=3, **options):
    return drive(low_rank(source, source.n, LowRankOptions(**options)), source, LocalEngine(tasks))


def filled_in(model, image, missing):
    """What the model expects of every pixel, by its own formula, in float64."""
    centred = (image.reshape(len(image), -1) - model.centre) / model.scale
    expected = np.empty_like(centred)
    for row, gone in enumerate(missing.reshape(len(image), -1)):
        factors = model.factors[:, ~gone]
        codes = np.linalg.lstsq(
            factors @ factors.T + model.noise * np.eye(model.rank), factors @ centred[row, ~gone], None
        )
        expected[row] = codes[0] @ model.factors
    return (expected * model.scale + model.centre).reshape(image.shape)


@pytest.mark.parametrize("transform", ["none", "demean", "standardize", "normalize"])
def test_complete_images_give_the_singular_value_decomposition(transform):
    image = planted()
    image[:, 0, 0] = 17  # constant
    features = image.reshape(len(image), -1).astype(np.float64)
    mean = np.zeros(36) if transform == "none" else features.mean(axis=0)
    scale = {"standardize": features.std(axis=0), "normalize": np.ptp(features, axis=0)}.get(transform, np.ones(36))
    wanted = (features - mean) / np.where(scale > 0, scale, 1)
    lengths = np.linalg.svd(wanted)[1]
    model = fitted(source_of(image), rank=4, transform=transform, regularization="none")
    assert model.complete
    assert model.converged
    assert model.objective == [pytest.approx((lengths[4:] ** 2).sum(), rel=1e-8)]
    np.testing.assert_allclose(model.centre, mean, rtol=1e-10)
    gram = model.factors @ model.factors.T
    np.testing.assert_allclose(gram, np.diag(lengths[:4] ** 2 / len(image)), atol=1e-6 * gram[0, 0])
    residual = wanted - wanted @ np.linalg.pinv(model.factors) @ model.factors
    assert (residual**2).sum() == pytest.approx(model.objective[0], rel=1e-8)


def test_factors_of_lower_ranks_are_the_first_of_higher_ones():
    image = planted()
    high = fitted(source_of(image), rank=6)
    low = fitted(source_of(image), rank=2)
    at = high.at_rank(2)
    np.testing.assert_allclose(at.factors.values, low.factors, rtol=1e-5, atol=1e-4)
    assert at.noise == pytest.approx(low.noise, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_missing_pixels_of_low_rank_images_are_found_to_within_the_noise(fraction):
    image = planted()
    missing = holes(image, fraction)
    model = fitted(source_of(image, missing), rank=3, max_iter=30, tol=1e-6)
    assert model.converged
    assert not model.complete
    error = (filled_in(model, image, missing) - image)[missing]
    assert 3.5 < np.sqrt((error**2).mean()) < 5.5
    assert np.sqrt(model.noise) == pytest.approx(4, abs=0.4)
    assert model.objective[-1] < model.objective[0]
    # What is said of the error of each pixel is what it is.
    of_pixels = np.sqrt(np.where(missing, (filled_in(model, image, missing) - image) ** 2, 0).sum(0) / missing.sum(0))
    np.testing.assert_allclose(model.error_scale, of_pixels.ravel(), rtol=0.35)


def test_the_closed_form_of_what_is_uncertain_is_that_of_exact_em():
    """One iteration against the one that takes each row's own posterior covariance."""
    image = planted(n=700, side=5)
    missing = holes(image, 0.25)
    first = fitted(source_of(image, missing), rank=3, max_iter=0)
    second = fitted(source_of(image, missing), rank=3, max_iter=1)
    expected = filled_in(first, image, missing).reshape(700, -1)
    filled = np.where(missing.reshape(700, -1), expected, image.reshape(700, -1)) - first.centre
    moved = filled.mean(axis=0)
    covariance = filled.T @ filled / 700 - np.outer(moved, moved)
    for gone in missing.reshape(700, -1):
        factors = first.factors[:, ~gone]
        codes = first.noise * np.linalg.inv(factors @ factors.T + first.noise * np.eye(3))
        of_row = first.factors.T @ codes @ first.factors + first.noise * np.eye(25)
        covariance += np.outer(gone, gone) * of_row / 700
    exact = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(second.variances[:3], exact[:3], rtol=5e-3)
    assert second.noise == pytest.approx(exact[3:].mean(), rel=0.02)
    np.testing.assert_allclose(second.centre, first.centre + moved, rtol=1e-6)


@pytest.mark.parametrize("regularization", ["noise", "none"])
def test_the_same_bits_for_any_chunking_and_number_of_tasks(regularization):
    image = planted(n=2100)
    source = source_of(image, holes(image, 0.2))
    models = [
        fitted(rechunked(source, rows), tasks, rank=3, regularization=regularization, max_iter=3, tol=0)
        for rows, tasks in ((256, 1), (256, 4), (1024, 2), (2304, 1))
    ]
    for other in models[1:]:
        np.testing.assert_array_equal(other.factors, models[0].factors)
        np.testing.assert_array_equal(other.centre, models[0].centre)
        np.testing.assert_array_equal(other.error_scale, models[0].error_scale)
        assert other.objective == models[0].objective


def test_a_column_an_image_and_a_region_that_are_missing_as_a_whole():
    image = planted()
    missing = holes(image, 0.1)
    missing[:, 2, 3] = True
    missing[5] = True
    missing[200:400, 3:, :] = True
    model = fitted(source_of(image, missing), rank=3, max_iter=5)
    for found in (model.centre, model.factors, model.variances, model.error_scale, model.objective):
        assert np.isfinite(found).all()
    never = 2 * 6 + 3
    assert not model.factors[:, never].any()
    # Of what is never seen nothing is known but what pixels are like: their mean, and how much they vary.
    assert model.centre[never] == pytest.approx(image[~missing].mean(), rel=1e-3)
    assert model.error_scale[never] == pytest.approx(image[~missing].std(), rel=0.2)
    assert model.error_scale[never] > 3 * np.delete(model.error_scale, never).mean()
    assert np.isfinite(filled_in(model, image, missing)).all()


def test_nine_of_ten_pixels_missing():
    image = planted(n=4000)
    missing = holes(image, 0.9)
    model = fitted(source_of(image, missing), rank=3, max_iter=20)
    error = (filled_in(model, image, missing) - image)[missing]
    by_mean = (image - image.mean(axis=0))[missing]
    assert (error**2).mean() < 0.7 * (by_mean**2).mean()


def test_high_ranks_are_solved_for_pixels_and_low_ones_for_codes():
    """Two ways to the same values: a system for each image's missing pixels, and conjugate gradients for its codes."""
    image = planted(n=600, side=8, k=3)
    missing = holes(image, 0.1)
    model = fitted(source_of(image, missing), rank=40, max_iter=1)
    gaussian = model.parameter.model
    there = ~missing.reshape(600, -1)
    observed = there.astype(np.float32)
    assert gaussian._is_pixelwise(observed)
    assert not fitted(source_of(image, missing), rank=2, max_iter=1).parameter.model._is_pixelwise(1 - observed)
    values = gaussian.centred(image.reshape(600, -1), there)
    by_pixels = gaussian.codes(values, observed)
    by_codes = gaussian._solved(values @ gaussian.factors.T, observed, gaussian.lengths)
    np.testing.assert_allclose(by_pixels @ gaussian.factors, by_codes @ gaussian.factors, atol=0.02)


@pytest.mark.parametrize(("options", "told"), [({"rank": 0}, "rank=0"), ({"rank": 99}, "min.*=36")])
def test_ranks_out_of_range(options, told):
    with pytest.raises(UsageError, match=told):
        fitted(source_of(planted(n=100)), **options)
