"""What the page of runs in Dask's dashboard says in words: headline, steps, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

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
    began, seconds = moment(snapshot.get("started")), snapshot.get("seconds")
    if began is not None and (status == "RUNNING" or seconds is None):
        seconds = max((now if status == "RUNNING" and not silent else when) - began, 0.0)
    steps = snapshot.get("steps", ())
    done = sum(step.get("status") in ("SUCCEEDED", "REUSED", "SKIPPED") for step in steps)
    synthetic = " (synthetic)" if source.get("synthetic") else ""
    photograph = source.get("kind") == "photograph"
    many, over = ("the photograph", "photograph") if photograph else (f"{source.get('n') or 0:,} images of", "images")
    facts = [
        f"{many} {source.get('name')}{synthetic}",
        f"workflow {snapshot.get('workflow')}",
    ]
    facts += [f"{done} of {len(steps)} steps done"] if steps else []
    facts += [duration(seconds)] if seconds is not None else []
    facts += [f"{snapshot['passes']:,} passes over the {over}"] if snapshot.get("passes") else []
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


def moment(told: Any) -> float | None:
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
