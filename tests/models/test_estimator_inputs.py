"""The same samples as collections, xarray, Dask and NumPy arrays and frames: the same results, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr
from support import ArraySource, assert_same, stored

from fmnist_dask import PCA, IncrementalPCA, KMeans
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.errors import UsageError

N, SHAPE = 3000, (5, 6)


@pytest.fixture(autouse=True)
def threads() -> Any:
    """Unless a test asks for a cluster, whatever other tests have left open."""
    with dask.config.set(scheduler="threads"):
        yield


def images(dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.integers(60, 196, (6, *SHAPE))
    values = centres[rng.integers(0, 6, N)] + rng.normal(0, 25, (N, *SHAPE))
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels if dtype == "uint8" else (pixels / 7 - 3).astype(dtype)


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def unknown(values: np.ndarray) -> da.Array:
    """A Dask array of rows that nobody has counted."""
    array = da.from_array(flat(values), chunks=(700, -1))
    return array[da.ones(len(values), dtype=bool, chunks=700)]


CHUNKINGS: dict[str, Callable[[np.ndarray], Any]] = {
    "one": lambda values: da.from_array(values, chunks=-1),
    "uneven": lambda values: da.from_array(values, chunks=(1111, 5, 2)),
    "aligned": lambda values: da.from_array(flat(values), chunks=(512, 17)),
}


def results(values: Any, weights: Any = None) -> dict[str, Any]:
    """All that can be computed, as NumPy."""
    kmeans = KMeans(6, n_init=3, random_state=3).fit(values, sample_weight=weights)
    race = KMeans(6, init="k-means||", n_init=2, random_state=3).fit(values, sample_weight=weights)
    pca = PCA(4, whiten=True, random_state=0).fit(values)
    sketched = PCA(4, svd_solver="randomized", random_state=0).fit(values)
    incremental = IncrementalPCA(4).fit(values)
    codes = pca.transform(values)
    made = {
        "centres": kmeans.cluster_centers_,
        "inertia": kmeans.inertia_,
        "n_iter": kmeans.n_iter_,
        "labels": kmeans.labels_,
        "predicted": kmeans.predict(values),
        "distances": kmeans.transform(values),
        "score": kmeans.score(values, sample_weight=weights),
        "race": race.cluster_centers_,
        "components": pca.components_,
        "mean": pca.mean_,
        "variance": pca.explained_variance_,
        "codes": codes,
        "back": pca.inverse_transform(codes),
        "likelihood": pca.score_samples(values),
        "mean likelihood": pca.score(values),
        "sketched": sketched.components_,
        "incremental": incremental.components_,
        "variances": incremental.var_,
    }
    return {name: np.asarray(value) for name, value in made.items()}


@pytest.fixture(scope="module")
def reference() -> dict[tuple[str, bool], dict[str, Any]]:
    """What NumPy arrays give."""
    return {
        (dtype, weighted): results(flat(images(dtype)), weights() if weighted else None)
        for dtype, weighted in (("uint8", False), ("uint8", True), ("float32", False), ("float64", True))
    }


def weights() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, N) / 2


@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize(("dtype", "weighted"), [("uint8", False), ("float32", False), ("float64", True)])
def test_dask_arrays_of_any_chunking(reference: Any, chunking: str, dtype: str, weighted: bool) -> None:
    given = da.from_array(weights(), chunks=999) if weighted else None
    assert_same(results(CHUNKINGS[chunking](images(dtype)), given), reference[dtype, weighted])


def test_chunks_of_unknown_length_are_counted_for_a_fit(reference: Any) -> None:
    array, expected = unknown(images()), reference["uint8", False]
    found = results(array)
    assert np.isnan(array.shape[0])
    # Coordinates of lazy results go chunk by chunk: what rows stand together is not known.
    rounded = {"codes", "back", "likelihood", "mean likelihood"}
    assert_same(
        {name: found[name] for name in found if name not in rounded},
        {name: expected[name] for name in expected if name not in rounded},
    )
    for name in rounded:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "weighted"), [("uint8", True), ("float32", False)])
@pytest.mark.slow
def test_worker_processes(reference: Any, cluster: Connection, dtype: str, weighted: bool) -> None:
    array = da.from_array(images(dtype), chunks=(800, -1, -1))
    with dask.config.set(scheduler=cluster.client):
        found = results(array, weights() if weighted else None)
    assert_same(found, reference[dtype, weighted])


@pytest.mark.slow
def test_workers_do_not_import_scikit_learn(start_cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    array = da.from_array(images(), chunks=(800, -1, -1))
    with start_cluster(1) as connection, dask.config.set(scheduler=connection.client):
        results(array)
        # A function of this module would make the worker import it, and scikit-learn with it.
        (names,) = connection.client.run(eval, "sorted(__import__('sys').modules)").values()
    assert "fmnist_dask.kernels.nearest" in names
    assert "sklearn" not in names
    # Keys of fits and of lazy results differ where their tasks do.
    assert "Detected different `run_spec`" not in caplog.text


def test_images_in_memory_are_flattened(reference: Any) -> None:
    assert_same(results(images()), reference["uint8", False])


@pytest.mark.parametrize("layout", ["fortran", "strided", "read-only"])
def test_the_layout_in_memory_does_not_matter(reference: Any, layout: str) -> None:
    values = flat(images("float32"))
    if layout == "fortran":
        values = np.asfortranarray(values)
    elif layout == "strided":
        values = np.repeat(values, 2, axis=1)[:, ::2]
    else:
        values.flags.writeable = False
    assert_same(results(values), reference["float32", False])


@pytest.mark.parametrize("lazy", [False, True])
def test_data_arrays_give_data_arrays(reference: Any, lazy: bool) -> None:
    values = images()
    data = da.from_array(values, chunks=(1000, 5, 3)) if lazy else values
    given = xr.DataArray(data, dims=("sample", "y", "x"), coords={"sample": np.arange(N) * 2, "y": np.arange(5)})
    expected = reference["uint8", False]
    kmeans, pca = KMeans(6, n_init=3, random_state=3).fit(given), PCA(4, whiten=True).fit(given)
    codes, labels = pca.transform(given), kmeans.predict(given)
    assert labels.dims == kmeans.labels_.dims == ("sample",)
    assert codes.dims == ("sample", "component")
    assert kmeans.transform(given).dims == ("sample", "cluster")
    assert pca.inverse_transform(codes).dims == ("sample", "feature")
    assert set(codes.coords) == {"sample"}
    np.testing.assert_array_equal(codes["sample"], given["sample"])
    assert (codes.chunks is not None) == (labels.chunks is not None) == lazy
    np.testing.assert_array_equal(codes, expected["codes"])
    np.testing.assert_array_equal(labels, expected["predicted"])
    np.testing.assert_array_equal(pca.inverse_transform(codes), expected["back"])


def test_collections_are_their_images(reference: Any, tmp_path: Path) -> None:
    collection = stored(ArraySource(images(), None, {"train": N}), tmp_path / "store.zarr")
    expected = reference["uint8", False]
    kmeans, pca = KMeans(6, n_init=3, random_state=3).fit(collection), PCA(4, whiten=True).fit(collection)
    assert kmeans.inertia_ == expected["inertia"]
    assert kmeans.labels_.chunks == ((256,) * 11 + (184,),)
    np.testing.assert_array_equal(kmeans.labels_, expected["labels"])
    np.testing.assert_array_equal(pca.transform(collection), expected["codes"])


def test_frames_have_names() -> None:
    frame = pd.DataFrame(flat(images("float64"))[:, :4], columns=list("abcd"))
    kmeans, pca = KMeans(3, random_state=0).fit(frame), PCA(2).fit(frame)
    assert list(kmeans.feature_names_in_) == list("abcd")
    assert list(pca.get_feature_names_out()) == ["pca0", "pca1"]
    assert list(kmeans.get_feature_names_out()) == ["kmeans0", "kmeans1", "kmeans2"]
    np.testing.assert_array_equal(kmeans.labels_, KMeans(3, random_state=0).fit(frame.to_numpy()).labels_)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        kmeans.predict(da.from_array(frame.to_numpy(), chunks=500))
    pandas = pca.set_output(transform="pandas").transform(frame)
    assert list(pandas.columns) == ["pca0", "pca1"]


def test_results_for_dask_arrays_are_lazy() -> None:
    calls = []

    def noted(block: np.ndarray) -> np.ndarray:
        calls.append(len(block))
        return block

    values = flat(images("float32"))
    array = da.from_array(values, chunks=(1000, -1)).map_blocks(noted, dtype="float32", meta=np.empty((0, 30), "f4"))
    kmeans, pca = KMeans(6, n_init=1, random_state=0).fit(array), PCA(4).fit(array)
    calls.clear()
    lazy = [kmeans.labels_, kmeans.predict(array), kmeans.transform(array), pca.transform(array)]
    lazy.append(pca.inverse_transform(lazy[-1]))
    assert not calls
    assert all(isinstance(result, da.Array) for result in lazy)
    for result in lazy:
        assert result.chunks[0] == (1000, 1000, 1000)
        computed = result.compute()
        assert computed.dtype == result.dtype == result._meta.dtype
        assert computed.shape == result.shape
    assert [result.dtype.name for result in lazy] == ["int32", "int32", "float32", "float32", "float32"]
    assert pca.transform(array.astype(np.int16)).dtype == np.float64
    assert np.isnan(pca.transform(unknown(values)).shape[0])


def test_a_pass_reads_a_dask_array_once() -> None:
    calls = []

    def noted(block: np.ndarray) -> np.ndarray:
        calls.append(len(block))
        return block

    array = da.from_array(flat(images()), chunks=(1000, -1)).map_blocks(
        noted, dtype=np.uint8, meta=np.empty((0, 30), "u1")
    )
    PCA(3).fit(array)
    assert sum(calls) == N


@pytest.mark.parametrize("make", [lambda: KMeans(3), lambda: PCA(2), lambda: IncrementalPCA(2)])
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (scipy.sparse.csr_array(np.eye(9)), TypeError, "Sparse data was passed for X, but dense data is required"),
        (da.from_array(np.eye(9)).map_blocks(scipy.sparse.csr_array), TypeError, "Sparse data was passed for X"),
        (np.array([[1.0, np.nan]] * 5), ValueError, "Input X contains NaN"),
        (da.from_array(np.array([[1.0, np.nan]] * 5)), ValueError, "values are NaN or infinity, the first in row 0"),
        (np.zeros(5), ValueError, "Expected 2D array, got 1D array instead"),
        (da.zeros(5), ValueError, "Expected 2D array, got 1D array instead"),
        (np.zeros((0, 3)), ValueError, "Found array with 0 sample"),
        (da.zeros((0, 3)), ValueError, "Found array with 0 sample"),
        (da.zeros((5, 0)), ValueError, "Found array with 0 feature"),
        (da.zeros((5, 3), dtype=complex), ValueError, "Complex data not supported"),
        (np.full((9, 2), 1e200), ValueError, "their squares overflow"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(make: Any, given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make().fit(given)


def test_other_features_than_in_the_fit_are_refused() -> None:
    kmeans = KMeans(2, random_state=0).fit(flat(images()))
    with pytest.raises(ValueError, match="X has 4 features, but KMeans is expecting 30 features as input"):
        kmeans.predict(da.zeros((9, 4)))
    pca = PCA(2).fit(flat(images()))
    with pytest.raises(ValueError, match=r"X has shape \(9, 4\), but there are 2 components"):
        pca.inverse_transform(np.zeros((9, 4)))


def test_values_that_are_no_numbers_show_when_a_lazy_result_is_computed() -> None:
    values = flat(images("float32"))
    model = KMeans(2, random_state=0).fit(values)
    values[2000, 3] = np.nan
    lazy = model.predict(da.from_array(values, chunks=1000))
    with pytest.raises(UsageError, match="Input X contains NaN"):
        lazy.compute()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.score(da.from_array(values, chunks=1000))


@pytest.mark.parametrize("estimator", [KMeans(2), PCA(1), IncrementalPCA(1)], ids=lambda each: type(each).__name__)
def test_a_dataset_is_refused_by_the_names_of_its_variables(estimator: Any) -> None:
    with pytest.raises(TypeError, match=r"variables image, label: give one of them, for instance dataset\['image'\]"):
        estimator.fit(xr.Dataset({"image": (("sample", "x"), np.zeros((3, 2))), "label": ("sample", [0, 1, 2])}))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        estimator.fit(np.zeros((0, 4, 4), np.uint8))


def test_weights_from_a_column_of_a_frame() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((60, 3)), columns=["a", "b", "weight"])
    lazy = dd.from_pandas(frame, npartitions=3)
    expected = KMeans(2, random_state=0).fit(frame[["a", "b"]], sample_weight=frame.weight)
    found = KMeans(2, random_state=0).fit(lazy[["a", "b"]], sample_weight=lazy.weight)
    np.testing.assert_array_equal(found.cluster_centers_, expected.cluster_centers_)
