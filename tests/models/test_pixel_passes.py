"""Statistics of pixels in several passes: equal to those of one pass and to NumPy, within the declared memory."""

from __future__ import annotations

import dataclasses
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same, collection_of, rechunked

from fmnist_dask.models import pixel_passes, pixel_stats
from fmnist_dask.models.pixel_passes import STATE_BYTES, Stage, foreseen_passes, passes_of, stages
from fmnist_dask.models.pixel_stats import pixel_statistics
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.pixels import IntervalCounts, PixelSummary, counter, sum_types
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps.pixel_stats import _foresees

#: Budgets of the states: all pixels at once; a few tiles; one pixel at a time.
BUDGETS = (20_000, 1_500, 1)
PROBABILITIES = (0.0, 0.05, 0.25, 1 / 3, 0.5, 0.95, 1.0)


@dataclasses.dataclass
class Declared:
    """A collection that is only described."""

    n: int
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...] = tuple("abcdefghij")
    splits: dict[str, int] = dataclasses.field(default_factory=lambda: {"train": 1, "test": 1})

    @property
    def image_bytes(self) -> int:
        return int(np.prod(self.image_shape))


class Watching(LocalEngine):
    """Notes the scans that it runs, and compares states with what was declared."""

    def __init__(self, n_tasks: int = 3) -> None:
        super().__init__(n_tasks)
        self.scans: list[Scan] = []

    def run_pass(self, source, scans, progress=None):
        self.scans += scans.values()
        outcome = super().run_pass(source, scans, progress)
        for (reduction, _), state in zip(outcome.fused.reductions, outcome.states, strict=True):
            assert bytes_of(state) <= reduction.state_bytes(source)
        return outcome


def bytes_of(state) -> int:
    if isinstance(state, dict):
        return sum(map(bytes_of, state.values()))
    return getattr(state, "nbytes", 8)


def statistics_of(source, split=None, probabilities=PROBABILITIES, by="label", engine=None, budget=None):
    with pytest.MonkeyPatch.context() as patch:
        if budget is not None:
            patch.setattr(pixel_passes, "STATE_BYTES", budget)
            patch.setattr(pixel_stats, "fits_one_pass", lambda *_: False)
        return drive(pixel_statistics(source, split, probabilities, by), source, engine)


def contents(found):
    return {
        "overall": vars(found.overall),
        "by_class": {label: vars(own) for label, own in found.by_class.items()},
        "by_split": {name: vars(own) for name, own in found.by_split.items()},
    }


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.integers(1, 60),
    st.sampled_from([(4, 5), (1, 1), (3, 2, 3)]),
    st.integers(1, 70),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
    st.sampled_from(BUDGETS),
    st.integers(0, 99),
)
def test_several_passes_tell_what_one_does(n, shape, chunk_rows, split, distinct, labelled, budget, seed):
    source = collection_of(n, shape, chunk_rows=chunk_rows, distinct=distinct, labelled=labelled, seed=seed)
    engine = Watching(1 + seed % 5)
    found = statistics_of(source, split, engine=engine, budget=budget)
    assert len(engine.scans) > 1
    expected = statistics_of(source, split)
    assert_same(contents(found), contents(expected))


@given(st.integers(1, 40), st.integers(0, 99), st.lists(st.floats(0, 1), min_size=1, max_size=32))
def test_quantiles_of_several_passes_are_numpys(n, seed, probabilities):
    """Also many of them, in any order, repeated."""
    source = collection_of(n, (2, 3), seed=seed, distinct=1 + seed % 7)
    found = statistics_of(source, probabilities=tuple(probabilities), by=None, budget=400).overall
    np.testing.assert_array_equal(found.quantiles, np.quantile(source.image, probabilities, axis=0))
    np.testing.assert_array_equal(found.minimum, source.image.min(axis=0))
    np.testing.assert_array_equal(found.mean, source.image.sum(axis=0, dtype=np.int64) / n)


@pytest.mark.slow
@given(st.integers(1, 80), st.integers(1, 9), st.sampled_from(BUDGETS))
def test_chunks_and_tasks_change_nothing(chunk_rows, n_tasks, budget):
    whole = collection_of(70, chunk_rows=70)
    one = statistics_of(whole, budget=budget)
    other = statistics_of(rechunked(whole, chunk_rows), engine=LocalEngine(n_tasks), budget=budget)
    assert_same(contents(one), contents(other))


def test_one_class_and_an_empty_split():
    image = np.random.default_rng(0).integers(0, 256, (9, 3, 3), dtype=np.uint8)
    source = ArrayCollection(image, np.zeros(9, int), None, ("only",), ("train", "test"), 4)
    found = statistics_of(source, 0, budget=500)
    assert_same(contents(found), contents(statistics_of(source, 0)))
    empty = statistics_of(source, 1, budget=500).overall
    assert (empty.n, empty.histogram.sum()) == (0, 0)
    assert np.isnan(empty.quantiles).all()


@pytest.mark.parametrize("n", [1, 255, 256, 600])
def test_more_rows_of_a_block_than_a_byte_counts(n):
    image = np.random.default_rng(n).integers(100, 103, (n, 2, 2), dtype=np.uint8)
    source = ArrayCollection(image, chunk_rows=n)
    found = statistics_of(source, budget=100).overall
    np.testing.assert_array_equal(found.quantiles, np.quantile(image, PROBABILITIES, axis=0))
    np.testing.assert_array_equal(found.histogram, np.bincount(image.ravel(), minlength=256))


def test_counters_are_wide_enough():
    assert [counter(most) for most in (65_535, 65_536, 2**32)] == [np.uint16, np.uint32, np.uint64]
    for n in (1, 65_000, 66_052, 10**7, 2 * 10**7, 10**11):
        total, square = sum_types(n)
        assert 255 * n <= np.iinfo(total).max
        assert 255**2 * n <= np.iinfo(square).max


def test_a_sum_of_32_bits_does_not_overflow_between_tasks():
    """70,000 white images: the squares' sum is beyond 32 bits, the number of images beyond 16."""
    image = np.full((70_000, 1, 1), 255, np.uint8)
    found = statistics_of(ArrayCollection(image, chunk_rows=10_000), budget=1).overall
    assert (found.mean.item(), found.std.item(), found.quantiles.ravel().tolist()) == (255, 0, [255] * 7)


# How passes are cut


def test_small_images_take_one_pass():
    garments = Declared(70_000, (28, 28))
    for split, labelled in itertools.product((None, 0), (True, False)):
        assert len(foreseen_passes(garments, split, labelled, 3)) == 1


@pytest.mark.parametrize(
    ("n", "shape", "passes"),
    [(20_000, (64, 64, 3), 2), (10**6, (64, 64, 3), 2), (4_000, (224, 224, 3), 4), (10**6, (224, 224, 3), 5)],
)
def test_photographs_take_few_passes(n, shape, passes):
    source = Declared(n, shape)
    cut = stages(source, 0, True, 3)
    assert passes_of(cut, source.image_bytes) == passes
    assert sum(stage.bits for stage in cut) == 8
    assert cut[-1].last
    for stage in cut:
        assert stage.pixel_bytes * stage.tile <= STATE_BYTES
        tiles = stage.tiles(source.image_bytes)
        assert tiles[0][0] == 0
        assert tiles[-1][1] == source.image_bytes
        assert all(left[1] == right[0] for left, right in itertools.pairwise(tiles))


@pytest.mark.parametrize("budget", BUDGETS)
def test_plans_foresee_the_passes_and_their_states(budget, monkeypatch):
    monkeypatch.setattr(pixel_passes, "STATE_BYTES", budget)
    source = collection_of(90, (3, 2, 3), chunk_rows=20)
    engine = Watching()
    statistics_of(source, 0, (0.25, 0.5, 0.75), engine=engine)
    foreseen = foreseen_passes(source, 0, True, 3)
    assert [type_and_size(scan, source) for scan in foreseen] == [type_and_size(scan, source) for scan in engine.scans]
    later = [item.scan for item in _foresees(StepInput(source, "train", 0, 0), by="label", quantiles=(0.25, 0.5, 0.75))]
    assert [type_and_size(scan, source) for scan in later] == [type_and_size(scan, source) for scan in engine.scans[1:]]


def type_and_size(scan, source):
    (reduction,) = scan.reductions.values()
    return type(reduction), reduction.state_bytes(source), reduction.first


def test_a_budget_bounds_every_state():
    source = Declared(4_000, (224, 224, 3))
    fixed = 12 * (8 * 256 + 64)
    for scan in foreseen_passes(source, 0, True, 3):
        (reduction,) = scan.reductions.values()
        assert isinstance(reduction, PixelSummary | IntervalCounts)
        assert reduction.state_bytes(source) <= STATE_BYTES + fixed
        assert len(pickle.dumps(reduction)) < 8 * 2**20


def test_a_stage_covers_all_pixels():
    assert Stage(2, 8, 1, 4, 4).tiles(10) == [(0, 4), (4, 8), (8, 10)]
