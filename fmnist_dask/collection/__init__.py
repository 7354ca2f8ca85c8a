"""The image collection: a chunked Zarr store of images, its layout, how it is read, written and committed.

``sources/`` holds one module for each kind of raw input. Nothing here knows of Dask; xarray is imported only by
:meth:`Collection.to_xarray`, so that worker processes stay small.
"""
