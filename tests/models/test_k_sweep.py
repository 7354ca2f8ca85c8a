"""A sweep over numbers of clusters: shared passes, inertia that never rises, scores that are scikit-learn's."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples
from sklearn.mixture import GaussianMixture
from support import collection_of, some_slow, with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.models import k_sweep as module
from fmnist_dask.models.k_sweep import KSweep, KSweepOptions, elbow, k_sweep
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.silhouette import silhouette
from fmnist_dask.passes.local import LocalEngine, drive

KS = (1, 3, 6)


def blobs(n: int, d: int = 3, k: int = 5, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 4, (k, d))[rng.integers(0, k, n)] + rng.normal(0, spread, (n, d))


def swept(source: Any, options: KSweepOptions, tasks: int = 2, n: int | None = None, split: str = "all") -> KSweep:
    return drive(k_sweep(source, n or source.n, options, split), source, LocalEngine(tasks))


def nearest_labels(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((features[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)


def outcome(sweep: KSweep) -> list[Any]:
    """All numbers that a sweep has found."""
    return [
        (
            k,
            found.inertia,
            found.model.n_iter,
            found.model.centres.tolist(),
            found.scores,
            found.silhouette and (found.silhouette.mean, found.silhouette.interval),
            found.mixture and (found.mixture.log_likelihood, found.mixture.model.means.tolist()),
        )
        for k, found in sweep.found.items()
    ]


@pytest.mark.slow
def test_all_numbers_of_clusters_share_their_passes() -> None:
    # Without structure, and with more samples than the subset has: iterations take a while.
    source = with_features(np.random.default_rng(5).random((9_000, 3)), 3000)
    ks = (3, 6, 9)
    options = KSweepOptions(ks, n_init=2, tol=1e-6, silhouette=100)
    engine = LocalEngine(1)
    sweep = drive(k_sweep(source, 9_000, options), source, engine)
    iterations = [len(found.model.history[0]) for found in sweep.found.values()]
    assert min(iterations) >= 3
    # Two that look at the samples, one for sums and the subset, one for scores and silhouettes.
    slowest = max(len(history) for found in sweep.found.values() for history in found.model.history)
    assert engine.statistics.passes == sweep.passes == slowest + 4
    assert sweep.passes < sum(iterations)


@pytest.mark.parametrize("kind", some_slow(["floats"], ["pixels"]))
def test_the_same_for_any_chunking_and_scored_as_scikit_learn_does(kind: str) -> None:
    options = KSweepOptions(KS, n_init=2, silhouette=150, mixture="diag" if kind == "pixels" else "full")
    outcomes = []
    for rows, tasks in ((256, 1), (768, 1), (512, 2), (70, 4)):
        source = collection_of(600, (6, 5), rows, seed=2) if kind == "pixels" else with_features(blobs(600), rows)
        sweep = swept(source, options, tasks)
        outcomes.append(outcome(sweep))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    # Mixtures add in panels, and collections are cut at multiples of these; all else is the same for any cut.
    assert [one[:-1] for one in outcomes[0]] == [one[:-1] for one in outcomes[3]]
    features = source.read("image", 0, 600).reshape(600, -1).astype(float) if kind == "pixels" else blobs(600)
    for k, found in sweep.found.items():
        labels = nearest_labels(features, found.model.centres)
        assert found.inertia == pytest.approx(((features - found.model.centres[labels]) ** 2).sum(), rel=1e-9)
        if k == 1:
            assert found.silhouette is None
            assert found.scores.davies_bouldin is None
            continue
        assert found.scores.davies_bouldin == pytest.approx(davies_bouldin_score(features, labels), rel=1e-9)
        assert found.scores.calinski_harabasz == pytest.approx(calinski_harabasz_score(features, labels), rel=1e-9)
        assert found.silhouette is not None
        expected = silhouette_samples(features, labels)
        np.testing.assert_allclose(found.silhouette.values, expected[found.silhouette.rows], atol=1e-6)
        alone = drive(silhouette(source, labels, k, sample=150, seed=0), source)
        np.testing.assert_array_equal(found.silhouette.rows, alone.rows)
        assert found.silhouette.mean == pytest.approx(alone.mean, abs=1e-12)
        assert found.silhouette.interval == pytest.approx(alone.interval, abs=1e-12)


def test_exact_silhouettes_of_a_split() -> None:
    source = collection_of(300, (4, 4), 64, seed=4)
    inside = source.read("split", 0, 300) == 0
    features = source.read("image", 0, 300).reshape(300, -1)[inside].astype(float)
    sweep = swept(source, KSweepOptions((2, 4), 2, silhouette="exact"), n=int(inside.sum()), split="train")
    for found in sweep.found.values():
        labels = nearest_labels(features, found.model.centres)
        assert found.silhouette is not None
        assert found.silhouette.interval == 0
        assert found.silhouette.mean == pytest.approx(silhouette_samples(features, labels).mean(), abs=1e-9)


def test_inertia_never_rises_even_where_starts_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    features = blobs(900, 2, 12, 0.1)
    source = with_features(features, 256)
    good = swept(source, KSweepOptions((4, 6, 8, 10), 2))
    assert good.regrown == []
    original = module.find_chains

    def spoilt(points: Any, ks: Any, *others: Any) -> Any:
        """Starts for 8 clusters that Lloyd's iterations cannot leave: seven share one blob."""
        chains = original(points, ks, *others)
        far = np.argsort(((points - points[0]) ** 2).sum(axis=1), kind="stable")
        labels = np.full(len(points), 7)
        labels[far[:70]] = np.arange(70) % 7
        for chain in chains:
            chain[ks.index(8)]["labels"] = labels
        return chains

    monkeypatch.setattr(module, "find_chains", spoilt)
    mended = swept(source, KSweepOptions((4, 6, 8, 10), 2))
    assert mended.regrown == [8]
    inertia = [found.inertia for found in mended.found.values()]
    assert inertia == sorted(inertia, reverse=True)
    labels = nearest_labels(features, mended.found[8].model.centres)
    assert mended.found[8].scores.davies_bouldin == pytest.approx(davies_bouldin_score(features, labels), rel=1e-9)


@pytest.mark.data
def test_at_least_as_good_as_scikit_learn_on_fashion_mnist(real_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784)
    codes = PCA(10, random_state=0).fit_transform(pixels / 255)
    ks = (2, 4, 8, 12, 20, 30)
    sweep = swept(with_features(codes, 2000), KSweepOptions(ks, n_init=3))
    inertia = [found.inertia for found in sweep.found.values()]
    assert inertia == sorted(inertia, reverse=True)
    for k, found in sweep.found.items():
        assert found.inertia <= 1.01 * KMeans(k, n_init=10, random_state=0).fit(codes).inertia_


def test_mixtures_are_scored_as_scikit_learn_does() -> None:
    features = blobs(800, 3, 4, 0.8)
    sweep = swept(with_features(features, 256), KSweepOptions((1, 4, 6), 2, mixture="full"))
    for k, found in sweep.found.items():
        assert found.mixture is not None
        model, total = found.mixture.model, found.mixture.log_likelihood
        reference = GaussianMixture(k)
        reference.weights_, reference.means_, reference.covariances_ = model.weights, model.means, model.covariances
        reference.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances))
        assert total / 800 == pytest.approx(reference.score(features), abs=1e-9)
        assert model.bic(total) == pytest.approx(reference.bic(features), rel=1e-9)
    best = min(sweep.found, key=lambda k: sweep.found[k].mixture.model.bic(sweep.found[k].mixture.log_likelihood))
    assert best == 4


def test_a_mixture_that_collapses_harms_no_other() -> None:
    features = np.concatenate([np.zeros((60, 2)), np.random.default_rng(0).normal(9, 1, (60, 2))])
    sweep = swept(with_features(features, 50), KSweepOptions((1, 2), 2, mixture="full", reg_covar=0.0))
    assert sweep.found[2].mixture is None
    assert sweep.found[1].mixture is not None


def test_fewer_distinct_samples_than_clusters() -> None:
    source = collection_of(80, (3, 3), 32, distinct=4)
    sweep = swept(source, KSweepOptions((2, 4, 7), 2, silhouette=30))
    assert sweep.found[2].inertia > sweep.found[4].inertia == sweep.found[7].inertia == 0
    assert (sweep.found[7].sizes > 0).sum() == 4
    assert sweep.found[7].scores == sweep.found[4].scores
    assert sweep.found[7].silhouette.mean == 1.0


def test_constant_pixels() -> None:
    source = collection_of(40, (3, 3), 16, distinct=1)
    sweep = swept(source, KSweepOptions((1, 2, 3), 2, silhouette=20, mixture="diag"))
    assert [found.inertia for found in sweep.found.values()] == [0, 0, 0]
    assert sweep.found[3].scores.calinski_harabasz is None
    assert elbow((1, 2, 3), [0.0, 0.0, 0.0]) is None


@pytest.mark.parametrize(
    ("values", "ks", "words"),
    [
        (np.ones((5, 2)), (2, 6), "6 clusters of 5 samples"),
        (np.ones((5, 2)), (3, 2), "ascending"),
        (np.ones((5, 2)), (0, 2), "from 1 up"),
        (np.ones((5, 2)), (), "from 1 up"),
        (np.array([[1.0], [np.nan], [2.0]]), (1, 2), "NaN or infinity, the first in row 1"),
    ],
)
def test_what_cannot_be_swept_is_refused(values: np.ndarray, ks: tuple[int, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        swept(with_features(values), KSweepOptions(ks))


def test_the_elbow_is_where_the_curve_is_farthest_below_its_chord() -> None:
    assert elbow((1, 2, 3, 4, 5), [100.0, 40.0, 30.0, 25.0, 20.0]) == 2
    assert elbow((2, 4, 10), [10.0, 5.0, 0.0]) == 4
    assert elbow((1, 2, 3), [3.0, 2.0, 1.0]) is None  # a line
    assert elbow((1, 2, 3), [3.0, 2.9, 1.0]) is None  # above it
    assert elbow((1, 2), [3.0, 1.0]) is None


def test_one_number_alone_is_what_a_k_means_finds() -> None:
    source = with_features(blobs(700), 256)
    options = KSweepOptions((5,), 3)
    alone = drive(kmeans(source, 700, options.kmeans(5)), source)
    found = swept(source, options).found[5]
    assert found.inertia == pytest.approx(min(passes[-1] for passes in alone.history if passes), rel=1e-6)
