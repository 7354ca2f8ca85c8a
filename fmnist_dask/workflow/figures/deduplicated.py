"""What a choice of images leaves out, in the report."""

from __future__ import annotations

import xarray

from fmnist_dask.report.page import ORDER_DUPLICATES, Contribution, Section, Table
from fmnist_dask.report.words import count, share
from fmnist_dask.workflow.figures._text import context_basis, texts, values
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Images kept and left out, by split."""
    kept, dropped = values(dataset, "n_kept").tolist(), values(dataset, "n_dropped").tolist()
    total = sum(kept) + sum(dropped)
    across = bool(dataset.attrs["across_splits"])
    first = "the first image of each group of equal ones" + ("" if across else " within a split")
    lead = f"Steps that work on {context.name} take {first}: {count(sum(kept), 'image')} of {total:,}."
    rows = tuple(
        (split, f"{left:,}", f"{gone:,}", share(gone, left + gone))
        for split, left, gone in zip(texts(dataset, "split"), kept, dropped, strict=True)
    )
    table = Table(("split", "kept", "copies left out", "share"), rows, text_columns=1)
    section = Section(
        anchor="deduplicated",
        title=f"Without copies: {context.name}",
        lead=lead,
        blocks=(table,),
        basis=context_basis(context),
        order=ORDER_DUPLICATES + 1,
        short="Without copies",
    )
    return Contribution(sections=(section,))
