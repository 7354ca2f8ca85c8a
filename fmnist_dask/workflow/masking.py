"""Images of which pixels are missing, for steps that can work with them."""

from __future__ import annotations

from fmnist_dask.collection.masked import MaskedImages
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FilledImages, KeptImages
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.workflow.model import StepSpec
from fmnist_dask.workflow.planned import PlannedCollection
from fmnist_dask.workflow.registry import find_step

MASKABLE = (Collection, KeptImages, FilledImages, PlannedCollection)


def base_of(source: Readable) -> tuple[Readable, MaskedImages | None]:
    """What has to be read for a source, and what it is then seen through: masks are laid over images in memory."""
    return (source.of, source) if isinstance(source, MaskedImages) else (source, None)


def as_masked(source: Readable, spec: StepSpec) -> Readable:
    """What a step reads: steps that accept a mask always see images through one, if only one that hides nothing."""
    if "mask" not in find_step(spec.uses).accepts or not isinstance(source, MASKABLE):
        return source
    if spec.mask is None:
        return MaskedImages.over(source)
    return MaskedImages.over(source, spec.mask.fraction, spec.mask.seed)
