"""The JSON export has every field of the records."""

from __future__ import annotations

import json

from treadle.observe.export.plain_json import session_json
from treadle.observe.store import NodeRecord, RunRecord, SessionRecord


def test_every_field(make_session):
    """The object begins with the name and the version of the format, and has a key for each field."""
    content = json.loads(session_json(make_session()))
    assert list(content)[:2] == ["format", "version"]
    assert (content.pop("format"), content.pop("version")) == ("treadle-session", 1)
    assert list(content) == list(SessionRecord._fields)
    (run,) = content["runs"]
    assert list(run) == list(RunRecord._fields)
    assert list(run["nodes"][0]) == list(NodeRecord._fields)
    assert run["nodes"][1]["node"] == make_session().runs[0].nodes[1].node
    assert [(line["node"], line["attempt"]) for line in run["log"]] == [("split", 1)]
    assert run["graph"]["nodes"][1]["parents"] == [0]
