"""Algorithms as generators of scans, without Dask, and what they return.

An algorithm yields the :class:`~fmnist_dask.passes.protocol.Scan` that it needs next and returns a model: a small
object of NumPy arrays. Workflow steps turn models into datasets; :func:`fmnist_dask.passes.local.drive` runs an
algorithm alone.
"""
