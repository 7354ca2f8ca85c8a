"""The estimator of low-rank models: closed forms, other packages' solutions, missing values, batches, any input."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn import decomposition
from sklearn.base import clone
from support import some_slow, stored

from fmnist_dask import LowRankModel
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.errors import UsageError

N, D, K = 1200, 30, 4


@pytest.fixture(autouse=True)
def threads():
    with dask.config.set(scheduler="threads"):
        yield


def planted(noise: float = 0.3, shift: float = 5.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((N, K)) @ rng.standard_normal((K, D)) + shift + noise * rng.standard_normal((N, D))


def best_error(missing: np.ndarray, noise: float = 0.3) -> float:
    """Of the values of :func:`planted` that are missing, filled in by who knows how they were made."""
    rng = np.random.default_rng(0)
    rng.standard_normal((N, K))
    parts, values = 3 * rng.standard_normal((K, D)), planted(noise) - 5
    squares = 0.0
    for row, gone in zip(values, missing, strict=True):
        there = parts[:, ~gone]
        codes = np.linalg.solve(there @ there.T + noise**2 * np.eye(K), there @ row[~gone])
        squares += np.square(codes @ parts[:, gone] - row[gone]).sum()
    return float(np.sqrt(squares / missing.sum()))


def positive(seed: int = 1) -> np.ndarray:
    """Sums of four parts, none of them negative."""
    rng = np.random.default_rng(seed)
    parts = rng.random((K, D)) * (rng.random((K, D)) < 0.4) + 0.01
    return rng.gamma(0.7, 1.0, (N, K)) @ parts + 0.02 * rng.random((N, D))


def holes(fraction: float = 0.2, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((N, D)) < fraction


def error(model: LowRankModel, values: np.ndarray, missing: np.ndarray) -> float:
    """Of the values that were missing."""
    filled = model.impute(values, missing=missing)
    np.testing.assert_array_equal(filled[~missing], values[~missing])
    return float(np.sqrt(np.square(filled - values)[missing].mean()))


def test_complete_samples_give_probabilistic_pca():
    values = planted()
    model, reference = LowRankModel(K).fit(values), decomposition.PCA(K).fit(values)
    assert model.engine_ == "pairs"
    assert model.exact_
    # Probabilistic PCA divides by n, scikit-learn by n − 1.
    variance = reference.explained_variance_ * (N - 1) / N
    noise = reference.noise_variance_ * (N - 1) / N
    assert model.noise_variance_ == pytest.approx(noise, rel=1e-9)
    wanted = np.sqrt(variance - noise)[:, None] * reference.components_
    signs = np.sign(np.einsum("kd,kd->k", wanted, model.components_))
    np.testing.assert_allclose(model.components_, wanted * signs[:, None], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(model.mean_, values.mean(axis=0), rtol=1e-12)
    codes = (values - model.mean_) @ wanted.T / variance * signs
    np.testing.assert_allclose(model.transform(values), codes, atol=1e-4)
    np.testing.assert_allclose(model.inverse_transform(codes), codes @ model.components_ + model.mean_, rtol=1e-6)
    np.testing.assert_allclose(model.reconstruct(values), model.inverse_transform(codes), atol=1e-3)


def test_quadratic_regularization_takes_the_threshold_off_singular_values():
    """The closed form, and that no turn of codes and archetypes is better."""
    values = planted(shift=0.0)
    both = {"regularization_x": "quadratic", "regularization_y": "quadratic", "gamma_x": 200.0, "gamma_y": 50.0}
    model = LowRankModel(K, **both).fit(values)
    left, lengths, right = np.linalg.svd(values, full_matrices=False)
    kept = np.maximum(lengths[:K] - 100.0, 0)
    np.testing.assert_allclose(model.reconstruct(values), left[:, :K] * kept @ right[:K], atol=2e-3)
    codes = np.asarray(model.transform(values))
    objective = np.square(values - codes @ model.components_).sum()
    objective += 200 * np.square(codes).sum() + 50 * np.square(model.components_).sum()
    assert model.objective_history_[-1] == pytest.approx(objective, rel=1e-5)
    turns = LowRankModel(K, **both, init="random", random_state=0, tol=1e-9).fit(values)
    assert turns.engine_ == "codes"
    assert turns.objective_history_[-1] == pytest.approx(objective, rel=1e-4)
    np.testing.assert_allclose(turns.components_, model.components_, atol=0.02)


@pytest.mark.slow
def test_nonnegative_models_are_as_good_as_scikit_learns():
    values = positive()
    model = LowRankModel(
        K, regularization_x="non-negative", regularization_y="non-negative", max_iter=400, tol=1e-7
    ).fit(values)
    assert model.engine_ == "codes"
    assert not model.exact_
    codes = model.transform(values)
    assert (codes >= 0).all()
    assert (model.components_ >= 0).all()
    theirs = decomposition.NMF(K, init="nndsvda", solver="cd", max_iter=2000, tol=1e-5).fit(values)
    assert np.square(values - codes @ model.components_).sum() <= 1.01 * theirs.reconstruction_err_**2
    assert model.objective_history_[-1] == pytest.approx(np.square(values - codes @ model.components_).sum(), rel=1e-3)
    assert np.all(np.diff(model.objective_history_) <= 1e-6 * model.objective_history_[0])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("none", "non-negative"),
        pytest.param("non-negative", "none", marks=pytest.mark.slow),
        pytest.param("non-negative", "non-negative", marks=pytest.mark.slow),
    ],
)
def test_the_objective_of_constrained_models_never_rises_and_values_are_filled_in(x, y):
    values, missing = positive(), holes()
    model = LowRankModel(K, regularization_x=x, regularization_y=y, max_iter=150, tol=1e-6).fit(values, missing=missing)
    assert np.all(np.diff(model.objective_history_) <= 1e-5 * model.objective_history_[0])
    assert (model.components_ >= 0).all() or y == "none"
    assert (model.transform(values, missing=missing) >= 0).all() or x == "none"
    assert error(model, values, missing) < 0.1 * values.std()


def test_codes_that_must_not_be_negative_are_the_least_squares_that_are_not():
    from scipy.optimize import nnls

    values, missing = positive(), holes(0.4)
    model = LowRankModel(K, regularization_x="non-negative", regularization_y="non-negative").fit(values)
    codes = model.transform(values, missing=missing)
    for row in (0, 7, 500, 1199):
        there = ~missing[row]
        wanted = nnls(model.components_[:, there].T, values[row, there])[0]
        np.testing.assert_allclose(codes[row], wanted, atol=2e-3 * max(wanted.max(), 1))


def test_missing_values_are_filled_in_within_the_noise():
    values, missing = planted(), holes()
    best = best_error(missing)
    for options in ({}, {"init": "random", "random_state": 0}, {"batch_size": 100}):
        model = LowRankModel(K, **options).fit(values, missing=missing)
        assert error(model, values, missing) < 1.03 * best
        filled, deviation = model.impute(values, missing=missing, return_std=True)
        assert (deviation[~missing] == 0).all()
        within = np.abs(filled - values)[missing] <= 1.96 * deviation[missing]
        assert 0.92 < within.mean() < 0.98
    # Least squares about zero: a direction for the mean.
    model = LowRankModel(K + 1, regularization_x="none").fit(values, missing=missing)
    assert error(model, values, missing) < 1.1 * best


def test_nan_and_a_mask_are_the_same():
    values, missing = planted(), holes()
    said, seen = LowRankModel(K).fit(values, missing=missing), LowRankModel(K).fit(np.where(missing, np.nan, values))
    np.testing.assert_array_equal(said.components_, seen.components_)
    np.testing.assert_array_equal(
        said.transform(values, missing=missing), seen.transform(np.where(missing, np.nan, values))
    )


@pytest.mark.parametrize("gone", some_slow(["a feature", "a region"], ["half", "most", "a sample"]))
def test_whatever_is_missing_results_are_numbers(gone):
    values = planted()
    missing = holes({"half": 0.5, "most": 0.9}.get(gone, 0.1))
    if gone == "a feature":
        missing[:, 3] = True
    elif gone == "a sample":
        missing[17] = True
    elif gone == "a region":
        missing[: N // 2, :10] = True
    for options in ({}, {"init": "random", "random_state": 1}, {"batch_size": 300}, {"regularization_x": "none"}):
        model = LowRankModel(K, **options).fit(values, missing=missing)
        filled, deviation = model.impute(values, missing=missing, return_std=True)
        assert np.isfinite(filled).all()
        assert np.isfinite(deviation).all()
        assert np.isfinite(model.transform(values, missing=missing)).all()
        assert np.isfinite(model.components_).all()


def test_batches_add_up_to_all_samples():
    values, missing = planted(), holes()
    with_holes = np.where(missing, np.nan, values)
    for given in (values, with_holes):
        parts = LowRankModel(K, max_iter=0)
        for start in range(0, N, 250):
            parts.partial_fit(given[start : start + 250])
        whole = LowRankModel(K, max_iter=0).fit(given)
        assert parts.engine_ == "batches"
        assert parts.n_samples_seen_ == N
        assert parts.exact_ == whole.exact_ == (given is values)
        np.testing.assert_allclose(parts.components_, whole.components_, rtol=1e-7, atol=1e-8)
        assert parts.noise_variance_ == pytest.approx(whole.noise_variance_, rel=1e-7)


@pytest.mark.slow
def test_batches_of_codes_come_near_to_passes_over_all():
    values, missing = positive(), holes()
    both = {"regularization_x": "non-negative", "regularization_y": "non-negative", "random_state": 0}
    slow = LowRankModel(K, **both, max_iter=300, tol=1e-6).fit(values, missing=missing)
    quick = LowRankModel(K, **both, batch_size=60).fit(values, missing=missing)
    assert quick.engine_ == "batches"
    assert len(quick.objective_history_) == N // 60 + 1
    # Twenty batches are few; forty thousand samples come within a fiftieth (see the benchmarks).
    assert error(slow, values, missing) < error(quick, values, missing) < 0.12 * values.std()
    streamed = LowRankModel(K, **both)
    for start in range(0, N, 60):
        streamed.partial_fit(values[start : start + 60], missing=missing[start : start + 60])
    assert streamed.n_samples_seen_ == N
    assert error(streamed, values, missing) < 0.3 * values.std()


def test_rare_features_are_not_drawn_to_zero_by_batches():
    """Of a feature that one sample in ten has, the scale is that of its values, not a tenth of it."""
    values = planted()
    missing = np.zeros((N, D), bool)
    missing[:, 5] = np.random.default_rng(0).random(N) < 0.9
    quick = LowRankModel(K, init="random", random_state=0, batch_size=100).fit(values, missing=missing)
    filled, truth = quick.impute(values, missing=missing)[missing[:, 5], 5], values[missing[:, 5], 5]
    assert np.polyfit(truth - truth.mean(), filled - filled.mean(), 1)[0] == pytest.approx(1, abs=0.15)
    assert np.sqrt(np.square(filled - truth).mean()) < 0.25 * truth.std()


@pytest.mark.parametrize("transform", ["none", "demean", "standardize", "normalize"])
def test_transforms_are_undone_and_constant_features_are_safe(transform):
    values, missing = planted() * np.geomspace(1, 50, D), holes()
    values[:, 2] = 7.0
    for options in (
        {},
        {"init": "random", "random_state": 0},
        {"batch_size": 100, "init": "random", "random_state": 0},
    ):
        model = LowRankModel(K, transform=transform, **options)
        model.fit(values, missing=missing)
        np.testing.assert_allclose(model.impute(values, missing=missing)[:, 2], 7.0, rtol=1e-5)
        scaled = np.square((model.impute(values, missing=missing) - values) / np.geomspace(1, 50, D))
        assert np.sqrt(scaled[missing].mean()) < 2.5


INPUTS = {
    "dask": lambda values: da.from_array(values, chunks=(173, 11)),
    "one chunk": lambda values: da.from_array(values, chunks=-1),
    "xarray": lambda values: xr.DataArray(values, dims=("sample", "feature")),
    "frame": lambda values: pd.DataFrame(values),
    "list": lambda values: values.tolist(),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("options", [{}, {"regularization_x": "non-negative", "max_iter": 5, "random_state": 0}])
def test_any_input_and_chunks_give_the_same_to_the_last_bit(kind, options):
    values = np.where(holes(), np.nan, positive())
    given = INPUTS[kind](values)
    expected, found = LowRankModel(K, **options).fit(values), LowRankModel(K, **options).fit(given)
    np.testing.assert_array_equal(found.components_, expected.components_)
    assert found.objective_history_ == expected.objective_history_
    filled = found.impute(given)
    assert isinstance(filled, da.Array) == (kind in ("dask", "one chunk"))
    assert isinstance(filled, xr.DataArray) == (kind == "xarray")
    np.testing.assert_array_equal(np.asarray(filled), expected.impute(values))
    np.testing.assert_array_equal(np.asarray(found.transform(given)), expected.transform(values))


def test_collections_bring_their_missing_pixels(tmp_path):
    rng = np.random.default_rng(0)
    image = np.rint(128 + (planted(3.0, 0.0) * 3).clip(-120, 120)).astype(np.uint8).reshape(N, 5, 6)
    missing = rng.random((N, 5, 6)) < 0.1
    np.save(tmp_path / "some.npy", np.where(missing, np.nan, image))
    collection = stored(open_source(tmp_path / "some.npy"), tmp_path / "some.zarr")
    model = LowRankModel(K).fit(collection)
    expected = LowRankModel(K).fit(image, missing=missing)
    np.testing.assert_array_equal(model.components_, expected.components_)
    filled = np.asarray(model.impute(collection)).reshape(image.shape)
    np.testing.assert_array_equal(filled[~missing], image[~missing])
    assert np.sqrt(np.square(filled - image)[missing].mean()) < 11  # noise of 9


def test_pixels_without_holes_are_summed_as_integers():
    image = np.random.default_rng(0).integers(0, 256, (700, 40), dtype=np.uint8)
    model = LowRankModel(3, regularization_x="none").fit(image)
    lengths = np.linalg.svd(image.astype(np.float64))[1]
    assert model.objective_history_ == [pytest.approx(np.square(lengths[3:]).sum(), rel=1e-12)]


def test_more_features_than_pairs_fit_are_modelled_by_codes():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 5000)) + 0.1 * rng.standard_normal((300, 5000))
    missing = rng.random(values.shape) < 0.2
    model = LowRankModel(3, random_state=0).fit(values.astype(np.float32), missing=missing)
    assert model.engine_ == "codes"
    filled = model.impute(values, missing=missing)
    assert np.sqrt(np.square(filled - values)[missing].mean()) < 0.12
    assert model.noise_variance_ == pytest.approx(0.01, rel=0.1)


def test_archetypes_to_begin_with_can_be_given():
    values = positive()
    start = np.abs(np.random.default_rng(0).standard_normal((K, D)))
    both = {"regularization_x": "non-negative", "regularization_y": "non-negative"}
    model = LowRankModel(K, init=start, **both).fit(values)
    assert np.all(np.diff(model.objective_history_) <= 0)
    for wrong, words in ((start[:2], "shape"), (-start, "negative")):
        with pytest.raises(UsageError, match=words):
            LowRankModel(K, init=wrong, **both).fit(values)


def test_the_parameter_and_the_method_of_one_name_live_together():
    model = LowRankModel(3, transform="standardize")
    assert model.get_params()["transform"] == "standardize"
    assert clone(model).set_params(transform="demean").get_params()["transform"] == "demean"
    assert "transform='standardize'" in repr(model)
    assert callable(model.transform)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 31}, "rank=31"),
        ({"rank": 0}, "rank"),
        ({"loss": "huber"}, "loss"),
        ({"regularization_x": "l1"}, "regularization_x"),
        ({"regularization_y": "noise"}, "regularization_y"),
        ({"transform": "log"}, "'transform' parameter of LowRankModel must be .* Got 'log'"),
        ({"regularization_x": "quadratic", "gamma_x": 2.0}, "gamma_x=2 and gamma_y=0"),
        ({"gamma_y": -1.0, "regularization_y": "quadratic"}, "gamma_y"),
        ({"init": "kmeans"}, "init"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_iter": -1}, "max_iter"),
    ],
)
def test_wrong_parameters_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        LowRankModel(**{"rank": K} | options).fit(planted())


def test_what_cannot_be_worked_with_is_said():
    values = planted()
    with pytest.raises(ValueError, match="infinity"):
        LowRankModel(K).fit(np.where(values > 12, np.inf, values))
    with pytest.raises(UsageError, match="all values are missing"):
        LowRankModel(K).fit(np.full((20, D), np.nan))
    with pytest.raises(UsageError, match=r"missing has shape \(3,\)"):
        LowRankModel(K).fit(values, missing=np.zeros(3, bool))
    with pytest.raises(UsageError, match="min_value=3 is not below max_value=2"):
        LowRankModel(K).fit(values).impute(values, min_value=3, max_value=2)
    with pytest.raises(AttributeError, match="before it is fitted"):
        LowRankModel(K).components_  # noqa: B018
