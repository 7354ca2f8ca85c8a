"""The report of a run, from its manifest and its published results alone: no cluster, no collection."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.workflow.comparison import comparison_section
from fmnist_dask.workflow.costs import performance
from fmnist_dask.workflow.provenance import as_mapping, moment, provenance
from fmnist_dask.workflow.quarantined import quarantine_section
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory

if TYPE_CHECKING:
    import xarray

    from fmnist_dask.report.page import Banner, Card, Contribution, Section

logger = logging.getLogger(__name__)


def build_report(run: RunDirectory) -> str:
    """The report as one HTML file.

    Fields that the manifest does not have are left out, and a step whose result cannot be shown is named on the page
    with the cause: what else a run found must stay readable.

    Parameters
    ----------
    run
        A run in any state.
    """
    from fmnist_dask.report.page import Page, assemble, render

    manifest = run.manifest
    contributions, problems = _contributions(run)
    compared = _comparison(run, problems)
    source = as_mapping(manifest.get("source"))
    name = str(source.get("name") or "an unnamed source")
    page = Page(
        title=str(manifest.get("title") or f"What is in {name}"),
        source=_source_line(source),
        badges=(("synthetic photograph" if _is_photograph(source) else "synthetic images"),)
        if source.get("synthetic")
        else (),
        banners=(*_status_banners(manifest), *problems),
        cards=tuple(_cards(source)),
        sections=tuple(
            section
            for section in (quarantine_section(run), compared, performance(manifest), provenance(manifest))
            if section is not None
        ),
        footer=" · ".join(
            part for part in (f"Run {run.path.name}", moment(manifest.get("ended") or manifest.get("started"))) if part
        ),
    )
    return render(assemble(page, contributions))


def _contributions(run: RunDirectory) -> tuple[dict[str, Contribution], list[Banner]]:
    """Each published step's part of the page, and what could not be shown."""
    from fmnist_dask.report.page import Banner

    parts, problems = {}, []
    for name, entry in as_mapping(run.manifest.get("steps")).items():
        if as_mapping(entry).get("status") not in PUBLISHED:
            continue
        try:
            part = _contribution(run, name, entry)
        except Exception as error:  # a result of an older version, or the builder of another package
            logger.exception("the result of step %s cannot be shown", name)
            problems.append(
                Banner(
                    f"The result of step {name} cannot be shown",
                    f"{_cause(error)}. The result itself is kept in {run.results.name}/{name}.",
                )
            )
            continue
        if part is not None:
            parts[name] = part
    return parts, problems


def _comparison(run: RunDirectory, problems: list[Banner]) -> Section | None:
    """All steps that cluster, side by side."""
    from fmnist_dask.report.page import Banner

    try:
        return comparison_section(run.manifest, functools.partial(_open, run))
    except Exception as error:
        logger.exception("clusterings cannot be compared")
        problems.append(Banner("The ways to cluster cannot be compared", f"{_cause(error)}."))
        return None


def _cause(error: Exception) -> str:
    return error.message if isinstance(error, FmnistDaskError) else f"{type(error).__name__}: {error}"


def _contribution(run: RunDirectory, name: str, entry: Mapping[str, Any]) -> Contribution | None:
    from fmnist_dask.workflow.registry import ReportContext, find_step

    uses = str(entry.get("uses") or name)
    step = find_step(uses)
    if step.figures is None:
        return None
    source = as_mapping(run.manifest.get("source"))
    n = int(source.get("n") or 0)
    context = ReportContext(
        name=name,
        uses=uses,
        split=str(entry.get("split") or "all"),
        metrics=as_mapping(entry.get("metrics")),
        n_used=n if entry.get("n_used") is None else int(entry["n_used"]),
        n_total=n if entry.get("n_total") is None else int(entry["n_total"]),
        class_names=tuple(source.get("class_names") or ()),
        others={other: functools.partial(_open, run, other) for other in _published(run) if other != name},
    )
    return step.contribution(_open(run, name), context)


def _published(run: RunDirectory) -> list[str]:
    """Steps whose results are there."""
    steps = as_mapping(run.manifest.get("steps"))
    done = [name for name, entry in steps.items() if as_mapping(entry).get("status") in PUBLISHED]
    return [name for name in done if (run.results / name).is_dir()]


def _open(run: RunDirectory, name: str) -> xarray.Dataset:
    """A step's dataset without Dask: variables are small and read one by one; columns of all images stay on disk.

    Zarr holds no file open, so nothing is to be closed.
    """
    import xarray

    dataset: xarray.Dataset = xarray.open_zarr(run.results / name, consolidated=False, chunks=None)
    return dataset


def _source_line(source: Mapping[str, Any]) -> str:
    description = str(source.get("description") or source.get("kind") or "")
    path = str(source.get("path") or "")
    name = str(source.get("name") or "")
    return " · ".join(part for part in (name, description, path if path not in (name, "embedded") else "") if part)


def _status_banners(manifest: Mapping[str, Any]) -> list[Banner]:
    from fmnist_dask.report.page import Banner
    from fmnist_dask.report.words import listing

    status = str(manifest.get("status") or "")
    steps = as_mapping(manifest.get("steps"))
    error = manifest.get("error")
    if isinstance(error, Mapping):
        error = error.get("message") or "; ".join(f"{key}: {value}" for key, value in error.items())
    failed = [name for name, entry in steps.items() if as_mapping(entry).get("status") == "FAILED"]
    undone = [name for name, entry in steps.items() if as_mapping(entry).get("status") not in (*PUBLISHED, "FAILED")]
    missing = f"Not in this report: {listing(undone)}." if undone else ""
    if status == "FAILED" or failed:
        where = f" at {listing(failed)}" if failed else ""
        return [Banner(f"This run failed{where}", f"{error or 'No cause was recorded.'} {missing}".strip(), "warn")]
    if status == "STOPPED":
        return [
            Banner(
                "This run was stopped before its end",
                f"{error or ''} {missing} Running it again goes on from here.".strip(),
            )
        ]
    if status in ("RUNNING", "PENDING"):
        return [Banner("This run has not ended yet", missing, "neutral")]
    return []


def _cards(source: Mapping[str, Any]) -> list[Card]:
    from fmnist_dask.report.page import Card
    from fmnist_dask.report.words import count, listing, shape

    if _is_photograph(source):
        return _photograph_cards(source)
    cards = []
    splits = as_mapping(source.get("splits"))
    if source.get("n") is not None:
        parts = listing(f"{int(number):,} {name}" for name, number in splits.items()) if len(splits) > 1 else ""
        looks = shape(source.get("image_shape") or ())
        bad = int(source.get("n_quarantined") or 0)
        notes = [parts, looks if looks != "–" else "", f"{count(bad, 'item')} could not be read" if bad else ""]
        cards.append(
            Card(
                count(int(source["n"])),
                "images",
                note=" · ".join(note for note in notes if note),
                link="sample",
                order=10,
            )
        )
    if "class_names" in source:
        classes = [str(name) for name in source["class_names"] or ()]
        rest = f" and {len(classes) - 12:,} more" if len(classes) > 12 else ""
        note = ", ".join(classes[:12]) + rest if classes else "The images are not labelled."
        cards.append(Card(count(len(classes)) if classes else "none", "classes", note=note, link="classes", order=20))
    return cards


def _is_photograph(source: Mapping[str, Any]) -> bool:
    return source.get("kind") == "photograph"


def _photograph_cards(source: Mapping[str, Any]) -> list[Card]:
    """How large one photograph is; it has neither splits nor classes."""
    from fmnist_dask.report.page import Card
    from fmnist_dask.report.words import count, shape

    sides = [int(side) for side in source.get("image_shape") or ()]
    if len(sides) < 2:
        return []
    return [Card(count(sides[0] * sides[1]), "pixels", note=f"One photograph of {shape(sides)}.", order=10)]
