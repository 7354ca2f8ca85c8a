"""What all sources have in common, of images and of one photograph: what they are called, and what tells them apart."""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any


class Described(ABC):
    """A source with a name and a fingerprint.

    Attributes
    ----------
    kind
        The format, as shown on screen.
    name
        Short name; names the directory of what is stored.
    location
        Path, address, or a word for embedded data.
    description
        One sentence on what the images are.
    synthetic
        Whether they were drawn by a program; said on screen and in the report.
    """

    kind: str
    name: str
    location: str
    description: str
    synthetic: bool = False

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the content: options, and names, sizes and times of files. JSON values."""

    @abstractmethod
    def identity_beside(self) -> dict[str, Any]:
        """What else tells the source from others."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex digest of the identity when first asked for; runs of the same source share what is stored by it."""
        return self.current_fingerprint()

    def current_fingerprint(self) -> str:
        """The fingerprint now: another one if files have changed since the source was opened."""
        identity = {**self.identity_beside(), **self.identity()}
        return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()

    def has_changed(self) -> bool:
        """Whether files are others than when the source was opened."""
        return self.current_fingerprint() != self.fingerprint

    def provenance(self) -> dict[str, Any]:
        """What manifests and reports say of the source."""
        return {
            "name": self.name,
            "kind": self.kind,
            "path": self.location,
            "description": self.description,
            "synthetic": self.synthetic,
            "fingerprint": self.fingerprint,
        }
