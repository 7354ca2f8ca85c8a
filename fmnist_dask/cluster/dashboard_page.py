"""The page of runs in Dask's dashboard: what drivers tell the scheduler, drawn anew every second."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, Div, InlineStyleSheet, NumeralTickFormatter, Select, Span
from bokeh.plotting import figure

from fmnist_dask.cluster.topics import RUN_TOPIC

#: Milliseconds between two looks.
INTERVAL = 1000
#: Seconds of silence after which a driver may be gone; it speaks every few seconds.
SILENCE = 20.0
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
<style>
.fd { font-family: Helvetica, Arial, sans-serif; font-size: 14px; color: #222; line-height: 1.45; }
.fd h2 { font-size: 18px; margin: 0 0 2px; overflow-wrap: anywhere; }
.fd table { border-collapse: collapse; width: 100%; }
.fd th { text-align: left; font-weight: 600; white-space: nowrap; border-bottom: 1px solid #bbb; }
.fd th { padding: 3px 10px 3px 0; }
.fd td { padding: 3px 10px 3px 0; vertical-align: top; border-bottom: 1px solid #eee; }
.fd .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.fd .bar { background: #e6e6e6; height: 12px; min-width: 90px; margin-top: 4px; }
.fd .bar div { height: 12px; }
.fd .small { color: #555; font-size: 13px; }
.fd .result { color: #555; font-size: 13px; overflow-wrap: anywhere; }
.fd .error { color: #c0392b; overflow-wrap: anywhere; }
.fd .wide { overflow-x: auto; }
</style>
"""
#: Dask's navigation takes two lines in windows of some widths, and lies over what is below it.
BELOW_NAVIGATION = "@media (min-width: 769px) and (max-width: 1230px) { :host { margin-top: 44px; } }"
EMPTY = """
<div class="fd"><h2>No run yet</h2>
Nothing has been told to this scheduler yet. Begin one:
<pre>fmnist-dask run explore --cluster ADDRESS
fmnist-dask submit explore --cluster ADDRESS</pre></div>
"""


def workflows_document(scheduler: Any, extra: Mapping[str, Any], doc: Any) -> None:
    """Fill a Bokeh document with the page; Dask calls this for each browser that opens it."""
    from distributed.dashboard.components.scheduler import BOKEH_THEME, env

    page = RunsPage(scheduler)
    page.update()
    doc.title = "Dask: Workflows"
    doc.add_root(page.root)
    doc.add_periodic_callback(page.update, INTERVAL)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME


def told_runs(scheduler: Any) -> dict[str, tuple[float, dict[str, Any]]]:
    """Run → (when, snapshot), as last told; the run that was last heard of first."""
    broker = getattr(scheduler, "_broker", None)
    topics = getattr(broker, "_topics", None)
    # Without a look inside, all events of all topics would be copied each time.
    names = list(topics) if topics is not None else list(scheduler.get_events())
    found = {}
    for name in names:
        if not name.startswith(RUN_TOPIC):
            continue
        events = topics[name].events if topics is not None else scheduler.get_events(name)
        if events:
            found[name.removeprefix(RUN_TOPIC)] = events[-1]
    return dict(sorted(found.items(), key=lambda item: item[1][0], reverse=True))


class RunsPage:
    """The page's parts, and what brings them up to date."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.select = Select(title="Run", options=[], visible=False, width=420)
        self.select.on_change("value", lambda attr, old, new: self.update())
        self.text = Div(text="", sizing_mode="stretch_width")
        self.memory = ColumnDataSource({"worker": [], "bytes": [], "colour": []})
        self.memory_figure = _memory_figure(self.memory)
        self.plan = Span(dimension="height", line_color="#444", line_dash="dashed", line_width=1.5, visible=False)
        self.memory_figure.add_layout(self.plan)
        self.curves = row(sizing_mode="stretch_width", styles={"flex-wrap": "wrap", "gap": "12px"})
        self.curve_sources: dict[tuple[str, str], ColumnDataSource] = {}
        self.curve_figures: dict[tuple[str, str], Any] = {}
        self.shown: str | None = None
        self.root = column(
            self.select,
            self.text,
            self.curves,
            self.memory_figure,
            sizing_mode="stretch_width",
            stylesheets=[InlineStyleSheet(css=BELOW_NAVIGATION)],
            styles={"padding": "12px", "max-width": "1200px", "overflow-y": "auto", "height": "calc(100vh - 60px)"},
        )

    def update(self) -> None:
        """Show what the scheduler has been told last."""
        runs = told_runs(self.scheduler)
        if not runs:
            self.text.text = STYLE + EMPTY
            self.memory_figure.visible = False
            return
        chosen = self._choose(runs)
        when, snapshot = runs[chosen]
        if chosen != self.shown:
            self.shown = chosen
            self.curves.children, self.curve_sources, self.curve_figures = [], {}, {}
        # What differs is sent to the browser; the rest is not.
        text = STYLE + run_html(snapshot, time.time() - when)
        if text != self.text.text:
            self.text.text = text
        self._update_curves(snapshot)
        self._update_memory(snapshot)

    def _choose(self, runs: Mapping[str, tuple[float, dict[str, Any]]]) -> str:
        """The run that is chosen; the one last heard of, until somebody chooses."""
        options = [(run, f"{run}  {snapshot.get('status', '')}") for run, (_, snapshot) in runs.items()]
        by_name = sorted(options)
        if by_name != self.select.options:
            self.select.options = by_name
        self.select.visible = len(options) > 1
        if self.select.value not in runs:
            self.select.value = options[0][0]
        return str(self.select.value)

    def _update_curves(self, snapshot: Mapping[str, Any]) -> None:
        for step in snapshot.get("steps", ()):
            for name, values in step.get("curves", {}).items():
                if len(values) < 2:
                    continue
                key = (str(step["name"]), str(name))
                data = {"at": list(range(1, len(values) + 1)), "value": list(values)}
                if key in self.curve_sources:
                    if len(self.curve_sources[key].data["at"]) != len(values):
                        self.curve_sources[key].data = data
                else:
                    self.curve_sources[key] = ColumnDataSource(data)
                    self.curve_figures[key] = _curve_figure(key, self.curve_sources[key])
                    self.curves.children = [*self.curves.children, self.curve_figures[key]]
                self.curve_figures[key].title.text = f"{key[0]}: {key[1]} {values[-1]:,.6g}"

    def _update_memory(self, snapshot: Mapping[str, Any]) -> None:
        memory = snapshot.get("memory") or {}
        used = list(memory.get("worker_bytes") or ())
        self.memory_figure.visible = bool(used)
        if not used:
            return
        planned, limit = memory.get("planned_worker_bytes"), memory.get("limit")
        names = [f"worker {number}" for number in range(1, len(used) + 1)]
        colours = ["#c0392b" if limit and bytes_ > 0.9 * limit else "#1f77b4" for bytes_ in used]
        if self.memory_figure.y_range.factors != names[::-1]:
            self.memory_figure.y_range.factors = names[::-1]
            self.memory_figure.height = 70 + 24 * min(len(names), 40)
        self.memory.data = {"worker": names, "bytes": [value / 1e6 for value in used], "colour": colours}
        ends = [max(used), planned or 0, limit if limit and limit < 3 * max(used) else 0]
        self.memory_figure.x_range.end = 1.1 * max(ends) / 1e6
        self.plan.visible = bool(planned)
        if planned:
            self.plan.location = planned / 1e6
        words = [f"planned {size(planned)} (dashed)"] if planned else []
        words += [f"limit {size(limit)}"] if limit else []
        self.memory_figure.title.text = "Memory of each worker" + (f": {', '.join(words)}" if words else "")


def _memory_figure(source: ColumnDataSource) -> Any:
    made = figure(
        y_range=[], x_range=(0, 1), height=120, sizing_mode="stretch_width", title="Memory", toolbar_location=None
    )
    made.hbar(y="worker", right="bytes", height=0.6, color="colour", source=source)
    made.xaxis.axis_label = "resident, MB"
    made.xaxis.formatter = NumeralTickFormatter(format="0,0")
    made.ygrid.grid_line_color = None
    return made


def _curve_figure(key: tuple[str, str], source: ColumnDataSource) -> Any:
    made = figure(height=200, width=360, title=key[1], toolbar_location=None)
    made.line("at", "value", source=source, line_width=2)
    made.scatter("at", "value", source=source, size=4)
    made.xaxis.axis_label = "iteration"
    made.yaxis.axis_label = key[1]
    made.yaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")
    return made


def run_html(snapshot: Mapping[str, Any], age: float) -> str:
    """Headline, steps and errors of a run. Everything that users have named is escaped."""
    parts = [_headline(snapshot, age), _steps_table(snapshot.get("steps", ()))]
    errors = [*snapshot.get("errors", ())]
    if errors:
        rows = "".join(
            f"<tr><td class='n'>{escape(str(error.get('time', ''))[11:19])}</td>"
            f"<td>{escape(str(error.get('step') or ''))}</td>"
            f"<td class='error'>{escape(str(error.get('error')))}</td></tr>"
            for error in reversed(errors)
        )
        parts.append(f"<h3>Last errors</h3><table>{rows}</table>")
    return f'<div class="fd">{"".join(parts)}</div>'


def _headline(snapshot: Mapping[str, Any], age: float) -> str:
    source, status = snapshot.get("source") or {}, str(snapshot.get("status"))
    colour = COLOURS.get(status, "#222")
    facts = [f"{source.get('n') or 0:,} images of {source.get('name')}"]
    if source.get("synthetic"):
        facts[0] += " (synthetic)"
    facts.append(f"workflow {snapshot.get('workflow')}")
    if snapshot.get("seconds") is not None:
        facts.append(f"{snapshot['seconds']:,.1f} s")
    if snapshot.get("passes"):
        facts.append(f"{snapshot['passes']:,} passes over the images")
    if snapshot.get("n_quarantined"):
        facts.append(f"{snapshot['n_quarantined']:,} images quarantined")
    silent = status == "RUNNING" and age > SILENCE
    said = f"<div class='error'>not heard of for {age:,.0f} s: its driver may be gone</div>" if silent else ""
    title = f"<b>{escape(str(snapshot.get('title')))}</b><br>" if snapshot.get("title") else ""
    return (
        f"<h2>{escape(str(snapshot.get('run')))} <span style='color:{colour}'>{escape(status)}</span></h2>"
        f"{title}{escape(', '.join(facts))}{said}<br><br>"
    )


def _steps_table(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(_step_row(step) for step in steps)
    head = "".join(f"<th>{name}</th>" for name in ("step", "state", "progress", "", "a second", "left", "result"))
    return f"<div class='wide'><table><tr>{head}</tr>{rows}</table></div>"


def _step_row(step: Mapping[str, Any]) -> str:
    status = str(step.get("status"))
    colour = COLOURS.get(status, "#222")
    bar, count, rate, left = "", "", "", ""
    if status == "RUNNING" and step.get("total"):
        share = 100 * min(step["done"] / step["total"], 1.0)
        bar = f"<div class='bar'><div style='width:{share:.1f}%;background:{colour}'></div></div>"
        count = f"{step['done']:,} of {step['total']:,} {step.get('unit') or ''}"
        if step.get("chunks_total"):
            count += f", {step['chunks_done']:,} of {step['chunks_total']:,} chunks"
        rate = f"{step.get('per_second') or 0:,.0f}"
        left = "" if step.get("eta") is None else f"{step['eta']:,.0f}\u00a0s"
    elif step.get("seconds") is not None:
        count = f"{step['seconds']:,.1f}\u00a0s"
    metrics = ", ".join(f"{name} {_words(value)}" for name, value in (step.get("metrics") or {}).items())
    result = f"<span class='error'>{escape(str(step['error']))}</span>" if step.get("error") else escape(metrics)
    uses = (
        "" if step.get("uses") in (None, step.get("name")) else f"<br><span class='small'>{escape(step['uses'])}</span>"
    )
    cells = (
        f"<td>{escape(str(step.get('name')))}{uses}</td>",
        f"<td style='color:{colour}'>{escape(status)}</td>",
        f"<td>{bar}</td>",
        f"<td class='small'>{escape(count)}</td>",
        f"<td class='n'>{rate}</td>",
        f"<td class='n'>{left}</td>",
        f"<td class='result'>{result}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " / ".join(f"{key} {_words(item)}" for key, item in value.items())
    if value is None:
        return "–"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def size(count: float) -> str:
    """Bytes in a unit that people read."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
