"""What plans say of the shipped workflows beside what runs then take: seconds, and memory of a worker.

Each plan and each run is a process of its own, on two workers, the run right after its plan. Collections are ingested
by the run, as planned. Times of steps are those of their passes and calls, which others may share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.common import fashion_files, fashion_name
from tests.benchmarks.rows import Row, beside_base
from tests.benchmarks.settings import Options, Settings, alone

#: Workflows that have a source of their own.
OWN_SOURCE = ("quantize",)
SHIPPED = ("explore", "cluster", "lowrank", "map", "quantize")


@dataclass(frozen=True)
class PlansBenchmark(Options):
    """Which workflows."""

    repeats: int = 1
    workflows: tuple[str, ...] = field(default=SHIPPED, metadata={"choices": SHIPPED, "help": "which workflows"})


BY_SIZE = {"tiny": PlansBenchmark(workflows=("explore",)), "usual": PlansBenchmark()}


def called(place: Path, *command: str) -> dict[str, Any]:
    """What a command of ours prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "fmnist_dask.cli", *command, "--json"],
        cwd=place,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def chapter(settings: Settings, options: PlansBenchmark) -> Iterator[Row]:
    """Plan, run, compare; one workflow after the other."""
    data = fashion_files(settings)
    for name in options.workflows:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            cluster = place / "two.yaml"
            cluster.write_text("kwargs: {threads_per_worker: 1, dashboard_address: '127.0.0.1:0'}\nscale: 2\n")
            source = () if name in OWN_SOURCE else ("--source", str(data))
            command = (name, *source, "--cluster", str(cluster))
            plan = called(place, "plan", *command)
            run = called(place, "run", *command)
            yield from compared(name, "" if name in OWN_SOURCE else f", {fashion_name(settings)}", plan, run)


def compared(name: str, of: str, plan: dict[str, Any], run: dict[str, Any]) -> Iterator[Row]:
    """Time and memory of one workflow."""
    n = run["source"]["n"]
    parts = ", ".join(f"{part} {plan['seconds'][part]:.1f} s" for part in ("startup", "ingest", "work", "results"))
    untimed = f"; not counted: {', '.join(plan['untimed'])}" if plan["untimed"] else ""
    told = f"planned: {parts}{untimed}; {plan['passes']} passes planned, {run['passes']} made"
    yield beside_base(f"{name}{of}: time", run["seconds"], "its plan", plan["seconds"]["total"], n, remark=told)
    peak, planned = run["peak_worker_bytes"] / 1e6, plan["peak_worker_bytes"] / 1e6
    told = f"spilled {run['spilled_bytes']} bytes, {run['worker_restarts']} restarts"
    yield beside_base(f"{name}{of}: memory of a worker", peak, "its plan", planned, n, unit="MB", remark=told)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "plans")
