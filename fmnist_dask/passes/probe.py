"""What a process that runs tasks takes and has taken: idle memory, peak memory, bytes spilled. Runs on workers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from fmnist_dask.kernels.lean import without_scipy_linalg

#: ``madvise``'s advice that pages are not needed now; those of a file are read from it again.
MADV_DONTNEED = 4
#: Set in a process that compiles the kernels for others.
COMPILING = "FMNIST_DASK_COMPILING"
#: Holds something once this process is ready for tasks.
_prepared: list[bool] = []
#: Highest resident bytes before measuring last began anew.
_highest = [0]
#: Address of a worker in this process → bytes that it had spilled when it was asked last.
_spilled: dict[str, int] = {}


class WorkerState(TypedDict):
    """What a worker process has needed since it was made ready."""

    pid: int
    peak_bytes: int
    spilled_bytes: int


def resident_bytes(peak: bool = False) -> int:
    """Resident bytes of this process, now or at their highest."""
    try:
        field = "VmHWM:" if peak else "VmRSS:"
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    import psutil

    return int(psutil.Process().memory_info().rss)


def reset_peak() -> None:
    """Begin measuring the peak anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def take_peak() -> int:
    """Highest resident bytes since this was asked last; measuring then begins anew."""
    peak = resident_bytes(peak=True)
    _highest[0] = max(_highest[0], peak)
    reset_peak()
    return peak


def release_memory() -> None:
    """Hand freed memory back to the system, where its allocator keeps it (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def drop_library_code() -> None:
    """Let go of the machine code of shared libraries; what is used again comes back from the page cache (Linux).

    Loading a kernel runs through much of LLVM once, which leaves 60 to 90 MB of a worker's resident memory to code that
    it never needs again. Only mappings that cannot have been written to (executable, not writable) are touched.
    """
    with contextlib.suppress(OSError, AttributeError, ValueError):
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        for line in Path("/proc/self/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1] == "r-xp" and ".so" in fields[5]:
                low, high = (int(address, 16) for address in fields[0].split("-"))
                madvise(ctypes.c_void_p(low), ctypes.c_size_t(high - low), MADV_DONTNEED)


def prepare_worker(lean: bool = True) -> int:
    """Import and compile what tasks need, once a process; returns its resident bytes when idle.

    Parameters
    ----------
    lean
        Keep numba's linear algebra out of the process: right for workers that are ours alone.
    """
    from fmnist_dask.collection.store import configure_zarr

    configure_zarr()
    _compile_elsewhere()
    with without_scipy_linalg() if lean else contextlib.nullcontext():
        from fmnist_dask.kernels.warm import warm_kernels
        from fmnist_dask.passes import reductions, worker  # noqa: F401 - imported for the tasks to come

        for module in pkgutil.iter_modules(reductions.__path__):
            importlib.import_module(f"{reductions.__name__}.{module.name}")
        warm_kernels()
    gc.collect()
    release_memory()
    drop_library_code()
    reset_peak()
    _highest[0] = 0
    _prepared[:] = [True]
    return resident_bytes()


async def prepare_aside(lean: bool = True) -> int:
    """:func:`prepare_worker` beside the event loop of a worker, which goes on telling the scheduler that it lives."""
    return await asyncio.to_thread(prepare_worker, lean)


def is_prepared() -> bool:
    """Whether this process is ready for tasks."""
    return bool(_prepared)


def _compile_elsewhere() -> None:
    """Have another process compile the kernels where no cache of them is found: compiling leaves 30 MB behind."""
    with without_scipy_linalg():
        from fmnist_dask.kernels import compiled_pixels

    # The last one that is compiled; all lie in one directory.
    directory = getattr(getattr(compiled_pixels.least_above, "_cache", None), "cache_path", None)
    if directory is None or any(Path(directory).glob("compiled_pixels.least_above-*.nbi")) or COMPILING in os.environ:
        return
    code = "from fmnist_dask.passes.probe import prepare_worker; prepare_worker()"
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # then this process compiles them
        subprocess.run([sys.executable, "-c", code], env={**os.environ, COMPILING: "1"}, timeout=120, check=True)


def worker_state(dask_worker: Any = None) -> WorkerState:
    """Peak memory and spilled bytes; run through ``Client.run``, which passes the worker."""
    peak = max(_highest[0], resident_bytes(peak=True))
    return {"pid": os.getpid(), "peak_bytes": peak, "spilled_bytes": spilled_bytes(dask_worker)}


def spilled_bytes(dask_worker: Any) -> int:
    """Bytes that a worker has written to disk for want of memory, since it began."""
    metrics = getattr(getattr(dask_worker, "data", None), "cumulative_metrics", {})
    return int(dict(metrics).get(("disk-write", "bytes"), 0))


def take_spilled(dask_worker: Any) -> int:
    """Bytes that a worker has written to disk since this was asked last."""
    address, now = str(getattr(dask_worker, "address", "")), spilled_bytes(dask_worker)
    before, _spilled[address] = _spilled.get(address, 0), now
    return now - before


def probe_baseline(environment: Mapping[str, str] | None = None) -> int:
    """Resident bytes of an idle worker, measured in a process of its own that imports what workers import."""
    code = (
        "import distributed, distributed.worker, distributed.nanny, distributed.http.worker\n"
        "from fmnist_dask.passes.probe import prepare_worker\n"
        "print(prepare_worker())"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
    )
    return int(outcome.stdout.split()[-1])
