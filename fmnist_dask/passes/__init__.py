"""Passes over a collection: what one pass computes (``Reduction``, ``Column``, ``Scan``) and the engines that run it.

``protocol`` says what algorithms ask for, ``worker`` runs one task of a pass, ``sizing`` cuts a pass into tasks and
states their memory, ``local`` runs passes in this process and ``distributed`` on a Dask cluster. ``segments`` keeps the
states of row ranges of long passes, in the files of ``encoding``, under the names of ``identity``. ``reductions/`` is
the library. ``ledger`` measures in each worker where the time of a pass goes; ``account`` is what the engine makes of
it. Workers import ``protocol``, ``worker`` and ``reductions``: these import NumPy, zarr and the kernels only.
"""
