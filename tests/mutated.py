"""Opens and ingests damaged inputs in a process: ``python mutated.py FIRST STOP [STEP]``; a line for each."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from crafted import CRAFTED, UNPICKLED
from mutating import KINDS, Files, base, damaged_blindly, place

from fmnist_dask.collection.planning import plan_ingest
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import FmnistDaskError, MemoryLimitError
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.workflow.steps.ingest import all_rows, ingest

#: What a worker may take beyond what it needs when idle, in bytes.
LIMIT = 512 << 20
#: Options under which whatever is an image becomes a row, and those of someone who gives none.
OPTIONS: tuple[dict[str, Any], ...] = ({}, {"size": "8x8", "mode": "gray"})
ENCODED = ("parquet", "folder", "flat", "tar", "jpeg", "webp", "bmp", "gif", "tiff", "png")


def options_of(kind: str, number: int) -> dict[str, Any]:
    return OPTIONS[number % 2] if kind.startswith(ENCODED) else {}


def memory(field: str) -> int:
    """Memory of this process: what it holds (``VmRSS``), or the most since :func:`forget_peak` (``VmHWM``)."""
    status = Path("/proc/self/status")
    if not status.exists():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
    return int(status.read_text().partition(f"{field}:")[2].split()[0]) << 10


def forget_peak() -> int:
    """Give back what making an input took, and begin to watch anew; what is held now."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def ingested(root: Path, options: dict[str, Any], store: Path) -> tuple[int, Collection]:
    """Rows that the source announced, and the collection; refused as an engine refuses what does not fit."""
    source = open_source(root, options)
    plan = plan_ingest(source, store)
    if plan.task_bytes > LIMIT:
        raise MemoryLimitError(f"a task needs {plan.task_bytes:,} bytes", "take smaller images")
    announced = source.n + len(source.unreadable)
    return announced, drive(ingest(plan), all_rows(plan), LocalEngine(n_tasks=2))


def rows_of(found: Collection) -> dict[tuple[str, str], tuple[np.ndarray, int]]:
    """(split, name) → pixels and label."""
    names = list(found.splits)
    columns = [found.read(name, 0, found.n) for name in ("split", "source_name", "image", "label")]
    return {(names[split], str(name)): (image, int(label)) for split, name, image, label in zip(*columns, strict=True)}


def check(announced: int, found: Collection) -> None:
    """The counts of a collection add up, and what it holds can be read."""
    listed = read_quarantine(Path(found.path) / QUARANTINE)
    assert found.n + found.n_quarantined == announced, f"{found.n} + {found.n_quarantined} rows of {announced}"
    assert len(listed) == found.n_quarantined, f"{len(listed)} of {found.n_quarantined} are listed"
    assert all(reason.strip() for reason in listed["reason"]), "a reason is empty"
    assert sum(found.splits.values()) == found.n > 0
    image, label = found.read("image", 0, found.n), found.read("label", 0, found.n)
    assert image.shape == (found.n, *found.image_shape)
    assert image.dtype == np.uint8
    assert label.min() >= -1
    assert label.max() < max(len(found.class_names), 1)
    assert len(found.read("source_name", 0, found.n)) == found.n


class Bench:
    """Carries out what is asked for, one after the other, in a directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.sound: dict[tuple[str, str], dict[tuple[str, str], tuple[np.ndarray, int]]] = {}
        for kind in ("idx", "csv", "npz", "parquet", "tar", "webp"):  # what these import counts as idle
            self.expected(kind, {})

    @contextlib.contextmanager
    def directory(self) -> Iterator[Path]:
        inner = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            yield inner
        finally:
            shutil.rmtree(inner)

    def expected(self, kind: str, options: dict[str, Any]) -> dict[tuple[str, str], tuple[np.ndarray, int]]:
        """What the undamaged input holds."""
        key = (kind, str(options))
        if key not in self.sound:
            with self.directory() as inner:
                announced, found = ingested(place(base(kind), inner / "some"), options, inner / "x.zarr")
                check(announced, found)
                self.sound[key] = rows_of(found)
        return self.sound[key]

    def outcome(self, files: Files, options: dict[str, Any], untouched: set[str], kind: str) -> dict[str, Any]:
        """``read`` or ``refused``, with what belongs to it; ``failed`` for anything else."""
        with self.directory() as inner:
            try:
                root = place(files, inner / "some")
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    warnings.filterwarnings("ignore", module="zarr")
                    warnings.filterwarnings("ignore", message="Duplicate name")  # of archives as they are written
                    announced, found = ingested(root, options, inner / "x.zarr")
                check(announced, found)
                self.compare(found, options, untouched, kind)
                assert not Path(UNPICKLED).exists(), "an object was unpickled"
                return {"outcome": "read", "n": found.n, "quarantined": found.n_quarantined}
            except FmnistDaskError as error:
                return {"outcome": "refused", "why": f"{type(error).__name__}: {error.message[:150]}"}
            except Exception as error:
                return {"outcome": "failed", "why": "".join(traceback.format_exception(error))[-1500:]}

    def compare(self, found: Collection, options: dict[str, Any], untouched: set[str], kind: str) -> None:
        """What was not damaged is there as it was; labels may differ where a table of them was damaged."""
        if not untouched:
            return
        expected = self.expected(kind, options)
        rows = rows_of(found)
        tables_too = {name for name in base(kind) if "metadata." in name} <= untouched
        for key, (image, label) in expected.items():
            if key[1] in untouched and (tables_too or key in rows):
                assert key in rows, f"{key} is gone"
                # A damaged palette among grey pictures has made all of them pictures in colour.
                grey = image.ndim < rows[key][0].ndim
                np.testing.assert_array_equal(rows[key][0], np.stack([image] * 3, 2) if grey else image)
                assert not tables_too or rows[key][1] == label, f"{key} has another label"


def case(number: int) -> tuple[str, str, Files, dict[str, Any], set[str]]:
    """Kind, what was done, files, options, and names of undamaged rows of a mutation; the crafted ones come first."""
    rng = np.random.default_rng(number)
    if number < len(CRAFTED):
        kind, name, make = CRAFTED[number]
        files = make(rng)
        return kind, name, files, options_of(kind, 1 if name.startswith("image") else 0), set()
    kind = KINDS[number % len(KINDS)]
    files, name, untouched = damaged_blindly(kind, rng)
    separate = kind in ("folder", *FLAT, "jpeg", "webp", "bmp", "gif", "tiff", "png-rgb")
    return kind, name, files, options_of(kind, number // len(KINDS)), untouched if separate else set()


FLAT = ("flat-csv", "flat-jsonl", "flat-parquet")


def main(first: int, stop: int, step: int = 1) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        bench, most = Bench(Path(scratch)), 0
        for number in range(first, stop, step):
            kind, name, files, options, untouched = case(number)
            print(json.dumps({"begin": number, "kind": kind, "what": name}), flush=True)
            start, before = time.monotonic(), forget_peak()
            found = bench.outcome(files, options, untouched, kind)
            found["seconds"] = round(time.monotonic() - start, 2)
            taken = memory("VmHWM") - before
            most = max(most, taken)
            if taken > LIMIT and found["outcome"] != "failed":
                found = {"outcome": "failed", "why": f"{taken >> 20} MiB, {found}"}
            print(json.dumps({"number": number, "kind": kind, "what": name, **found}), flush=True)
        print(json.dumps({"peak": most}), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
