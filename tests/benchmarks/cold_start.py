"""Cold start to report on Fashion-MNIST, ingest included, against an in-memory script; ``--help``.

Once for the whole of ``explore`` against NumPy and scikit-learn, once for its first pass alone against NumPy. Both are
fresh processes that write an HTML page. The compiled kernels are in the cache of numba after the first run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.common import fashion_files, fashion_name
from tests.benchmarks.rows import Row, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone, parts

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ColdStartBenchmark(Options):
    """Parts, and starts of the command line alone."""

    parts: tuple[str, ...] = parts("everything", "first")
    helps: int = 7


BY_SIZE = {"tiny": ColdStartBenchmark(1, ("everything",), 1), "usual": ColdStartBenchmark()}


def call(*command: str, cwd: Path = ROOT) -> None:
    """A process of Python's; what it prints is not shown."""
    subprocess.run([sys.executable, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def chapter(settings: Settings, options: ColdStartBenchmark) -> Iterator[Row]:
    """Both sides in turn."""
    settings.directory.mkdir(parents=True, exist_ok=True)
    data = fashion_files(settings)
    needs: list[tuple[float, float]] = []
    images: list[int] = []

    def ours(*more: str) -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "fmnist_dask.cli", "run", "explore", "--source", str(data), *more, cwd=Path(place))
            manifest = json.loads((Path(place) / "runs" / "latest" / "manifest.json").read_text(encoding="utf-8"))
            needs.append((manifest["peak_worker_bytes"] / 1e6, manifest["peak_driver_bytes"] / 1e6))
            images.append(manifest["source"]["n"])

    def script(*more: str) -> None:
        with tempfile.TemporaryDirectory() as place:
            call("-m", "tests.benchmarks.numpy_script", str(data), f"{place}/page.html", *more)

    if not settings.tiny:
        ours()  # compiles
        needs.clear()
    repeats, name = options.repeats, fashion_name(settings)
    if "everything" in options.parts:
        everything = timed(ours, repeats)
        worker, driver = (max(peak[at] for peak in needs) for at in (0, 1))
        structure = timed(lambda: script("structure"), repeats)
        told = f"ingest included; worker {worker:.0f} MB, driver {driver:.0f} MB"
        by, n = "script of the same analysis in memory, NumPy and scikit-learn", images[0]
        what = f"explore of {name}, cold start to report"
        yield beside_peer(what, everything, "scikit-learn", by, structure, n, remark=told)
        quick = timed(lambda: call("-m", "fmnist_dask.cli", "--help"), options.helps)
        yield beside_base("fmnist-dask --help", quick, "explore", everything, n)
    if "first" in options.parts:
        plain = timed(script, repeats)
        first = timed(lambda: ours("--only", "duplicates,pixels,properties"), repeats)
        yield beside_peer(f"its first three steps, {name}", first, "NumPy", "script in memory", plain, images[-1])
        limit = 1.5 * plain.value + 6
        yield beside_base("its first three steps", first, "1.5 × the script + 6 s", limit, images[-1])


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "cold_start")
