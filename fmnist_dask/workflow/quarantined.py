"""What a source held that could not be read: its table in a run, and its part of the report."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from fmnist_dask.collection.files import make_directory, write_bytes
from fmnist_dask.collection.place import place_of, read_many
from fmnist_dask.collection.quarantine import QUARANTINE, read_quarantine_rows
from fmnist_dask.workflow.inputs import Stored
from fmnist_dask.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    from fmnist_dask.report.page import Section

#: Items that a report names; the table has all.
LISTED = 50
ANCHOR = "quarantine"


def copy_quarantine(run: RunDirectory, collection: Stored) -> None:
    """Bring the collection's list into the run's tables; none where nothing was left out."""
    place = run.tables / QUARANTINE
    if not collection.n_quarantined:
        place.unlink(missing_ok=True)
        return
    (content,) = read_many([place_of(collection.path, QUARANTINE)])
    if content is not None:
        write_bytes(make_directory(run.tables) / QUARANTINE, content)


def quarantine_section(run: RunDirectory) -> Section | None:
    """Reasons with their counts, and the first items by name."""
    from fmnist_dask.report.page import ORDER_PROVENANCE, Section, Table
    from fmnist_dask.report.words import count

    listed = read_quarantine_rows(run.tables / QUARANTINE)
    if not listed:
        return None
    reasons = collections.Counter(reason for _, _, reason in listed)
    rows = tuple((reason, f"{number:,}") for reason, number in reasons.most_common(12))
    more = f" The first {LISTED} are named here." if len(listed) > LISTED else ""
    blocks: tuple[Any, ...] = (
        Table(("reason", "items"), rows, text_columns=1, caption="Most frequent reasons."),
        Table(
            ("name in the source", "split", "reason"),
            tuple((name, split or "–", reason) for name, split, reason in listed[:LISTED]),
            text_columns=3,
            caption=f"All of them are listed in {run.tables.name}/{QUARANTINE}.{more}",
        ),
    )
    return Section(
        title="What could not be read",
        short="Unreadable",
        anchor=ANCHOR,
        lead=f"{count(len(listed), 'item')} of the source could not be read, and no figure on this page counts them.",
        blocks=blocks,
        order=ORDER_PROVENANCE - 1,
    )
