"""Loading numba without what these kernels do not use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_scipy_linalg() -> Iterator[None]:
    """Keep numba from importing SciPy's linear algebra when the first kernel is called inside this block.

    numba looks for a BLAS then, for ``np.dot`` in compiled code; no kernel here uses it, and the import costs every
    worker 17 MB and 0.4 s. Where SciPy's linear algebra is there already, nothing changes.
    """
    name = "scipy.linalg"
    if name in sys.modules:
        yield
        return
    # Importing it fails now, which numba takes for "no BLAS".
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(name, ...) is None:
            del sys.modules[name]
