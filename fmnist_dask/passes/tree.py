"""Merging the states of a pass on a cluster: a tree of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_dask.passes.tasks import combine_task

if TYPE_CHECKING:
    from distributed import Client, Future


class MergeTree:
    """The tasks that merge the states of one pass.

    Parameters
    ----------
    name
        Of the pass, for task keys.
    fan_in
        States that one task merges.

    Attributes
    ----------
    shared
        What all tasks share; to be set before the first.
    """

    def __init__(self, client: Client, name: str, fan_in: int) -> None:
        self.client, self.name, self.fan_in = client, name, fan_in
        self.shared: Any = None
        self.levels: dict[str, int] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any, priority: int = 0) -> Future:
        """One task."""
        kind = function.__name__.strip("_").removesuffix("_task")
        key = f"{kind}-{self.name}-{len(self.levels)}"
        self.levels[key] = 0
        return self.client.submit(
            function, *arguments, specification=self.shared, key=key, priority=priority, retries=2
        )

    def merge(self, futures: Sequence[Future]) -> Future:
        """Merge states in row order; the future of the one that is left."""
        while len(futures) > 1:
            futures = [self._merge(futures[at : at + self.fan_in]) for at in range(0, len(futures), self.fan_in)]
        return futures[0]

    def _merge(self, futures: Sequence[Future]) -> Future:
        # Without the higher priority all states would wait in memory until the last chunk has been read.
        level = 1 + max(self.levels.get(future.key, 0) for future in futures)
        merged = self.submit(combine_task, list(futures), priority=9 + level)
        self.levels[merged.key] = level
        return merged
