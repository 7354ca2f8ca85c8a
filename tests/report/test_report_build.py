"""Step results become sections that are right for any collection, and the page lets nothing through."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from support import some_slow

from fmnist_dask.passes.local import ArrayCollection
from fmnist_dask.report.page import Banner, Card, Contribution, Page, Section, Table, Text, assemble, render
from fmnist_dask.workflow.page import build_report
from fmnist_dask.workflow.registry import find_step
from fmnist_dask.workflow.rundir import RunDirectory

EVIL = "<script>alert(1)</script>"  # also the name of a class of the kind "labelled"
STEPS = ("duplicates", "pixel_stats", "image_properties")
KINDS = (
    "labelled", "unlabelled", "colour", "two channels", "large", "many classes", "all the same", "partly labelled",
    "one image", "several sizes",
)  # fmt: skip


def contribution(step_result, kind, uses, split="all"):
    result, context = step_result(kind, uses, split)
    return find_step(uses).contribution(result.dataset, context)


def body(page: str) -> str:
    """The page without Bokeh's own code and without pictures."""
    return re.sub(r"data:image/png;base64,[^\"]+", "…", page[page.rindex("<body>") :])


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.found += [
            (tag, value or "") for name, value in attrs if name in ("src", "href", "action", "data", "srcset")
        ]


@pytest.mark.parametrize("kind", some_slow(["labelled", "colour", "all the same"], KINDS[1:2] + KINDS[3:6] + KINDS[7:]))
def test_any_collection_makes_a_page(step_result, kind):
    parts = {uses: contribution(step_result, kind, uses) for uses in STEPS}
    page = render(assemble(Page("title"), parts))
    for part in parts.values():
        for section in part.sections:
            assert f'id="{section.anchor}"' in page
            assert section.lead
            assert section.basis
    assert not {"nan", "inf", "none"} & set(re.sub(r"<[^>]+>", " ", body(page)).replace("None ", "").lower().split())
    assert len(page) < 5_000_000


@pytest.mark.parametrize("uses", STEPS)
def test_every_step_makes_a_page_without_the_others(step_result, uses):
    part = contribution(step_result, "labelled", uses)
    page = render(assemble(Page("title"), {uses: part}))
    anchors = re.findall(r'<a(?: class="[^"]+")? href="#([^"]+)"', page)
    assert anchors
    assert all(f'id="{anchor}"' in page for anchor in anchors)


def test_one_split_of_several(step_result):
    parts = {uses: contribution(step_result, "labelled", uses, "test") for uses in STEPS}
    for part in parts.values():
        assert any("50 of 200 images (split test)" in section.basis for section in part.sections)
    render(assemble(Page("title"), parts))


def test_findings_of_planted_faults(step_result):
    cards = {card.label: card for card in contribution(step_result, "labelled", "duplicates").cards}
    assert (cards["surplus copies"].value, cards["surplus copies"].tone) == ("2", "warn")
    assert cards["leaks between splits"].value == "1"
    assert cards["leaks between splits"].note == "1 test image also stands in train: scores there will be too high."
    assert cards["conflicting labels"].value == "1"
    assert all(card.pictures for card in cards.values())
    (card,) = contribution(step_result, "labelled", "image_properties").cards
    assert card.value != "0"
    assert card.tone == "warn"
    assert card.pictures


def test_distinct_images_are_said_to_be_distinct(step_result):
    part = contribution(step_result, "unlabelled", "duplicates")
    assert [(card.label, card.value, card.tone) for card in part.cards] == [("surplus copies", "0", "good")]
    leads = {section.anchor: section.lead for section in part.sections}
    assert leads["duplicates"] == "All 60 images are distinct: no two are the same."
    assert leads["classes"] == "60 images, 60 of them distinct within the collection. Nothing is labelled."


def test_pixel_sections_follow_the_data(step_result):
    anchors = {
        kind: {s.anchor for s in contribution(step_result, kind, "pixel_stats").sections}
        for kind in ("labelled", "colour", "unlabelled")
    }
    assert "splits" in anchors["labelled"]
    assert "splits" in anchors["colour"]
    assert "splits" not in anchors["unlabelled"]
    result, context = step_result("unlabelled", "pixel_stats")
    (table,) = next(
        s for s in contribution(step_result, "unlabelled", "pixel_stats").sections if s.anchor == "numbers"
    ).blocks
    assert isinstance(table, Table)
    assert len(table.rows) == 1
    pixels = np.repeat(np.arange(256), result.dataset["histogram"].values)
    assert table.rows[0][4] == f"{np.median(pixels):g}"
    assert table.rows[0][7] == f"{pixels.mean():.2f}"
    assert context.n_used == 60


def test_splits_that_differ_are_noticed(step_result):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 200, (400, 8, 8), dtype=np.uint8)
    leads = []
    for shift in (0, 40):
        moved = pixels.copy()
        moved[300:, 2, 3] += shift
        source = ArrayCollection(moved, None, np.arange(400) >= 300, (), ("train", "test"))
        part = contribution(step_result, source, "pixel_stats")
        leads.append(next(s.lead for s in part.sections if s.anchor == "splits"))
    assert "no more than chance" in leads[0]
    assert "1 pixel of 64 differ" in leads[1]
    assert "column 3, row 2" in leads[1]


def test_names_are_escaped_everywhere(step_result):
    parts = {uses: contribution(step_result, "labelled", uses) for uses in STEPS}
    page = Page(
        title=EVIL,
        source=EVIL,
        badges=(EVIL,),
        banners=(Banner(EVIL, EVIL),),
        cards=(Card(EVIL, EVIL, note=EVIL, link='"><b>'),),
        sections=(Section(EVIL, "x", (Text(EVIL), Table((EVIL,), ((EVIL,),))), lead=EVIL, basis=EVIL),),
        footer=EVIL,
    )
    html = render(assemble(page, parts))
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<b>" not in body(html)
    parser = Addresses()
    parser.feed(html)
    assert parser.scripts == 3  # Bokeh, its log level, and the figures


def test_report_of_a_run(garments_page):
    html = garments_page
    text = re.sub(r"<[^>]+>", " ", body(html))
    for words in (
        "synthetic images",
        "2,100",
        "Ankle boot",
        "leaks between splits",
        "1,800 of 2,100 images",
        "LocalCluster",
    ):
        assert words in text, words
    assert "cannot be shown" not in text
    titles = [
        "Images in each class",
        "Sizes",
        "A random sample",
        "Brightness of each pixel",
        "Do the splits look alike",
    ]
    titles += [
        "All pixel values",
        "Pixel values by class",
        "How bright",
        "Suspicious images",
        "Equal images",
        "Provenance",
    ]
    places = [html.index(title, html.index("<main>")) for title in titles]
    assert places == sorted(places)
    anchors = re.findall(r'<a(?: class="[^"]+")? href="#([^"]+)"', html)
    assert anchors
    assert all(f'id="{anchor}"' in html for anchor in anchors)


def test_report_needs_nothing_else(garments_page):
    html = garments_page
    parser = Addresses()
    parser.feed(html)
    assert all(address.startswith(("data:image/png;base64,", "#")) for _, address in parser.found)
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert len(html) < 3_000_000
    images = re.findall(r"<img [^>]*>", html)
    assert images
    assert all(' alt="' in image for image in images)


def test_missing_fields_do_not_break_a_report(tmp_path):
    run = RunDirectory(tmp_path / "empty")
    assert "What is in an unnamed source" in build_report(run)
    run.manifest = {
        "source": None,
        "steps": {"a": None, "b": {"status": "PENDING"}},
        "cluster": "tls://x",
        "started": "soon",
    }
    html = build_report(run)
    assert "soon" in html
    assert "PENDING" in html
    assert "Bokeh" not in html  # no figures, no library


@pytest.mark.parametrize(
    ("status", "words"), [("FAILED", "This run failed at pixels"), ("STOPPED", "This run was stopped before its end")]
)
def test_failed_and_stopped_runs_say_so(garments_run, tmp_path, status, words):
    run = RunDirectory(garments_run.path)
    state = "FAILED" if status == "FAILED" else "STOPPED"
    steps = {
        "duplicates": run.manifest["steps"]["duplicates"],
        "pixels": {"uses": "pixel_stats", "status": state},
        "later": {"status": "PENDING"},
    }
    run.manifest = {**run.manifest, "status": status, "error": "worker died <here>", "steps": steps}
    html = build_report(run)
    assert words in html
    assert "worker died &lt;here&gt;" in html
    assert "later" in html
    assert "Equal images" in html  # what was found stays readable


def test_a_result_that_cannot_be_read_is_named(garments_run):
    run = RunDirectory(garments_run.path)
    lost = {"lost": {"uses": "duplicates", "status": "SUCCEEDED"}, "odd": {"uses": "no_such_step", "status": "REUSED"}}
    steps = {"duplicates": run.manifest["steps"]["duplicates"], **lost}
    run.manifest = {**run.manifest, "steps": steps}
    html = build_report(run)
    assert "The result of step lost cannot be shown" in html
    assert "The result of step odd cannot be shown" in html
    assert "unknown step" in html
    assert "Equal images" in html


def test_steps_of_one_kind_get_anchors_of_their_own():
    section = Section("Values", "values", (Text("x"),))
    part = Contribution(cards=(Card("1", "one", link="values"),), sections=(section,))
    page = assemble(Page("t"), {"first": part, "Second One": part})
    assert [s.anchor for s in page.sections] == ["values", "values-second-one"]
    assert [card.link for card in page.cards] == ["values", "values-second-one"]
    assert page.sections[1].title == "Values (Second One)"


def test_cards_do_not_link_to_sections_that_are_missing():
    page = assemble(Page("t", cards=(Card("1", "one", link="nowhere"),)), {})
    assert page.cards[0].link == ""


def test_a_percent_sign_stays_with_its_number():
    page = Page("title", cards=(Card("86.3 %", "label", "90 % would"),))
    assert "86.3\N{NO-BREAK SPACE}%" in render(page)
    assert "90\N{NO-BREAK SPACE}% would" in render(page)
