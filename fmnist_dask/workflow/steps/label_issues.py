"""``label_issues``: images whose nearest neighbours carry another label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.kernels.garments import WRONG_LABEL
from fmnist_dask.models.label_issues import LabelIssues, Retrieval, label_issues, retrieval
from fmnist_dask.passes.hashes import values_at
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.typing import AnyArray, BoolArray, IntArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._maps import foreseen_neighbours, spread_rows
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, label_names, unit_of


def _foresees(data: StepInput, *, n_neighbors: int, examples: int, shown: int, **others: Any) -> Iterator[Foreseen]:
    """The largest round of comparisons, and the pictures of candidates and their neighbours."""
    yield foreseen_neighbours(data, data.n, n_neighbors)
    pictures = spread_rows(data.n, examples * (1 + min(shown, n_neighbors)))
    yield Foreseen("pictures of candidates", Scan({"images": ImagesAt(pictures)}, split=data.split))


@step(
    "label_issues",
    figures="fmnist_dask.workflow.figures.label_issues:figures",
    libraries=("numpy", "numba"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def label_issues_step(
    data: StepInput,
    *,
    n_neighbors: Annotated[int, pydantic.Field(ge=1, le=200)] = 10,
    threshold: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.8,
    min_score: Annotated[float, pydantic.Field(ge=-1, le=1)] = 0.65,
    examples: Annotated[int, pydantic.Field(ge=0, le=200)] = 36,
    shown: Annotated[int, pydantic.Field(ge=0, le=50)] = 10,
) -> Algorithm[StepResult]:
    """Find labels that are probably wrong, by the labels of each image's nearest neighbours, exactly.

    Parameters
    ----------
    n_neighbors
        Neighbours that each image is compared with; more of them find more, as long as classes have many more images.
    threshold
        An image is a candidate if at least this share of its neighbours carries another label,
    min_score
        and if its score is at least this. The score, from -1 to 1, also counts neighbours of neighbours, and ranks
        candidates. -1 leaves the choice to the threshold. Of the wrong labels planted in 70,000 garments 92 % are then
        among the candidates, and 86 % of these are wrong; by a threshold of 1 alone 94 % and 66 %.
    examples
        Candidates to show, the most doubtful ones.
    shown
        Neighbours to show of each.
    """
    found = yield from label_issues(data.source, n_neighbors, data.split, data.split_code)
    candidates, ranking = found.candidates(threshold, min_score), found.ranking()
    wrong = known_wrong(data.source, found.near.rows)
    scored = None if wrong is None else retrieval(ranking, candidates, wrong)
    ranked = ranking[candidates[ranking]]
    pictured = ranked[:examples]
    neighbours = found.near.neighbours[pictured, :shown]
    rows = np.unique(np.concatenate([found.near.rows[pictured], neighbours[neighbours >= 0]]))
    images = (yield Scan({"images": ImagesAt(tuple(rows.tolist()))}, split=data.split))["images"]
    names = data.source.class_names
    return StepResult(
        dataset=_dataset(found, data, ranked, pictured, shown, images, wrong, scored).assign_attrs(
            n_neighbors=n_neighbors, threshold=threshold, min_score=min_score
        ),
        metrics={
            "n_candidates": len(ranked),
            "knn_accuracy": found.knn_accuracy,
            "precision": scored and scored.precision,
            "recall": scored and scored.recall,
            "average_precision": scored and scored.average_precision,
        },
        exact=True,
        n_used=len(found.labels),
        n_total=data.source.n,
        columns=_columns(found, data.source.n),
        tables={
            "label_issues": {
                "sample": found.near.rows[ranked],
                "suggested": found.suggested[ranked],
                "suggested_class": label_names(names, found.suggested[ranked]),
                "share": found.share[ranked],
                "score": found.score[ranked],
            }
        },
    )


def known_wrong(source: Readable, rows: IntArray) -> BoolArray | None:
    """Which labels are wrong, where the collection says so (synthetic ones do); ``None`` where it does not."""
    collection: Any = source
    while hasattr(collection, "base"):
        collection = collection.base
    if "planted" not in getattr(collection, "extra_arrays", ()):
        return None
    wrong: BoolArray = (values_at(source, "planted", rows) & WRONG_LABEL) > 0
    return wrong


def _columns(found: LabelIssues, n: int) -> dict[str, AnyArray]:
    """What is known of each image; NaN and −1 for those that took no part."""
    columns: dict[str, AnyArray] = {
        "share": np.full(n, np.nan, np.float32),
        "suggested": np.full(n, -1, np.int16),
        "score": np.full(n, np.nan, np.float32),
    }
    for name, values in columns.items():
        values[found.near.rows] = getattr(found, name)
    return columns


def _dataset(
    found: LabelIssues,
    data: StepInput,
    ranked: IntArray,
    pictured: IntArray,
    shown: int,
    images: dict[str, AnyArray],
    wrong: BoolArray | None,
    scored: Retrieval | None,
) -> Any:
    import xarray as xr

    names = list(data.source.class_names)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (found.labels[ranked], found.suggested[ranked]), 1)
    near, thumbnails = found.near, tuple(f"thumbnail_{dim}" for dim in IMAGE_DIMS[: images["image"].ndim - 1])
    neighbours, distances = near.neighbours[pictured, :shown], near.distances[pictured, :shown]
    there = neighbours >= 0
    labels = np.full(neighbours.shape, -1, dtype=np.int16)
    labels[there] = values_at(data.source, "label", neighbours[there])
    pictures = np.zeros((*neighbours.shape, *images["image"].shape[1:]), dtype=np.uint8)
    pictures[there] = images["image"][np.searchsorted(images["row"], neighbours[there])]
    own = images["image"][np.searchsorted(images["row"], near.rows[pictured])]
    pair = ("candidate", "neighbour")
    variables: dict[str, Any] = {
        "confusion": (("class", "suggested_class"), confusion, {"long_name": "candidates"}),
        "candidate_sample": ("candidate", near.rows[pictured], {"long_name": "row"}),
        "candidate_label": ("candidate", found.labels[pictured]),
        "candidate_suggested": ("candidate", found.suggested[pictured]),
        "candidate_share": ("candidate", found.share[pictured]),
        "candidate_score": ("candidate", found.score[pictured]),
        "candidate_image": (("candidate", *thumbnails), own),
        "neighbour_sample": (pair, neighbours, {"long_name": "row, -1 where there is none"}),
        "neighbour_label": (pair, labels),
        "neighbour_distance": (pair, distances / unit_of(data.source)),
        "neighbour_image": ((*pair, *thumbnails), pictures),
    }
    if wrong is not None and scored is not None:
        variables |= {
            "candidate_wrong": ("candidate", wrong[pictured], {"long_name": "whether the label is known to be wrong"}),
            "n_wrong": ((), int(wrong.sum()), {"long_name": "labels that are known to be wrong"}),
            "precision": ("point", scored.precisions),
            "recall": ("point", scored.recalls),
        }
    coords = {"class": names, "suggested_class": names}
    return xr.Dataset(variables, coords=coords, attrs={"split": data.split, "on": data.on})
