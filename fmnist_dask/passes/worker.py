"""One task of a pass: a run of chunks, read one by one, folded into states. Runs on workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.fused import FusedScan
from fmnist_dask.passes.ledger import COLUMNS, COMBINE, DECODE, KERNEL, WAIT, measured, name_of, note_ahead
from fmnist_dask.passes.protocol import Readable, State

#: (chunks done, rows done) of one chunk; called after each.
ChunkDone = Callable[[int, int], None]
Writers = Sequence[dict[str, Any]]


def run_chunks(
    source: Readable,
    fused: FusedScan,
    chunks: Sequence[int],
    writers: Writers,
    done: ChunkDone | None = None,
    prefetch: bool = False,
) -> list[State]:
    """Read chunks one after the other, and fold each into the states of all reductions.

    Parameters
    ----------
    chunks
        Indices of the chunks, ascending.
    writers
        For each column of the pass: variable → array that takes the rows' values by slice.
    prefetch
        Read the next chunk in a thread while one is worked on.

    Returns
    -------
    list
        The state of each reduction.
    """
    states = [reduction.initial(source) for reduction, _ in fused.reductions]
    splits = {split for _, split in (*fused.reductions, *fused.columns)}
    for block in _blocks(source, chunks, prefetch, splits):
        start, stop = int(block.rows[0]), int(block.rows[-1]) + 1
        selected = block
        for position, (reduction, split) in enumerate(fused.reductions):
            selected = block.select(split)
            if len(selected) and reduction.wants(start, stop):
                with measured(KERNEL, name_of(reduction)):
                    states[position] = reduction.chunk(states[position], selected)
        for (column, split), targets in zip(fused.columns, writers, strict=True):
            if stop > column.begins():
                with measured(COLUMNS):
                    _write_column(block, block.select(split).since(column.begins()), column.compute, targets)
        if done is not None:
            done(1, len(block))
        # A block is large: without this, the last one would live until the next has been read, and blocks of a split
        # until Python looks for cycles.
        block.forget()
        del block, selected
    return states


def _write_column(block: Block, selected: Block, compute: Callable[[Block], Any], targets: dict[str, Any]) -> None:
    start, stop = int(block.rows[0]), int(block.rows[-1]) + 1
    values = compute(selected) if len(selected) else {}
    for name, target in targets.items():
        if len(selected) == len(block):
            target[start:stop] = values[name]
        elif len(selected):
            rows = target[start:stop]
            rows[selected.rows - start] = values[name]
            target[start:stop] = rows


def _blocks(source: Readable, chunks: Sequence[int], prefetch: bool, splits: set[int | None]) -> Iterator[Block]:
    """Blocks of these chunks. What is read later, when somebody asks for it, counts as decoding, too."""
    if not prefetch:
        for chunk in chunks:
            with measured(DECODE):
                block = _load(source, chunk, splits)
            block.measure(lambda: measured(DECODE))
            yield block
            del block
        return
    with ThreadPoolExecutor(1, "prefetch") as reader:
        upcoming = reader.submit(_timed_load, source, chunks[0], splits)
        for following in [*chunks[1:], None]:
            with measured(WAIT):
                block, seconds = upcoming.result()
            note_ahead(seconds)
            if following is not None:
                upcoming = reader.submit(_timed_load, source, following, splits)
            else:
                del upcoming
            block.measure(lambda: measured(DECODE))
            yield block
            del block


def _timed_load(source: Readable, chunk: int, splits: set[int | None]) -> tuple[Block, float]:
    began = time.perf_counter()
    return _load(source, chunk, splits), time.perf_counter() - began


def _load(source: Readable, chunk: int, splits: set[int | None]) -> Block:
    start = chunk * source.chunk_rows
    block = source.block(start, min(start + source.chunk_rows, source.n))
    if None in splits or np.isin(block.array("split"), [code for code in splits if code is not None]).any():
        block.array(block.feature_array)  # reads the pixels now
    return block


def combine_states(fused: FusedScan, parts: Sequence[list[State]]) -> list[State]:
    """Merge the states of several tasks, given in row order. The parts are left as they are."""
    with measured(COMBINE):
        merged = [owned(state) for state in parts[0]]
        for part in parts[1:]:
            for position, (reduction, _) in enumerate(fused.reductions):
                merged[position] = reduction.combine(merged[position], part[position])
    return merged


def owned(state: State) -> State:
    """A copy of a state's arrays: those of another task must not change (it may be merged again after a fault)."""
    if isinstance(state, np.ndarray):
        return state.copy()
    if isinstance(state, dict):
        return {key: owned(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(owned(value) for value in state)
    return state
