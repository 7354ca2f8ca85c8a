"""scikit-learn estimators around the algorithms, for NumPy, Dask and xarray arrays and for collections.

Everything of Dask and xarray is behind :mod:`fmnist_dask.models.estimators.inputs`; the algorithms themselves know
neither. Importing this package imports scikit-learn, which workers never need.
"""
