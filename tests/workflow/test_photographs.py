"""Steps of ``explore`` on colour photographs of more than 4,096 values: requests, exactness, what plans say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support import collection_of

from fmnist_dask.collection.thumbnails import shrink
from fmnist_dask.models import pixel_passes, pixel_stats
from fmnist_dask.models.kmeans_starts import MOST_SUBSET_BYTES, KMeansOptions, lanes_of, subset_size
from fmnist_dask.models.starts import LANE_BYTES, Lane, drop_hopeless, most_lanes
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.images import thumbnail_bytes
from fmnist_dask.report.figures.heatmaps import reduce_mean, reduction_factor
from fmnist_dask.workflow.figures.pixel_stats import figures
from fmnist_dask.workflow.registry import ReportContext, StepInput, find_step

SHAPE = (40, 40, 3)


class Recorder(LocalEngine):
    """Notes reductions and columns of each scan."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []

    def run_pass(self, source, scans, progress=None):
        self.asked += [kinds(scan) for scan in scans.values()]
        return super().run_pass(source, scans, progress)


def kinds(scan: Scan) -> tuple[str, ...]:
    return tuple(type(item).__name__ for item in (*scan.reductions.values(), *scan.columns.values()))


def run_step(uses, engine=None, **given):
    step = find_step(uses)
    parameters = step.parameters(**given).model_dump()
    data = StepInput(photographs(), "train", 0, seed=0)
    result = drive(step.function(data, **parameters), data.source, engine)
    foreseen = [item.scan for item in step.foresees(data, **parameters) if item.scan] if step.foresees else []
    return result, foreseen


def photographs():
    return collection_of(90, SHAPE, chunk_rows=32, seed=3)


def test_pca_is_randomized_and_says_so():
    engine = Recorder()
    result, foreseen = run_step("pca", engine, n_components=5)
    assert result.exact is False
    assert result.dataset.attrs["method"] == "randomized"
    assert kinds(foreseen[0]) == ("Sketch",)
    assert engine.asked.count(("Sketch",)) == 5
    (basis,) = {item.basis.values.shape for item in foreseen[0].reductions.values()}
    assert basis == (4800, 15)


def test_pixel_statistics_take_the_passes_that_plans_say(monkeypatch):
    expected, foreseen = run_step("pixel_stats")
    assert foreseen == []
    monkeypatch.setattr(pixel_passes, "STATE_BYTES", 2**19)
    engine = Recorder()
    result, foreseen = run_step("pixel_stats", engine)
    assert [kinds(scan) for scan in foreseen] == engine.asked[1:]
    assert len(foreseen) > 2
    assert result.exact is True
    assert result.dataset.identical(expected.dataset)


@pytest.mark.parametrize(("side", "k", "lanes"), [(28, 10, 8), (224, 10, 4), (512, 10, 1)])
def test_starts_go_together_as_far_as_their_centres_are_small(side, k, lanes):
    d = side * side if side == 28 else side * side * 3
    assert most_lanes(k, d) == lanes_of(KMeansOptions(k, n_init=10), d) == lanes
    assert most_lanes(k, d) == 1 or most_lanes(k, d) * k * d * 8 <= LANE_BYTES


def test_the_best_starts_are_kept(monkeypatch):
    monkeypatch.setattr("fmnist_dask.models.starts.LANE_BYTES", 2 * 8 * 3 * 5)
    lanes = [Lane(number, np.full((3, 5), float(number)), start=1 + number * 1e-4) for number in range(4)]
    assert [lane.number for lane in drop_hopeless(lanes, lanes)] == [0, 1]


@pytest.mark.parametrize(
    ("shape", "k", "rows"), [((28, 28), 10, 8192), ((64, 64, 3), 10, 2048), ((224, 224, 3), 10, 167)]
)
def test_subsets_for_starts_are_bounded(shape, k, rows):
    size = int(np.prod(shape))
    source = SimpleNamespace(n_features=size, feature_dtype="uint8")
    assert subset_size(source, 10**6, KMeansOptions(10)) == rows
    assert rows * size <= MOST_SUBSET_BYTES


@pytest.mark.parametrize("shape", [(28, 28), (64, 64, 3), (65, 20), (224, 224, 3), (300, 70, 3)])
def test_thumbnails_weigh_what_is_declared(shape):
    source = SimpleNamespace(image_shape=shape)
    assert thumbnail_bytes(source) == shrink(np.zeros((1, *shape), np.uint8)).nbytes


def test_maps_of_large_images_are_drawn_small_and_say_so():
    assert [reduction_factor(shape) for shape in ((28, 28), (64, 64), (65, 10), (224, 224))] == [1, 1, 2, 4]
    assert reduce_mean(np.zeros((224, 224, 3))).shape == (56, 56, 3)
    result, _ = run_step("pixel_stats")
    assert "40 rows, 40 columns. Point at a pixel" in caption(result.dataset)
    large = result.dataset.isel(y=np.arange(130) % 40, x=np.arange(130) % 40)
    assert "130 rows, 130 columns; each square is the mean of 3 × 3 pixels" in caption(large)


def caption(dataset):
    context = ReportContext("pixels", "pixel_stats", "train", {}, 90, 90, ("shoe", "shirt", "bag"))
    return figures(dataset, context).sections[0].blocks[0].caption


def test_one_method_is_as_good_as_the_other(monkeypatch):
    expected, _ = run_step("pixel_stats", quantiles=[0.1, 0.9, 0.5, 0.5])
    monkeypatch.setattr(pixel_stats, "fits_one_pass", lambda *_: False)
    found, _ = run_step("pixel_stats", quantiles=[0.1, 0.9, 0.5, 0.5])
    assert found.dataset.identical(expected.dataset)
