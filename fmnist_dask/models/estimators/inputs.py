"""What estimators are given: collections, xarray, Dask and NumPy arrays, frames; as samples of one vector each."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import check_random_state, validate_data

from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.arrays import ArrayEngine, ArrayFeatures, apply_rows
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.protocol import Algorithm, Engine, Model, Readable
from fmnist_dask.passes.rows import RowFunction
from fmnist_dask.typing import AnyArray

#: Types that are worked on as they are; others become the first, as in scikit-learn.
FEATURE_TYPES = (np.float64, np.float32, np.uint8)


@dataclass(frozen=True)
class Samples:
    """The samples of one call.

    Attributes
    ----------
    values
        NumPy or Dask array of shape (n, d): uint8, float32 or float64.
    lazy
        Whether it is a Dask array.
    dress
        Turns a result of one row a sample, and the name of its second axis, into what was given (xarray or plain).
    """

    values: Any
    lazy: bool
    dress: Callable[[Any, str], Any]

    @property
    def n_features(self) -> int:
        """Values of one sample."""
        return int(self.values.shape[1])

    @property
    def result_dtype(self) -> str:
        """Of coordinates and distances: float32 stays, integers become float64."""
        return "float32" if self.values.dtype == np.float32 else "float64"

    def run(self, make: Callable[[Readable, int], Algorithm[Model]], weights: Any = None) -> Model:
        """Run an algorithm over the samples.

        Parameters
        ----------
        make
            Makes the algorithm, of source and number of samples.
        weights
            See :func:`weights_of`.
        """
        # Weighted sums go over a grid of floats, also for pixels.
        weighted_pixels = weights is not None and self.values.dtype == np.uint8
        feature_dtype = "float32" if weighted_pixels else str(self.values.dtype)
        if self.lazy:
            from fmnist_dask.passes.dask_arrays import DaskArrayEngine

            lazy_engine = DaskArrayEngine(self.values, weights, feature_dtype)
            source: Readable = lazy_engine.table
            engine: Engine = lazy_engine
        else:
            source, engine = ArrayFeatures.of(self.values, weights, feature_dtype=feature_dtype), ArrayEngine()
        # Also for what the algorithm does between its requests.
        with one_blas_thread():
            return drive(make(source, source.n), source, engine)

    def apply(self, function: RowFunction, axis: str = "") -> Any:
        """A function's result for each sample: lazy for Dask arrays, in the shape of what was given.

        Parameters
        ----------
        axis
            Name of the result's second axis, in xarray.
        """
        return self.dress(self.plain(function), axis)

    def plain(self, function: RowFunction) -> Any:
        """The same as a Dask or NumPy array."""
        if self.lazy:
            from fmnist_dask.passes import dask_arrays

            return dask_arrays.apply_rows(function, self.values)
        return apply_rows(function, self.values)

    def batches(self, size: int, least: int) -> Iterator[AnyArray]:
        """The samples, ``size`` at a time, as NumPy arrays; the last batch has at least ``least``."""
        parts = list(gen_batches(int(self.values.shape[0]), size, min_batch_size=least))
        if self.lazy:
            from fmnist_dask.passes import dask_arrays

            yield from dask_arrays.batches(self.values, parts)
        else:
            yield from (self.values[part] for part in parts)


def read(estimator: Any, given: Any, *, reset: bool, counted: bool = False, missing: bool = False) -> Samples:
    """What a method was given, as samples.

    Parameters
    ----------
    given
        A collection (all its images), an xarray DataArray, a Dask array or frame, or anything that scikit-learn takes.
        The first axis are samples, all others together features.
    reset
        Whether features are noted on the estimator rather than compared.
    counted
        Whether the number of samples must be known: Dask arrays whose chunks nobody has counted are computed once.
    missing
        Whether NaN stands for missing values, and is taken.

    Raises
    ------
    ValueError, TypeError
        With scikit-learn's words where its checks would raise.
    """
    dress: Callable[[Any, str], Any] = _plainly
    if isinstance(given, Collection):
        given = given.to_xarray().image
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(given, xarray.Dataset):
        raise TypeError(
            f"X is a Dataset with the variables {', '.join(map(str, given.data_vars))}: give one of them, for instance "
            f"dataset[{str(next(iter(given.data_vars), 'image'))!r}]"
        )
    if xarray is not None and isinstance(given, xarray.DataArray):
        dress, given = _dressed(given), given.data
    if hasattr(given, "to_dask_array"):
        given = given.to_dask_array(lengths=True if counted else None)
    if hasattr(given, "__dask_graph__") and hasattr(given, "map_blocks"):
        return Samples(_lazy(estimator, given, reset, counted), True, dress)
    if isinstance(given, np.ndarray) and given.ndim > 2:
        given = given.reshape(len(given), math.prod(given.shape[1:]))
    finite = "allow-nan" if missing else True
    values = validate_data(estimator, given, reset=reset, dtype=list(FEATURE_TYPES), ensure_all_finite=finite)
    return Samples(values, False, dress)


def with_missing(given: Any, missing: Any = None) -> Any:
    """What was given, with NaN where values are missing: float32 of 8-bit integers.

    Parameters
    ----------
    given
        As :func:`read` takes it. Pixels that a collection lacks are missing.
    missing
        True where others are: of the shape of ``given``, or of images without their channels; ``None`` for none.

    Raises
    ------
    UsageError
        Of another shape.
    """
    if isinstance(given, Collection):
        dataset = given.to_xarray()
        given = _masked(dataset.image, dataset.missing) if given.missing_pixels else dataset.image
    return given if missing is None else _masked(given, missing)


def _masked(given: Any, missing: Any) -> Any:
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(given, xarray.DataArray):
        return given.copy(data=_masked(given.data, missing))
    missing = getattr(missing, "data", missing) if hasattr(missing, "dims") else missing
    lazy = hasattr(given, "__dask_graph__")
    if hasattr(given, "to_dask_array"):
        given = given.to_dask_array(lengths=True)
    elif not lazy:
        given = np.asarray(given)
        missing = np.asarray(missing)
    if missing.ndim == given.ndim - 1 and missing.shape == given.shape[:-1]:
        missing = missing[..., None]
    if missing.shape[:-1] != given.shape[:-1] or missing.shape[-1] not in (1, given.shape[-1]):
        raise UsageError(f"missing has shape {missing.shape}, but X has {given.shape}", "give a mask for each value")
    kind = np.result_type(given.dtype, np.float32) if given.dtype.itemsize <= 4 else np.float64
    # Dask's own where, if one of them is lazy.
    return np.where(missing.astype(bool), np.asarray(np.nan, kind), given.astype(kind))


def read_codes(given: Any, width: int, names: str) -> Samples:
    """Coordinates to be turned back into features: shape (n, width).

    Raises
    ------
    ValueError
        Of another width.
    """
    dress: Callable[[Any, str], Any] = _plainly
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(given, xarray.DataArray):
        dress, given = _dressed(given), given.data
    lazy = hasattr(given, "__dask_graph__") and hasattr(given, "map_blocks")
    if not lazy:
        given = check_array(given, input_name="X", dtype=[np.float64, np.float32])
    if given.ndim != 2 or given.shape[1] != width:
        raise ValueError(f"X has shape {given.shape}, but there are {width} {names}")
    if lazy:
        from fmnist_dask.passes.dask_arrays import sample_rows

        given = sample_rows(given, _feature_type(given.dtype))
    return Samples(given, lazy, dress)


def weights_of(given: Any, samples: Samples) -> Any:
    """Weight of each sample, float64: NumPy or Dask array, or ``None``.

    Raises
    ------
    ValueError
        Not one number a sample; NaN.
    """
    if given is None:
        return None
    n = int(samples.values.shape[0])
    if isinstance(given, numbers.Number):
        return np.full(n, float(given))  # type: ignore[arg-type]
    xarray = sys.modules.get("xarray")
    if xarray is not None and isinstance(given, xarray.DataArray):
        given = given.data
    if hasattr(given, "to_dask_array"):
        given = given.to_dask_array(lengths=True)
    if not hasattr(given, "__dask_graph__"):
        given = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    elif not samples.lazy:
        given = check_array(np.asarray(given), ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if given.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    if np.isnan(given.shape[0]):
        given = given.copy().compute_chunk_sizes()
    if given.shape[0] != n:
        raise ValueError(f"sample_weight.shape == {given.shape}, expected {(n,)}!")
    return given.astype(np.float64)


def seed_of(random_state: Any) -> int:
    """A seed: an integer as it is, else drawn from the generator that scikit-learn takes ``random_state`` for."""
    generator = check_random_state(random_state)
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(generator.randint(np.iinfo(np.int32).max))


def _lazy(estimator: Any, array: Any, reset: bool, counted: bool) -> Any:
    """A Dask array as samples; what scikit-learn would refuse is refused, as far as it can be known without work."""
    from fmnist_dask.passes.dask_arrays import has_known_rows, sample_rows

    if not isinstance(array._meta, np.ndarray):
        raise TypeError(
            f"Sparse data was passed for X ({type(array._meta).__name__} blocks), but dense data is required. "
            "Use '.map_blocks(lambda block: block.toarray())' to convert to dense NumPy blocks."
        )
    if array.ndim < 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead.\nReshape your data either using array.reshape(-1, 1) "
            "if your data has a single feature or array.reshape(1, -1) if it contains a single sample."
        )
    if array.dtype.kind not in "biufO":
        raise ValueError(f"{'Complex data' if array.dtype.kind == 'c' else array.dtype} not supported")
    if any(np.isnan(size) for size in array.shape[1:]):
        raise ValueError(f"the number of features is not known: the array has shape {array.shape}")
    samples = sample_rows(array, _feature_type(array.dtype))
    if counted and not has_known_rows(samples):
        samples = samples.copy().compute_chunk_sizes()
    for size, what in zip(samples.shape, ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={samples.shape}) while a minimum of 1 is required by "
                f"{type(estimator).__name__}."
            )
    validate_data(estimator, samples, reset=reset, skip_check_array=True)
    return samples


def _feature_type(dtype: Any) -> str:
    for known in FEATURE_TYPES:
        if dtype == known:
            return np.dtype(known).name
    return np.dtype(FEATURE_TYPES[0]).name


def _plainly(result: Any, axis: str) -> Any:
    return result


def _dressed(given: Any) -> Callable[[Any, str], Any]:
    """Results as DataArrays, with the coordinates that belong to the samples of the one given."""
    sample = given.dims[0]
    coordinates = {name: values for name, values in given.coords.items() if values.dims == (sample,)}

    def dress(result: Any, axis: str) -> Any:
        dims = (sample,) if result.ndim == 1 else (sample, axis)
        return type(given)(result, dims=dims, coords=coordinates)

    return dress
