"""The part of a report that comes from the manifest alone: data, software, cluster, and the table of steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fmnist_dask.report.page import Section


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping; empty where a manifest has none."""
    return value if isinstance(value, Mapping) else {}


def moment(value: Any) -> str:
    """ISO 8601 as people read it; what is no time is shown as it is."""
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if value else ""
    except ValueError:
        return str(value)


def provenance(manifest: Mapping[str, Any]) -> Section:
    """What was read, with what, and where; fields that the manifest does not have are left out."""
    from fmnist_dask.report.page import ORDER_PROVENANCE, Facts, Section

    blocks: list[Any] = [
        Facts(tuple(pairs), heading)
        for heading, pairs in (
            ("Data", _data_facts(manifest)),
            ("Run", _run_facts(manifest)),
        )
        if pairs
    ]
    table = _step_table(manifest)
    return Section(
        title="Provenance",
        anchor="provenance",
        lead="What was read, with which software, and on what.",
        blocks=(*blocks, *([table] if table.rows else ())),
        order=ORDER_PROVENANCE,
    )


def known_facts(pairs: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Facts of which something is known."""
    return [(name, str(value)) for name, value in pairs if value not in (None, "", "–")]


def _data_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    from fmnist_dask.report.words import count, shape, size

    source = as_mapping(manifest.get("source"))
    n = source.get("n")
    photograph = source.get("kind") == "photograph"
    return known_facts(
        [
            ("source", source.get("name")),
            ("format", source.get("kind")),
            ("path", source.get("path")),
            ("fingerprint", source.get("fingerprint")),
            ("images", None if n is None or photograph else count(int(n))),
            ("size" if photograph else "each", shape(source.get("image_shape") or ())),
            ("pixels", size(source.get("pixel_bytes"))),
            ("on disk", size(source.get("stored_bytes"))),
            ("collection", source.get("collection")),
        ]
    )


def _run_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    from fmnist_dask.report.words import count, size

    cluster = as_mapping(manifest.get("cluster"))
    workers, threads = cluster.get("workers"), cluster.get("threads")
    limit = cluster.get("memory_limit")
    parts = [
        str(cluster.get("class") or ""),
        "" if workers is None else count(int(workers), "worker"),
        "" if threads is None else count(int(threads), "thread"),
        f"{size(limit)} each" if isinstance(limit, (int, float)) else str(limit or ""),
    ]
    return known_facts(
        [
            ("run", manifest.get("run")),
            ("workflow", manifest.get("workflow")),
            ("status", manifest.get("status")),
            ("seed", manifest.get("seed")),
            ("started", moment(manifest.get("started"))),
            ("ended", moment(manifest.get("ended"))),
            ("cluster", ", ".join(part for part in parts if part)),
            ("processor", manifest.get("cpu")),
            ("matrix products", ", ".join(manifest.get("blas") or ())),
            (
                "versions",
                ", ".join(f"{name} {version}" for name, version in as_mapping(manifest.get("versions")).items()),
            ),
        ]
    )


def _step_table(manifest: Mapping[str, Any]) -> Any:
    from fmnist_dask.report.page import Table
    from fmnist_dask.report.words import duration

    rows: list[tuple[str, ...]] = []
    for name, entry in as_mapping(manifest.get("steps")).items():
        entry = as_mapping(entry)
        exact = entry.get("exact")
        used, total = entry.get("n_used"), entry.get("n_total")
        rows.append(
            (
                str(name),
                str(entry.get("uses") or name),
                str(entry.get("status") or "–"),
                str(entry.get("split") or "all"),
                _exact_word(exact),
                duration(entry.get("seconds")),
                "–" if entry.get("passes") is None else str(entry["passes"]),
                "–" if used is None else f"{used:,}" + ("" if total is None else f" of {total:,}"),
            )
        )
    columns: tuple[str, ...] = ("step", "uses", "status", "split", "exact", "time", "passes", "images")
    if as_mapping(manifest.get("source")).get("kind") == "photograph":
        # All steps rest on the one, and it has one split.
        kept = [at for at, name in enumerate(columns) if name not in ("split", "images")]
        columns, rows = tuple(columns[at] for at in kept), [tuple(row[at] for at in kept) for row in rows]
    return Table(
        columns,
        tuple(rows),
        text_columns=5,
        caption="Steps that wait for the same pass share it: passes and times overlap.",
    )


def _exact_word(exact: Any) -> str:
    if isinstance(exact, Mapping):
        no = [name.replace("_", " ") for name, value in exact.items() if not value]
        return "yes" if not no else f"all but {', '.join(no)}"
    return "–" if exact is None else "yes" if exact else "no"
