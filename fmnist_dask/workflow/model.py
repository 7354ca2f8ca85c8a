"""What a workflow file may say."""

from __future__ import annotations

from typing import Any

import pydantic

NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)


class Mask(_Strict):
    """Pixels hidden from a step at random; their truth is kept for scoring."""

    fraction: float = pydantic.Field(gt=0, lt=1)
    seed: int = 0


class StepSpec(_Strict):
    """One step of a workflow.

    Attributes
    ----------
    uses
        Name of a registered step.
    split
        Split whose images it works on; ``all`` for every image.
    on
        What it works on: ``pixels``, ``embedding``, or the name of a step.
    parameters
        Spelled ``with`` in the file.
    needs
        Steps that must have ended before.
    """

    uses: str
    split: str = "all"
    on: str = "pixels"
    parameters: dict[str, Any] = pydantic.Field(default_factory=dict, alias="with")
    needs: list[str] = pydantic.Field(default_factory=list)
    mask: Mask | None = None


class Report(_Strict):
    """The report's title."""

    title: str | None = None


class Workflow(_Strict):
    """A workflow: a source, and steps that work on its images."""

    name: str = pydantic.Field(pattern=NAME, max_length=64)
    source: str | dict[str, Any] = "garments"
    seed: int = pydantic.Field(default=0, ge=0)
    steps: dict[str, StepSpec] = pydantic.Field(min_length=1)
    report: Report = pydantic.Field(default_factory=Report)

    def resolved(self) -> dict[str, Any]:
        """Everything spelled out, as the file would say it."""
        return self.model_dump(by_alias=True, exclude_none=True)
