"""What steps foresee of their requests, for plans."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_dask.passes.protocol import Scan


@dataclass(frozen=True)
class Foreseen:
    """A request that a step is known to come to.

    Attributes
    ----------
    name
        What it is, in a few words.
    scan
        A scan of the size of the one to come. Its values do not matter for memory; for time they should be like those
        to come (:func:`~fmnist_dask.passes.standin.typical_rows`).
    calls, task_bytes, shared_bytes
        Instead of a scan: independent calls, the memory of one, and bytes that all of them share.
    times
        How often it comes, one after the other, with ordinary images.
    most
        How often at most; ``None`` where ``times`` is certain.
    seconds
        Of one call, on the machine whose figures plans rest on; ``None`` where nobody knows.
    late
        Of calls: whether passes that other steps wait for go first.
    here
        Of calls: whether the driver makes them where workers have too little memory.
    """

    name: str
    scan: Scan | None = None
    calls: int = 0
    task_bytes: int = 0
    shared_bytes: int = 0
    times: int = 1
    most: int | None = None
    seconds: float | None = None
    late: bool = False
    here: bool = False
