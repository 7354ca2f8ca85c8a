"""The page of runs in Dask's dashboard: what drivers tell the scheduler, drawn anew every second."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import BasicTicker, ColumnDataSource, Div, InlineStyleSheet, NumeralTickFormatter, Select, Span
from bokeh.plotting import figure

from fmnist_dask.cluster.dashboard_html import (
    COLOURS,
    STYLE,
    empty_html,
    headline_html,
    moment,
    number,
    size,
    steps_html,
)
from fmnist_dask.cluster.topics import RUN_TOPIC

logger = logging.getLogger(__name__)

#: Milliseconds between two looks.
INTERVAL = 1000
#: Bars of workers that are drawn; of more, those with the most memory.
MOST_BARS = 40
#: A curve of so many points may have been thinned by its driver, so that they are not numbered by iteration any more.
THINNED = 200
UNREADABLE = "What the driver of this run tells cannot be shown here; <code>fmnist-dask watch RUN</code> may show it."
#: Dask's navigation takes two lines in windows of some widths, and lies over what is below it.
BELOW_NAVIGATION = "@media (min-width: 801px) and (max-width: 1230px) { :host { margin-top: 44px; } }"


def workflows_document(scheduler: Any, extra: Mapping[str, Any], doc: Any) -> None:
    """Fill a Bokeh document with the page; Dask calls this for each browser that opens it.

    Parameters
    ----------
    scheduler
        The :class:`distributed.Scheduler` that drivers tell of their runs.
    extra
        What the template of Dask's pages wants to know: prefix, pages of the navigation.
    doc
        The document to fill.
    """
    from distributed.dashboard.components.scheduler import BOKEH_THEME, env

    page = RunsPage(scheduler)
    page.update()
    doc.title = "Dask: Workflows"
    doc.add_root(page.root)
    doc.add_periodic_callback(page.update, INTERVAL)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME


def told_runs(scheduler: Any) -> dict[str, tuple[float, Mapping[str, Any]]]:
    """Run → (when, snapshot), as last told; newest runs first."""
    try:
        # get_events() would copy all events of all topics each time.
        topics = {name: topic.events for name, topic in scheduler._broker._topics.items()}
    except AttributeError:  # another distributed
        topics = scheduler.get_events()
    last = {
        name.removeprefix(RUN_TOPIC): told[-1] for name, told in topics.items() if name.startswith(RUN_TOPIC) and told
    }
    runs = {run: (when, snapshot) for run, (when, snapshot) in last.items() if isinstance(snapshot, Mapping)}
    return dict(sorted(runs.items(), key=lambda item: moment(item[1][1].get("started")) or item[1][0], reverse=True))


class RunsPage:
    """The page's parts, and what brings them up to date."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.select = Select(title="Run", options=[], visible=False, width=420)
        self.select.on_change("value", self._picked)
        # What changes every second is apart from what people may want to copy.
        self.headline, self.steps = (
            Div(text="", sizing_mode="stretch_width", stylesheets=[InlineStyleSheet(css=STYLE)]) for _ in range(2)
        )
        self.curves = row(sizing_mode="stretch_width", styles={"flex-wrap": "wrap", "gap": "12px"})
        self.curve_figures: dict[tuple[str, str], tuple[Any, ColumnDataSource]] = {}
        self.memory = ColumnDataSource({"worker": [], "bytes": [], "colour": []})
        self.memory_figure = _memory_figure(self.memory)
        self.plan = Span(dimension="height", line_color="#444444", line_dash="dashed", line_width=1.5, visible=False)
        self.limit = Span(dimension="height", line_color=COLOURS["FAILED"], line_width=2, visible=False)
        self.memory_figure.add_layout(self.plan)
        self.memory_figure.add_layout(self.limit)
        self.by_hand = self.choosing = False
        self.root = column(
            self.select,
            self.headline,
            self.steps,
            self.curves,
            self.memory_figure,
            sizing_mode="stretch_width",
            stylesheets=[InlineStyleSheet(css=BELOW_NAVIGATION)],
            styles={"padding": "12px", "max-width": "1200px"},
        )

    def update(self) -> None:
        """Show what the scheduler has been told last; only what differs goes to the browser."""
        try:
            runs = told_runs(self.scheduler)
            when, snapshot = runs[self._choose(runs)] if runs else (0.0, {})
            now = time.time()
            self.headline.text = headline_html(snapshot, when, now) if runs else empty_html(self.scheduler)
            self.steps.text = steps_html(snapshot) if runs else ""
            self._update_curves(snapshot)
            self._update_memory(snapshot)
        except Exception:
            # A driver of another version may tell other things. This is called every second, by the scheduler.
            logger.debug("a run cannot be shown in the dashboard", exc_info=True)
            self.headline.text = f"<div class='fd error'>{UNREADABLE}</div>"

    def _picked(self, attr: str, old: str, new: str) -> None:
        if not self.choosing:
            self.by_hand = True
            self.update()

    def _choose(self, runs: Mapping[str, tuple[float, Mapping[str, Any]]]) -> str:
        """The run that somebody chose; until then the newest, but none goes from the page before it has ended."""
        options = [(run, f"{run}  {snapshot.get('status', '')}") for run, (_, snapshot) in runs.items()]
        shown = self.select.value
        ended = shown not in runs or runs[shown][1].get("status") not in ("RUNNING", "PENDING")
        self.choosing = True  # and not a person
        try:
            if options != self.select.options:
                self.select.options = options
            self.select.visible = len(options) > 1
            if shown not in runs or (ended and not self.by_hand):
                self.select.value = options[0][0]
        finally:
            self.choosing = False
        return str(self.select.value)

    def _update_curves(self, snapshot: Mapping[str, Any]) -> None:
        wanted = {
            (str(step["name"]), str(name)): list(values)
            for step in snapshot.get("steps", ())
            for name, values in step.get("curves", {}).items()
            if len(values) >= 2
        }
        figures = {key: self.curve_figures.get(key) or _curve_figure(key) for key in wanted}
        for key, (made, source) in figures.items():
            values = wanted[key]
            if list(source.data["value"]) != values:
                source.data = {"at": list(range(1, len(values) + 1)), "value": values}
                made.title.text = f"{key[0]}: {key[1]} {number(values[-1])}"
                made.xaxis.axis_label = (
                    "iteration" if len(values) < THINNED else "point (some iterations may be left out)"
                )
        if list(figures) != list(self.curve_figures):
            self.curves.children = [made for made, _ in figures.values()]
        self.curve_figures = figures

    def _update_memory(self, snapshot: Mapping[str, Any]) -> None:
        memory = snapshot.get("memory") or {}
        told = [(f"worker {at}", used) for at, used in enumerate(memory.get("worker_bytes") or (), 1)]
        self.memory_figure.visible = bool(told)
        if not told:
            return
        bars = told if len(told) <= MOST_BARS else sorted(told, key=lambda bar: bar[1], reverse=True)[:MOST_BARS]
        names, used = [name for name, _ in bars], [bytes_ for _, bytes_ in bars]
        planned, limit = memory.get("planned_worker_bytes") or 0, memory.get("limit") or 0
        fits = 0 < limit < 3 * max(*used, planned)
        self.memory_figure.y_range.factors = names[::-1]
        self.memory_figure.height = 86 + 24 * len(names)
        self.memory_figure.x_range.end = 1.1 * max(*used, planned, limit if fits else 1) / 1e6
        full = [COLOURS["FAILED" if limit and bytes_ > 0.9 * limit else "RUNNING"] for bytes_ in used]
        data = {"worker": names, "bytes": [bytes_ / 1e6 for bytes_ in used], "colour": full}
        if data != self.memory.data:
            self.memory.data = data
        for line, place, visible in ((self.plan, planned, planned > 0), (self.limit, limit, fits)):
            line.location, line.visible = place / 1e6, visible
        words = [f"planned {size(planned)} (dashed)"] if planned else []
        words += [f"limit {size(limit)} ({'red' if fits else 'far right of this'})"] if limit else []
        who = "each worker" if bars is told else f"the {len(bars)} fullest of {len(told):,} workers"
        self.memory_figure.title.text = f"Memory of {who}\n{', '.join(words) or ' '}"


def _memory_figure(source: ColumnDataSource) -> Any:
    # Two lines from the start: of a title that grows later, Bokeh leaves a part of the old one on the canvas.
    made = figure(
        y_range=[], x_range=(0, 1), height=136, sizing_mode="stretch_width", title=" \n ", toolbar_location=None
    )
    made.hbar(y="worker", right="bytes", height=0.6, color="colour", source=source)
    made.xaxis.axis_label = "resident, MB"
    made.xaxis.formatter = NumeralTickFormatter(format="0,0")
    made.ygrid.grid_line_color = None
    return made


def _curve_figure(key: tuple[str, str]) -> tuple[Any, ColumnDataSource]:
    source = ColumnDataSource({"at": [], "value": []})
    made = figure(height=200, width=360, title=key[1], toolbar_location=None)
    made.line("at", "value", source=source, line_width=2)
    made.scatter("at", "value", source=source, size=4)
    made.xaxis.ticker = BasicTicker(min_interval=1, num_minor_ticks=0)
    made.xgrid.ticker = made.xaxis.ticker
    made.yaxis.axis_label = key[1]
    made.yaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    return made, source
