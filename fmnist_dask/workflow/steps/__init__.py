"""Steps: one module for each family, with the algorithm's call, its result as a dataset, and its part of the report.

A new step is one new module here: it registers itself with :func:`fmnist_dask.workflow.registry.step`.
"""
