"""Write the report as one HTML page, which needs nothing else: styles, data and code are inside.

Its content-security policy allows exactly its own style and its own script, by their hashes, and no request to anywhere. Text
from the record is escaped by the template; the data of the charts is inert JSON in which `<` is escaped. State: none. Neighbours:
`page/` has the template, the style and the code, which need no build step; `report.py` has the analysis.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from treadle.collector import collection_paused
from treadle.events import Outcome
from treadle.observe.report.history_section import shown_histories
from treadle.observe.report.payload import estimates_payload, run_payload
from treadle.observe.report.sections import COLUMNS, LABELS, static_sections
from treadle.secrets import known_secrets, mask_secrets

if TYPE_CHECKING:
    from jinja2 import Template

    from treadle.observe.report.analysis import ReportContent, RunAnalysis

_SCRIPTS = ("core.js", "gantt.js", "graph.js", "table.js", "charts.js", "main.js")
_SYMBOLS = {"running": "▶", "lost": "✘", "not started": "○"}


@collection_paused()
def render(report: ReportContent) -> str:
    """Return the page.

    Args:
        report: the report.
    """
    analysis = report.analysis
    style, script = _text("report.css"), _script()
    data = _data(report)
    if known_secrets():
        data = _masked(data)
    page: str = _template().render(
        policy=_policy(style, script),
        style=_trusted(style),
        script=_trusted(script),
        data=_trusted(_inert(json.dumps(data, separators=(",", ":"), ensure_ascii=False))),
        title=f"Run {analysis.session.session_id}",
        session=analysis.session,
        summary=analysis.summary,
        symbol=_symbol(analysis.summary.outcome),
        started=_moment(analysis.timeline.start),
        written=_moment(datetime.now(timezone.utc).timestamp()),
        version=version("treadle"),
        wait_labels=list(COLUMNS.values()),
        **static_sections(report),
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")  # a text that a node made may have half of a surrogate pair


def _data(report: ReportContent) -> dict[str, Any]:
    analysis = report.analysis
    data: dict[str, Any] = {"labels": LABELS, "columns": COLUMNS, "root": analysis.session.project_path}
    data["id"] = analysis.session.session_id
    data["run"] = _run_data(analysis)
    if report.before is not None:
        data["before"] = _run_data(report.before)
        data["beforeId"] = report.before.session.session_id
    if analysis.estimates is not None:
        data["whatIf"] = estimates_payload(analysis.estimates, analysis.timeline.worker_count)
    if report.past:
        data["history"] = {
            "runs": [[run.session_id, round(run.seconds, 4), run.outcome.value] for run in report.past],
            "now": analysis.timeline.wall,
            "nodes": [
                [[None if each is None else _digits(each) for each in history.seconds], history.now]
                for history in shown_histories(report)
            ],
        }
    return data


def _run_data(analysis: RunAnalysis) -> dict[str, Any] | None:
    if analysis.run is None:
        return None
    return run_payload(analysis.run, analysis.timeline, analysis.folded, analysis.path)


def _digits(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _masked(value: Any) -> Any:
    """Return data with the secrets in its texts masked. A secret that is a number or a common word must change nothing else."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(each) for each in value]
    return value


def _inert(text: str) -> str:
    """Return JSON that cannot end the element that contains it, or begin a comment in it."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


# --- the page -----------------------------------------------------------------------------------------------------------------


def _policy(style: str, script: str) -> str:
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _text(name: str) -> str:
    return (files("treadle.observe.report") / "page" / name).read_text(encoding="utf-8")


def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_text(name) for name in _SCRIPTS) + "\n})();\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("report.html.jinja"))


def _trusted(text: str) -> Any:
    """Mark a text as one that needs no escaping: our own style or script, or inert JSON."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - see above


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _symbol(outcome: str) -> str:
    return _SYMBOLS.get(outcome) or Outcome(outcome).symbol
