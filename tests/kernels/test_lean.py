"""Loading numba without SciPy's linear algebra, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PREPARE = """
import sys
import numpy as np
from fmnist_dask.kernels.lean import without_scipy_linalg

def count():
    from fmnist_dask.kernels.compiled import count_levels
    counts = np.zeros((1, 256), dtype=np.uint32)
    count_levels(np.array([[3], [3], [4]], np.uint8), np.arange(3), counts)
    assert counts[0, 3:5].tolist() == [2, 1]
"""

IMPORTED_LATER = """
with without_scipy_linalg():
    count()
assert "numba" in sys.modules
assert "scipy.linalg" not in sys.modules
count()
assert "scipy.linalg" not in sys.modules
import scipy.linalg
assert scipy.linalg.det(np.diag([2.0, 3.0])) == 6
count()
"""

IMPORTED_BEFORE = """
import scipy.linalg
with without_scipy_linalg():
    assert sys.modules["scipy.linalg"] is scipy.linalg
    count()
assert sys.modules["scipy.linalg"] is scipy.linalg
"""

AFTER_AN_ERROR = """
try:
    with without_scipy_linalg():
        raise KeyError
except KeyError:
    pass
import scipy.linalg
assert scipy.linalg.det(np.eye(2)) == 1
"""


@pytest.mark.parametrize(
    "code",
    [IMPORTED_LATER, IMPORTED_BEFORE, AFTER_AN_ERROR],
    ids=["imported later", "imported before", "after an error"],
)
def test_scipy_linalg(code):
    outcome = subprocess.run([sys.executable, "-c", PREPARE + code], capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
