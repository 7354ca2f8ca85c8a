"""Clusters in the report: galleries, composition, convergence, and several clusterings in one run."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from bokeh.models import Line, Rect
from report_support import context, kmeans_result, pca_result, pictures

from fmnist_dask.models.clusters import agreement
from fmnist_dask.report.blocks import Profiles, Switch, figures_of
from fmnist_dask.report.figures.categories import CATEGORY_COLOURS, REST_COLOUR
from fmnist_dask.report.figures.composition import share_mapper
from fmnist_dask.report.figures.convergence import BEST_COLOUR
from fmnist_dask.report.page import Contribution, Page, Section, Text, assemble, render
from fmnist_dask.workflow.figures import kmeans, pca
from fmnist_dask.workflow.figures._composition import purity_sentence
from fmnist_dask.workflow.page import build_report
from fmnist_dask.workflow.rundir import RunDirectory

EVIL = "<script>alert(1)</script>"
NAMES = ("shoe", EVIL, "a name that is much too long for an axis")


def sections(part):
    return {section.anchor: section for section in part.sections}


def profiles(part):
    (block,) = sections(part)["clusters"].blocks
    assert isinstance(block, Profiles)
    return block.profiles


@pytest.fixture(scope="module")
def clustered():
    """Clusters that are nearly the kinds of the images, smallest first by number."""
    images, kind = pictures(240, (12, 12))
    kind = np.sort(kind)[::-1].copy()
    cluster = kind.copy()
    cluster[::20] = (cluster[::20] + 1) % 3
    return images, kind, cluster, kmeans_result(images, cluster, kind, NAMES)


def told(dataset: xr.Dataset, n: int = 240, names: tuple[str, ...] = NAMES) -> object:
    metrics = {"inertia": 1234.5, "n_iter": 2, "nmi": None, "ari": None, "matched_accuracy": None}
    if "composition" in dataset:
        metrics |= agreement(dataset["composition"].values[:, : len(names)])
    return context("kmeans", n, names, metrics=metrics)


def test_clusters_are_shown_from_the_largest(clustered):
    _, kind, cluster, dataset = clustered
    part = kmeans.figures(dataset, told(dataset))
    sizes = np.bincount(cluster)
    order = np.argsort(-sizes, kind="stable")
    shown = profiles(part)
    assert [profile.name for profile in shown] == [f"Cluster {at}" for at in order]
    first = shown[0]
    assert first.lines[0] == f"{sizes[order[0]]} images, {100 * sizes[order[0]] / 240:.1f} % of all"
    major = NAMES[int(np.bincount(kind[cluster == order[0]]).argmax())]
    assert major in first.lines[1].split(",")[0]
    assert [label for label, _ in first.strips] == ["nearest to the centre", "farthest from it"]
    for profile, at in zip(shown, order, strict=True):
        for _, strip in profile.strips:
            rows = [int(re.search(r"row (\d+)", shot.alt)[1]) for shot in strip]
            assert set(cluster[rows]) == {at}
            framed = [shot.tone == "warn" for shot in strip]
            assert framed == [NAMES[kind[row]] != NAMES[np.bincount(kind[cluster == at]).argmax()] for row in rows]
    (card,) = part.cards
    assert (card.value, card.label, card.link) == ("3", "clusters of pixels", "clusters")


def test_composition_is_a_heatmap_and_bars(clustered):
    _, _, cluster, dataset = clustered
    part = kmeans.figures(dataset, told(dataset))
    section = sections(part)["composition"]
    heatmap, bars = figures_of(section.blocks)
    cells = next(r for r in heatmap.model.renderers if isinstance(r.glyph, Rect)).data_source.data
    table = dataset["composition"].values
    for row, column, count, share in zip(cells["y"], cells["x"], cells["count"], cells["share"], strict=True):
        at = int(heatmap.model.yaxis[0].major_label_overrides[row].split()[1])
        assert count == table[at, column]
        assert share == pytest.approx(table[at, column] / (cluster == at).sum())
    diagonal = [
        share for row, column, share in zip(cells["y"], cells["x"], cells["share"], strict=True) if row == column
    ]
    assert min(diagonal) > 0.8  # clusters stand in the order of their classes
    assert [swatch.colour for swatch in bars.legend] == list(CATEGORY_COLOURS[:3])
    drawn = bars.model.renderers[0].data_source.data
    assert sum(drawn["count"]) == 240
    assert section.lead.startswith("No cluster is one class: the purest, cluster")
    found = agreement(table)
    assert f"NMI {found['nmi']:.2f}" in section.lead
    assert f"{100 * found['matched_accuracy']:.1f} % of the labelled images" in section.lead


def test_purity_in_words():
    def sentence(table, size=None):
        table = np.array(table)
        return purity_sentence(["cat", "dog", "not labelled"], table, table.sum(axis=1) if size is None else size)

    assert sentence([[9, 1, 0], [3, 5, 0]]) == "No cluster is one class: the purest, cluster 0, is 90 % cat."
    assert sentence([[9, 0, 0], [0, 5, 0]]) == "Every cluster is one class."
    assert sentence([[9, 0, 0], [3, 5, 0], [0, 0, 0]]).startswith("1 of 2 clusters is one class alone, with 9 of 17")
    assert sentence([[3, 1, 0]]) == "The only cluster is 75 % cat."
    assert sentence([[2, 0, 8], [1, 0, 9]]) == "No cluster is one class: the purest, cluster 0, is 20 % cat."
    assert "more than 99.9 % cat" in sentence([[99999, 1, 0], [1, 1, 0]])
    assert sentence([[0, 0, 0]]) == "No cluster has images."


def test_convergence_shows_the_start_that_was_taken(clustered):
    images, kind, cluster, _ = clustered
    history = np.array([[9.0, 7.5, np.nan], [8.0, 7.0, 6.0], [np.nan] * 3])
    dataset = kmeans_result(images, cluster, kind, NAMES, history=history)
    section = sections(kmeans.figures(dataset, told(dataset)))["convergence"]
    lines, dots = figures_of(section.blocks)
    drawn = [r for r in lines.model.renderers if isinstance(r.glyph, Line)]
    assert [r.data_source.data["value"].tolist() for r in drawn] == [[9.0, 7.5], [8.0, 7.0, 6.0]]
    assert drawn[1].glyph.line_color == BEST_COLOUR
    assert drawn[0].glyph.line_color != BEST_COLOUR
    assert dots.model.renderers[0].data_source.data["value"].tolist() == [2.0, 2.5, 3.0]
    assert dots.title == "3 starts on a random subset of 100 images"
    assert "is 1,234.50" in section.lead
    assert "Of 3 starts, 2 went through passes over all images; the worst of them ended 25.00 % above" in section.lead


@pytest.mark.parametrize("history", [np.zeros((0, 0)), np.full((2, 3), np.nan), np.array([[4.0]])])
def test_without_iterations_there_is_no_curve(clustered, history):
    images, kind, cluster, _ = clustered
    dataset = kmeans_result(images, cluster, kind, NAMES, history=history)
    dataset = dataset.assign(start_inertia=("candidate", np.full(3, np.nan)))
    section = sections(kmeans.figures(dataset, told(dataset)))["convergence"]
    assert list(figures_of(section.blocks)) == []
    assert section.blocks == (Text("There is no more to draw: no start took more than one pass."),)


def test_clusters_without_labels(clustered):
    images, _, cluster, _ = clustered
    dataset = kmeans_result(images, cluster)
    part = kmeans.figures(dataset, told(dataset, names=()))
    assert list(sections(part)) == ["clusters", "convergence"]
    assert part.cards[0].note.startswith("The largest has")
    assert all(len(profile.lines) == 2 for profile in profiles(part))


@pytest.mark.parametrize(
    ("shape", "k", "classes"), [((64, 64, 3), 4, 2), ((8, 8), 1, 3), ((8, 8), 70, 300), ((9, 12, 2), 3, 1)]
)
def test_any_result_makes_a_page(shape, k, classes):
    images, kind = pictures(320, shape, classes)
    names = tuple(f"class {at}" for at in range(classes))
    cluster = np.arange(320) % k
    cluster[cluster == k // 2] = 0  # one is empty
    label = np.where(np.arange(320) % 9 == 0, -1, kind)
    dataset = kmeans_result(images, np.r_[cluster[:-1], k - 1], label, names)
    part = kmeans.figures(dataset, told(dataset, 320, names))
    html = render(assemble(Page("t"), {"kmeans": part}))
    body = re.sub(r"data:image/[a-z]+;base64,[^\"]+", "…", html[html.rindex("<body>") :])
    words = set(re.sub(r"<[^>]+>", " ", body).replace("clusters tell nothing", "").lower().split())
    assert not {"nan", "inf", "none"} & words
    assert len(html) < 4_000_000
    *_, bars = figures_of(sections(part)["composition"].blocks)
    assert ("smaller classes" in " ".join(swatch.name for swatch in bars.legend)) == (classes > 12)
    assert bars.legend[-1].name == "not labelled"
    if classes > 12:
        assert bars.legend[-2].colour == REST_COLOUR
        assert "the 60 largest of 69 clusters" in " ".join(
            f.caption for f in figures_of(sections(part)["composition"].blocks)
        )


def test_shares_that_are_all_small_use_all_colours():
    assert share_mapper(0.03).high == 0.03
    assert share_mapper(0.8).high == share_mapper(0.0).high == 1.0


def test_two_clusterings_stand_one_after_the_other(clustered):
    images, kind, cluster, dataset = clustered
    other = kmeans_result(images, (cluster + 1) % 3, kind, NAMES, on="pca")
    parts = {
        "first": kmeans.figures(dataset, told(dataset)),
        "on pca": kmeans.figures(other, told(other)),
        "last": Contribution(sections=(Section("Last", "last", (Text("x"),), order=460),)),
    }
    page = assemble(Page("t"), parts)
    assert [section.anchor for section in page.sections] == [
        "clusters", "composition", "convergence", "clusters-on-pca", "composition-on-pca", "convergence-on-pca", "last",
    ]  # fmt: skip
    assert page.sections[3].title == "Clusters of the codes of pca (on pca)"
    assert [card.link for card in page.cards] == ["clusters", "clusters-on-pca"]
    assert [card.label for card in page.cards] == ["clusters of pixels", "clusters of the codes of pca"]


def test_hostile_names_are_escaped(clustered):
    images, kind, _, dataset = clustered
    map_part = pca.figures(pca_result(images, kind), context("pca", 240, NAMES, others={EVIL: dataset}))
    html = render(assemble(Page("t"), {"pca": map_part, "kmeans": kmeans.figures(dataset, told(dataset))}))
    assert EVIL not in html
    assert f"cluster ({EVIL})".replace("<", "&lt;").replace(">", "&gt;") in html


@pytest.mark.slow
def test_report_of_a_run_knows_the_other_steps(clustered, tmp_path):
    images, kind, _, dataset = clustered
    run = RunDirectory(tmp_path / "run")
    run.create()
    results = {"pca": pca_result(images, kind), "groups": dataset}
    for name, result in results.items():
        result.to_zarr(run.results / name, zarr_format=3, consolidated=False)
    uses = {"pca": "pca", "groups": "kmeans", "lost": "kmeans"}
    run.manifest = {
        "status": "SUCCEEDED",
        "source": {"name": "blocks", "n": 240, "class_names": list(NAMES)},
        "steps": {name: {"uses": step, "status": "SUCCEEDED", "metrics": {}} for name, step in uses.items()},
    }
    html = build_report(run)
    assert html.count("cannot be shown") == 1  # of the step that is lost, not of the map that looked for it
    assert "The result of step lost cannot be shown" in html
    assert ">cluster (groups)</label>" in html
    ids = re.findall(r'<input type="radio" name="switch-0" id="([^"]+)"', html)
    assert ids == ["switch-0-1", "switch-0-2"]
    assert all(f'<label for="{name}">' in html for name in ids)
    assert html.count(" checked>") == 1
    assert "input:nth-of-type(2):checked ~ .panels > .panel:nth-child(2)" in html
    assert ".panel:nth-child(3)" not in html


def test_a_single_choice_is_no_switch():
    switch = Switch("Colour by", (("class", (Text("inside"),)),))
    html = render(Page("t", sections=(Section("s", "s", (switch,)),)))
    assert "inside" in html
    assert 'type="radio"' not in html
    assert "{ display: block; }" in html
