"""What all tasks of a pass need: sent to a worker once, loaded there once, let go of when the pass has ended."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, field
from typing import Any

_lock = threading.Lock()
_kept: dict[str, Any] = {}


@dataclass(frozen=True)
class Shared:
    """A pickled value and its name.

    Attributes
    ----------
    token
        Tells it from others; large values need not be compared.
    pickled
        Made by the driver.
    """

    token: str
    pickled: bytes = field(repr=False)

    def load(self) -> Any:
        """The value. A process keeps one: that of the pass which is under way."""
        with _lock:
            if self.token not in _kept:
                _kept.clear()
                _kept[self.token] = pickle.loads(self.pickled)  # noqa: S301 - made by this driver
            return _kept[self.token]


def forget_shared() -> None:
    """Let go of what was loaded last."""
    with _lock:
        _kept.clear()
