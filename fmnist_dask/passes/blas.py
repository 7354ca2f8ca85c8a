"""One thread for matrix products: workers, and threads of our own, are the parallelism."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while anyone in this process is inside: products round differently on more.

    The limit belongs to the process, not to the thread that sets it: were each to put back what it has found, one that
    ends early would lift the limit of the others.
    """
    global _inside, _limits
    from threadpoolctl import threadpool_limits

    with _lock:
        if _inside == 0:
            _take_control()
            _limits = threadpool_limits(1, user_api="blas")
            _take_control()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _take_control()
                _limits.restore_original_limits()
                _take_control()
                _limits = None


def _take_control() -> None:
    """Let this thread set OpenBLAS's limit, whichever set it last; the lock here keeps ours apart."""
    # threadpoolctl 3.8 lets only one thread do so, and silently ignores the others.
    import threadpoolctl

    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
