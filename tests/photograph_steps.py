"""A step for one photograph, as another package would bring it: exact sums of each channel, of each line too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.errors import SourceError
from fmnist_dask.passes.protocol import Algorithm, Column, Readable, Reduction, Scan, Variable
from fmnist_dask.workflow.registry import StepInput, StepResult, step


@dataclasses.dataclass(frozen=True)
class ChannelSums(Reduction):
    """Sum of each channel, and the number of pixels; stumbles at a line for as long as a file is there."""

    stone: str = ""
    line: int = -1

    def initial(self, source: Readable) -> np.ndarray:
        channels = source.image_shape[1] if len(source.image_shape) == 2 else 1
        return np.zeros(channels + 1, np.int64)

    def chunk(self, state: np.ndarray, block: Block) -> np.ndarray:
        if self.line in block.rows and Path(self.stone).exists():
            raise SourceError("stumbled")
        image = block.image.reshape(len(block), block.image.shape[1], -1)
        state[:-1] += image.sum(axis=(0, 1), dtype=np.int64)
        state[-1] += image.shape[0] * image.shape[1]
        return state

    def combine(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left + right

    def state_bytes(self, source: Readable) -> int:
        return 64


@dataclasses.dataclass(frozen=True)
class Inverted(Column):
    """Each pixel's opposite."""

    def variables(self, source: Readable) -> dict[str, Variable]:
        return {"inverted": Variable("uint8", source.image_shape, ("x", "channel")[: len(source.image_shape)])}

    def compute(self, block: Block) -> Mapping[str, np.ndarray]:
        return {"inverted": 255 - block.image}


@step("line_means", accepts=("photograph",), gives=("features",))
def line_means(data: StepInput) -> StepResult:
    """Features of a photograph's lines, which nothing works on."""
    raise AssertionError("it never begins")


@step("takes_all", accepts=("photograph", "on", "mask"))
def takes_all(data: StepInput) -> StepResult:
    """Accepts more than applies to a photograph."""
    raise AssertionError("it never begins")


@step("channel_sums", accepts=("photograph",))
def channel_sums(data: StepInput, *, stone: str = "", line: int = -1, table: bool = False) -> Algorithm[StepResult]:
    """Sums of a photograph's channels, and its negative."""
    import xarray as xr

    found = yield Scan({"sums": ChannelSums(stone, line)}, {"inverted": Inverted()}, split=data.split)
    sums = found["sums"]
    inverted = found["inverted"]["inverted"]

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, data.source.n, data.source.chunk_rows):
            yield inverted[start : start + data.source.chunk_rows]

    def write(file: BinaryIO) -> None:
        for part in parts():
            file.write(part.tobytes())

    first: dict[str, Any] = {"numbers": {"sample": [0]}} if table else {}
    return StepResult(
        xr.Dataset({"sums": ("value", sums[:-1])}),
        metrics={"sums": {str(channel): int(value) for channel, value in enumerate(sums[:-1])}},
        columns={"inverted": inverted, "mean": np.arange(data.source.n, dtype=np.float32)},
        tables=first,
        pictures={"streamed": write, "whole": b"bytes"},
    )
