"""Functions on one block of NumPy arrays: the mathematics, without Dask, xarray, files or global random state.

What lives here may import NumPy, SciPy, numba and xxhash, and nothing else of this package but ``typing``.
"""
