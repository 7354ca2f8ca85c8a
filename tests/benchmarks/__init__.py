"""Benchmarks: ours beside other packages, both sides in one run on the same data, medians of several runs.

``uv run --extra bench python -m tests.benchmarks`` runs all chapters and writes a book of them; ``--help`` tells the
rest. A chapter is a module with ``chapter(settings, options)``, which yields rows (see ``rows.py``) as they are
measured, and ``BY_SIZE``, its options for each size (``tiny``, ``usual``, ``large``); its name stands in
``book.CHAPTERS``. It runs alone, too: ``uv run python -m tests.benchmarks.statistics_pass --help``. The test suite runs
all of them at size ``tiny``, so that they go on working; the times of that mean nothing.
"""
