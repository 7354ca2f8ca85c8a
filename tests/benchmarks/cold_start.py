"""Cold start to report on Fashion-MNIST, ingest included, against the NumPy script; ``--help``; an idle worker.

Both sides are fresh processes that write an HTML page. The compiled kernels are in numba's cache after the first run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.common import median_seconds, show


def main() -> None:
    """Run both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("FMNIST_DASK_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(data) / "fashion-mnist" if data else None, required=not data)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    root = Path(__file__).resolve().parents[2]

    def call(*command: str, cwd: Path = root) -> None:
        subprocess.run([sys.executable, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)

    def ours() -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "fmnist_dask.cli", "run", "explore", "--source", str(given.data), cwd=Path(place))

    def script() -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "tests.benchmarks.numpy_script", str(given.data), f"{place}/page.html")

    ours()
    script()
    plain, plain_runs = median_seconds(script, given.repeats)
    whole, whole_runs = median_seconds(ours, given.repeats)
    quick, _ = median_seconds(lambda: call("-m", "fmnist_dask.cli", "--help"), 7)
    limit = 1.5 * plain + 6
    show(
        "cold start to report, Fashion-MNIST",
        [
            ("NumPy script in memory", plain, f"runs {np.round(plain_runs, 2)}"),
            ("fmnist-dask run explore, ingest included", whole, f"runs {np.round(whole_runs, 2)}"),
            ("1.5 × the script + 6 s", limit, f"ours takes {whole / limit:.0%} of it"),
            ("fmnist-dask --help", quick, ""),
        ],
    )


if __name__ == "__main__":
    main()
