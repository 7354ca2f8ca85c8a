"""Cold start to report on Fashion-MNIST, ingest included, against an in-memory script; ``--help``.

Once for the whole of ``explore`` against NumPy and scikit-learn, once for its first pass alone against NumPy. Both are
fresh processes that write an HTML page. The compiled kernels are in the cache of numba after the first run.
"""

from __future__ import annotations

import argparse
import json
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

    needs: list[tuple[int, int]] = []

    def ours(*more: str) -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "fmnist_dask.cli", "run", "explore", "--source", str(given.data), *more, cwd=Path(place))
            manifest = json.loads((Path(place) / "runs" / "latest" / "manifest.json").read_text(encoding="utf-8"))
            needs.append((manifest["peak_worker_bytes"], manifest["peak_driver_bytes"]))

    def script(*more: str) -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "tests.benchmarks.numpy_script", str(given.data), f"{place}/page.html", *more)

    ours()
    everything, everything_runs = median_seconds(ours, given.repeats)
    worker, driver = (max(peak[at] for peak in needs) / 1e6 for at in (0, 1))
    structure, structure_runs = median_seconds(lambda: script("structure"), given.repeats)
    plain, plain_runs = median_seconds(script, given.repeats)
    whole, whole_runs = median_seconds(lambda: ours("--only", "duplicates,pixels,properties"), given.repeats)
    quick, _ = median_seconds(lambda: call("-m", "fmnist_dask.cli", "--help"), 7)
    limit = 1.5 * plain + 6
    show(
        "cold start to report, Fashion-MNIST",
        [
            ("NumPy and scikit-learn script in memory", structure, f"runs {np.round(structure_runs, 2)}"),
            (
                "fmnist-dask run explore, ingest included",
                everything,
                f"{everything / structure:.2f} × the script; {np.round(everything_runs, 2)}; "
                f"worker {worker:.0f} MB, driver {driver:.0f} MB",
            ),
            ("NumPy script, first pass only", plain, f"runs {np.round(plain_runs, 2)}"),
            ("fmnist-dask, first pass only", whole, f"runs {np.round(whole_runs, 2)}"),
            ("1.5 × the script + 6 s", limit, f"ours takes {whole / limit:.0%} of it"),
            ("fmnist-dask --help", quick, ""),
        ],
    )


if __name__ == "__main__":
    main()
