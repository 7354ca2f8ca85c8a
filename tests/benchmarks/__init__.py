"""Benchmarks: ratios, both sides in one run on the same data, medians of several runs. Not part of the test suite.

Run one with ``uv run python -m tests.benchmarks.statistics_pass``.
"""
