"""When a finished step may be used again: its inputs, parameters, version and libraries are the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from typing import Any

from fmnist_dask.workflow.model import StepSpec, Workflow
from fmnist_dask.workflow.registry import Step

#: Packages whose versions manifests record.
RECORDED = ("fmnist-dask", "numpy", "numba", "scipy", "scikit-learn", "dask", "distributed", "zarr", "xarray", "bokeh")


def digest(value: Any, size: int = 16) -> str:
    """Hex digest of a JSON value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=size).hexdigest()


def run_suffix(workflow: Workflow, source_fingerprint: str) -> str:
    """Eight hex digits that tell runs of one workflow and source name apart."""
    return digest([workflow.resolved(), source_fingerprint], 4)


def step_fingerprint(step: Step, spec: StepSpec, collection: str, seed: int, inputs: Mapping[str, str]) -> str:
    """What a step's result depends on.

    Parameters
    ----------
    collection
        The collection's fingerprint.
    inputs
        Fingerprints of the steps that it works on or needs.
    """
    return digest(
        {
            "step": step.name,
            "version": step.version,
            "parameters": spec.parameters,
            "split": spec.split,
            "on": spec.on,
            "mask": spec.mask.model_dump() if spec.mask else None,
            "collection": collection,
            "seed": seed,
            "inputs": dict(inputs),
            "libraries": {name: importlib.metadata.version(name) for name in step.libraries_of(spec.parameters)},
        }
    )


def recorded_versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    versions = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def cpu_name() -> str:
    """The processor, as the system calls it: floating-point results are bit-identical on one architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def blas_names() -> list[str]:
    """Libraries for matrix products of NumPy and SciPy, with the kernels that they chose for this processor."""
    import scipy.linalg  # noqa: F401 - brings its own beside NumPy's
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return sorted({" ".join(str(library.get(key, "")) for key in ("internal_api", "version", "architecture")).strip()
                   for library in found})  # fmt: skip
