"""Append: a source's rows into a collection that is there, behind its own."""

from __future__ import annotations

import numpy as np

from fmnist_dask.collection.appending import AppendPlan, attach_chunk, commit_append, open_arrays
from fmnist_dask.collection.joined import Joined
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.store import Collection
from fmnist_dask.models.duplicates import surplus_rows
from fmnist_dask.passes.protocol import Algorithm, Call, Tasks
from fmnist_dask.typing import IntArray


def is_appended(collection: Collection, source: Source) -> bool:
    """Whether these very files were the last to be appended: the same command given twice appends once."""
    return bool(collection.appended) and collection.appended[-1].get("fingerprint") == source.fingerprint


def copies(joined: Joined) -> Algorithm[IntArray]:
    """Rows to be appended that repeat an earlier one of the same split and label, there or among themselves."""
    rows = yield from surplus_rows(joined, np.zeros(0, dtype=np.int64))
    return rows[rows >= joined.first.n] - joined.first.n


def attach(plan: AppendPlan, source: Source) -> Algorithm[Collection]:
    """Write the chunks that are missing, then commit."""
    chunks = open_arrays(plan) if plan.chunks else []
    yield Tasks(
        "append",
        tuple(Call(attach_chunk, (chunk,), plan.rows_in(chunk)) for chunk in chunks),
        task_bytes=plan.task_bytes,
        unit="images",
        shared=plan,
    )
    return commit_append(plan, source)
