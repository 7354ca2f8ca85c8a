"""The page of runs in Dask's dashboard: what drivers tell the scheduler, drawn anew every second."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import BasicTicker, ColumnDataSource, Div, InlineStyleSheet, NumeralTickFormatter, Select, Span
from bokeh.plotting import figure

from fmnist_dask.cluster.topics import RUN_TOPIC

logger = logging.getLogger(__name__)

#: Milliseconds between two looks.
INTERVAL = 1000
#: Seconds of silence after which a driver may be gone; it speaks every few seconds.
SILENCE = 20.0
#: Bars of workers that are drawn; of more, those with the most memory.
MOST_BARS = 40
#: A curve of so many points may have been thinned by its driver, so that they are not numbered by iteration any more.
THINNED = 200
COLOURS = {
    "SUCCEEDED": "#2e8b57",
    "REUSED": "#2f8f9d",
    "RUNNING": "#1f77b4",
    "PENDING": "#888888",
    "SKIPPED": "#888888",
    "STOPPED": "#c98a00",
    "FAILED": "#c0392b",
}
STYLE = """
:host > div { width: 100%; }
.fd { font-family: Helvetica, Arial, sans-serif; font-size: 14px; color: #222; line-height: 1.45; }
.fd h2 { font-size: 18px; margin: 0 0 2px; overflow-wrap: anywhere; }
.fd h3 { font-size: 14px; margin: 12px 0 2px; }
.fd table { border-collapse: collapse; width: 100%; }
.fd th { text-align: left; font-weight: 600; white-space: nowrap; border-bottom: 1px solid #bbb; }
.fd th, .fd td { padding: 3px 14px 3px 0; }
.fd td { vertical-align: top; border-bottom: 1px solid #e4e4e4; }
.fd .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.fd .name { overflow-wrap: break-word; min-width: 70px; max-width: 220px; }
.fd .bar { background: #e0e0e0; height: 10px; min-width: 150px; margin: 5px 0 2px; }
.fd .bar div { height: 10px; }
.fd .small, .fd td.result { color: #555; font-size: 13px; }
.fd td.result { overflow-wrap: anywhere; }
.fd .error { color: #c0392b; overflow-wrap: anywhere; white-space: pre-wrap; }
@media (max-width: 900px) {
  /* Results, which are long, take a line of their own. */
  .fd .steps { display: grid; grid-template-columns: auto auto minmax(150px, 1fr) auto auto; }
  .fd .steps tbody, .fd .steps tr { display: contents; }
  .fd .steps td:not(.result) { border-bottom: none; }
  .fd .steps th.result { display: none; }
  .fd .steps td.result { grid-column: 1 / -1; padding-top: 0; }
}
"""
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
    return dict(sorted(runs.items(), key=lambda item: _moment(item[1][1].get("started")) or item[1][0], reverse=True))


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


def empty_html(scheduler: Any) -> str:
    """What the page says before any driver has spoken."""
    address = escape(str(getattr(scheduler, "address", "ADDRESS")))
    lines = "\n".join(f"fmnist-dask {command} explore --cluster {address}" for command in ("run", "submit"))
    words = "Nobody has told this scheduler of a run. Begin one:"
    return f"<div class='fd'><h2>No run yet</h2>{words}<pre>{lines}</pre></div>"


def headline_html(snapshot: Mapping[str, Any], when: float, now: float) -> str:
    """Name, state and facts of a run that was told at ``when``; what users have named is escaped."""
    source, status = snapshot.get("source") or {}, str(snapshot.get("status"))
    silent = status == "RUNNING" and now - when > SILENCE
    began, seconds = _moment(snapshot.get("started")), snapshot.get("seconds")
    if began is not None and (status == "RUNNING" or seconds is None):
        seconds = max((now if status == "RUNNING" and not silent else when) - began, 0.0)
    steps = snapshot.get("steps", ())
    done = sum(step.get("status") in ("SUCCEEDED", "REUSED", "SKIPPED") for step in steps)
    synthetic = " (synthetic)" if source.get("synthetic") else ""
    facts = [
        f"{source.get('n') or 0:,} images of {source.get('name')}{synthetic}",
        f"workflow {snapshot.get('workflow')}",
    ]
    facts += [f"{done} of {len(steps)} steps done"] if steps else []
    facts += [duration(seconds)] if seconds is not None else []
    facts += [f"{snapshot['passes']:,} passes over the images"] if snapshot.get("passes") else []
    facts += [f"{snapshot['n_quarantined']:,} images quarantined"] if snapshot.get("n_quarantined") else []
    gone = f"<div class='error'>not heard of for {now - when:,.0f} s: its driver may be gone</div>" if silent else ""
    title = f"<b>{escape(str(snapshot.get('title')))}</b><br>" if snapshot.get("title") else ""
    return (
        f"<div class='fd'><h2>{escape(str(snapshot.get('run')))} {_state(status)}</h2>"
        f"{title}{escape(', '.join(facts))}{gone}</div>"
    )


def steps_html(snapshot: Mapping[str, Any]) -> str:
    """Steps and errors of a run; what users have named is escaped."""
    rows = "".join(_step_row(step) for step in snapshot.get("steps", ()))
    heads = {"step": "", "state": "", "progress": "", "speed": "n", "left": "n", "result": "result"}
    head = "".join(f"<th class='{kind}'>{name}</th>" for name, kind in heads.items())
    return f"<div class='fd'><table class='steps'><tr>{head}</tr>{rows}</table>{_errors(snapshot)}</div>"


def _errors(snapshot: Mapping[str, Any]) -> str:
    told: Sequence[Mapping[str, Any]] = snapshot.get("errors") or ()
    whole = str(snapshot.get("error") or "")
    if whole and not any(str(error.get("error")) in whole for error in told):
        told = [*told, {"time": snapshot.get("ended"), "error": whole}]
    rows = "".join(
        f"<tr><td>{escape(str(error.get('time') or '')[11:19])}</td>"
        f"<td class='name'>{escape(str(error.get('step') or ''))}</td>"
        f"<td class='error'>{escape(str(error.get('error')))}</td></tr>"
        for error in reversed(told)
    )
    head = "<tr><th>time, UTC</th><th>step</th><th>error</th></tr>"
    return f"<h3>Last errors</h3><table>{head}{rows}</table>" if rows else ""


def _step_row(step: Mapping[str, Any]) -> str:
    status, done, total = str(step.get("status")), step.get("done") or 0, step.get("total") or 0
    bar, rate, left = "", "", ""
    unit = str(step.get("unit") or "")
    words = f"{done:,} of {total:,} {unit}" if total else ""
    if total and step.get("chunks_total"):
        words += f", {step.get('chunks_done') or 0:,} of {step['chunks_total']:,} chunks"
    if status == "RUNNING" and total:
        share = 100 * min(done / total, 1.0)
        bar = f"<div class='bar'><div style='width:{share:.1f}%;background:{COLOURS[status]}'></div></div>"
        words = f"{step['pass']}: {words}" if step.get("pass") else words
        speed = step.get("per_second")
        rate = "" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f} {unit}/s"
        left = "" if step.get("eta") is None else duration(step["eta"])
    elif step.get("seconds") is not None:
        words = duration(step["seconds"])
        words += f", {step['passes']:,} pass{'es' if step['passes'] > 1 else ''}" if step.get("passes") else ""
    metrics = ", ".join(f"{name} {number(value)}" for name, value in (step.get("metrics") or {}).items())
    result = f"<span class='error'>{escape(str(step['error']))}</span>" if step.get("error") else escape(metrics)
    uses = str(step.get("uses") or "")
    kind = f"<br><span class='small'>{escape(uses)}</span>" if uses and uses != step.get("name") else ""
    return (
        f"<tr><td class='name'>{escape(str(step.get('name')))}{kind}</td><td>{_state(status)}</td>"
        f"<td>{bar}<span class='small'>{escape(words)}</span></td><td class='n'>{escape(rate)}</td>"
        f"<td class='n'>{left}</td><td class='result'>{result}</td></tr>"
    )


def _state(status: str) -> str:
    return f"<span style='color:{COLOURS.get(status, '#222222')}'>{escape(status)}</span>"


def _moment(told: Any) -> float | None:
    """Seconds since 1970 of a time in ISO 8601."""
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return None


def number(value: Any) -> str:
    """A metric in words; of a mapping, all its values."""
    if isinstance(value, Mapping):
        return " / ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:,.6g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def duration(seconds: float) -> str:
    """``2.5 s``, ``12 s``, ``3:05``, ``2:10:00``."""
    if seconds < 100:
        return f"{seconds:,.{1 if seconds < 10 else 0}f}\u00a0s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def size(count: float) -> str:
    """Bytes in a unit that people read."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
