"""Steps for tests, as another package would bring them: with features, with tables, of many passes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.errors import SourceError
from fmnist_dask.passes.protocol import Algorithm, Call, Column, Readable, Reduction, Scan, Tasks, Variable
from fmnist_dask.workflow.registry import StepInput, StepResult, step

#: A pixel in the middle.
FIRST = 400


@dataclasses.dataclass(frozen=True)
class Corners(Column):
    """``width`` features of each sample, as floats, from those that are not black everywhere."""

    width: int

    def variables(self, source: Readable) -> dict[str, Variable]:
        return {"corner": Variable("float32", (self.width,), ("feature",), fill_value=float("nan"))}

    def compute(self, block: Block) -> Mapping[str, np.ndarray]:
        return {"corner": block.features[:, FIRST : FIRST + self.width].astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class Sorted(Column):
    """Which of ``count`` groups a sample belongs to by the sum of its features, and that sum."""

    count: int

    def variables(self, source: Readable) -> dict[str, Variable]:
        return {"group": Variable("int32", fill_value=-1), "sum": Variable("float64", fill_value=float("nan"))}

    def compute(self, block: Block) -> Mapping[str, np.ndarray]:
        total = block.features.sum(axis=1, dtype=np.float64)
        return {"group": (total % self.count).astype(np.int32), "sum": total}


@step("corners", gives=("features",))
def corners(data: StepInput, *, width: int = 3) -> Algorithm[StepResult]:
    """Features for other steps."""
    found = yield Scan(columns={"corners": Corners(width)})
    return StepResult(_dataset(width=width), columns=found["corners"], features="corner")


@step("sorting", accepts=("on",))
def sorting(data: StepInput, *, count: int = 5) -> Algorithm[StepResult]:
    """A table that several steps share."""
    found = yield Scan(columns={"sorted": Sorted(count)}, split=data.split)
    columns = found["sorted"]
    return StepResult(
        _dataset(features=data.source.n_features),
        metrics={"on": data.on},
        columns=columns,
        image_tables={"groups": {"": columns["group"], "_sum": columns["sum"]}},
    )


@dataclasses.dataclass(frozen=True)
class Weighed(Reduction):
    """Sum of all features, each row times its number modulo ``modulus``; takes its time over each block."""

    modulus: int
    pause: float = 0.0

    def initial(self, source: Readable) -> dict[str, Any]:
        return {"sum": np.zeros(1, np.int64), "rows": 0}

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        time.sleep(self.pause)
        weights = block.rows % self.modulus
        state["sum"] += weights @ block.features.sum(axis=1, dtype=np.int64)
        return {"sum": state["sum"], "rows": state["rows"] + len(block)}

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        return {name: left[name] + right[name] for name in left}

    def state_bytes(self, source: Readable) -> int:
        return 64


@dataclasses.dataclass(frozen=True)
class Breaks(Reduction):
    """Counts rows; stumbles at one of them, after a while, for as long as a file is there."""

    row: int
    stone: str

    def initial(self, source: Readable) -> int:
        return 0

    def chunk(self, state: int, block: Block) -> int:
        if self.row in block.rows and Path(self.stone).exists():
            time.sleep(0.5)  # what others have done by now is saved
            raise SourceError("stumbled")
        return state + len(block)

    def combine(self, left: int, right: int) -> int:
        return left + right

    def state_bytes(self, source: Readable) -> int:
        return 8


def triple(value: int) -> int:
    return 3 * value


@step("rounds")
def rounds(data: StepInput, *, count: int = 4, pause: float = 0.0) -> Algorithm[StepResult]:
    """Passes and tasks, each of which depends on what the ones before have found; a column to the end."""
    found = yield Scan(columns={"sorted": Sorted(5)}, split=data.split)
    trace = [7]
    for _ in range(count):
        sums = yield Scan({"weighed": Weighed(trace[-1] % 97 + 1, pause)}, split=data.split)
        trace.append(int(sums["weighed"]["sum"][0]) % 2**40)
        sums["weighed"]["sum"] += 1  # an algorithm may do what it likes with an answer
        (value,) = yield Tasks("triple", (Call(triple, (trace[-1],)),))
        trace.append(value % 2**40)
    group = found["sorted"]["group"][0 : data.source.n]
    return StepResult(
        _dataset(trace=("round", np.array(trace)), groups=("value", np.bincount(group[group >= 0]))),
        columns=found["sorted"],
    )


@step("empty_handed", gives=("features",))
def empty_handed(data: StepInput) -> StepResult:
    """Promises features and gives none."""
    return StepResult(_dataset(nothing=0))


def _dataset(**values: Any) -> Any:
    import xarray as xr

    return xr.Dataset(values)
