"""What a chapter gives: rows, each a measurement of ours beside one of something else."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks import peers


@dataclass(frozen=True)
class Timed:
    """The median of several runs, and all of them."""

    value: float
    runs: tuple[float, ...]

    @classmethod
    def of(cls, runs: Sequence[float]) -> Timed:
        """From the runs."""
        return cls(statistics.median(runs), tuple(runs))


def timed(work: Callable[[], Any], repeats: int) -> Timed:
    """Seconds of a call, so many times."""
    durations = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begun)
    return Timed.of(durations)


def once(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the seconds that it took."""
    begun = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begun


@dataclass(frozen=True)
class Side:
    """One side of a row.

    Attributes
    ----------
    name
        A peer, or what ours is set against: fewer images, one worker, the whole of which this is a part.
    by
        What of the peer: a class, a function, its options.
    runs
        Values of all runs, of which ``value`` is the median; empty where it was derived.
    """

    name: str
    value: float
    version: str = ""
    by: str = ""
    runs: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes
    ----------
    what
        What was measured.
    n
        Images (pixels, chunks) that ours went through.
    unit
        Of both values; ``s`` is time.
    peer
        Whether the other side is another package, and not ours under other conditions.
    agrees
        Whether both sides have the same result, as far as they should; ``None`` where they need not.
    remark
        What else was found: errors, scores, memory.
    """

    what: str
    ours: Side
    other: Side
    n: int
    unit: str = "s"
    peer: bool = False
    agrees: bool | None = None
    remark: str = ""
    chapter: str = field(default="", kw_only=True)

    @property
    def ratio(self) -> float:
        """Ours to the other: of time, below 1 is faster."""
        return self.ours.value / self.other.value if self.other.value else math.nan

    def as_json(self) -> dict[str, Any]:
        """As the book keeps it."""
        found = asdict(self)
        ours, other, unit = found.pop("ours"), found.pop("other"), found.pop("unit")
        return {
            "chapter": found.pop("chapter"),
            "what": found.pop("what"),
            "ours": {"value": ours["value"], "unit": unit, "name": ours["name"]},
            "other": {key: other[key] for key in ("name", "version", "by", "value")},
            "ratio": self.ratio,
            "runs": {"ours": ours["runs"], "other": other["runs"]},
            **found,
        }

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Row:
        """Back from there."""
        ours, other, runs = kept["ours"], kept["other"], kept["runs"]
        return cls(
            kept["what"],
            Side(ours["name"], ours["value"], runs=tuple(runs["ours"])),
            Side(other["name"], other["value"], other["version"], other["by"], tuple(runs["other"])),
            kept["n"],
            ours["unit"],
            kept["peer"],
            kept["agrees"],
            kept["remark"],
            chapter=kept["chapter"],
        )


def beside_peer(what: str, ours: Timed | float, peer: str, by: str, theirs: Timed | float, n: int, **more: Any) -> Row:
    """Ours beside another package, of which the version is noted."""
    other = Side(peer, *_parts(theirs)[:1], peers.version(peer), by, _parts(theirs)[1])
    return Row(what, _side("fmnist-dask", ours), other, n, peer=True, **more)


def beside_base(what: str, ours: Timed | float, base: str, value: Timed | float, n: int, **more: Any) -> Row:
    """Ours beside ours under other conditions, or beside the whole of which it is a part."""
    return Row(what, _side("fmnist-dask", ours), _side(base, value), n, **more)


def _side(name: str, found: Timed | float) -> Side:
    value, runs = _parts(found)
    return Side(name, value, runs=runs)


def _parts(found: Timed | float) -> tuple[float, tuple[float, ...]]:
    return (found.value, found.runs) if isinstance(found, Timed) else (float(found), ())


def shown(value: float, unit: str) -> str:
    """A value in words: three digits."""
    if unit == "s" and value < 1e-3:
        return f"{1e6 * value:.3g} µs"
    if unit == "s" and value < 1:
        return f"{1e3 * value:.3g} ms"
    return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def in_words(row: Row) -> str:
    """One line."""
    other = " ".join(filter(None, (row.other.name, row.other.version, row.other.by)))
    agrees = {None: "", True: "; same result", False: "; NOT THE SAME RESULT"}[row.agrees]
    remark = f"; {row.remark}" if row.remark else ""
    return (
        f"  {row.what}: {shown(row.ours.value, row.unit)}; {other}: {shown(row.other.value, row.unit)}; "
        f"ratio {row.ratio:.3g}{agrees}{remark}"
    )
