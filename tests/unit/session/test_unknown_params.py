"""Params that were probably misspelt."""

from __future__ import annotations

import pytest

from treadle import Session

PARAMETERS = "revenue: {share: 0.5, rate: 2}\nfactor: 3\nwindows: 5\n"
CATALOG = """
raw: {type: text.TextDataset, filepath: "data/${runtime_params:folder,raw}.txt"}
scaled: {type: json.JSONDataset, filepath: data/scaled.json}
"""


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"revenue": {"shar": 0.7}},
            "no parameter 'revenue.shar', and no node uses it, so it has no effect. Did you mean 'revenue.share'?",
        ),
        ({"factr": 4}, "no parameter 'factr', and no node uses it, so it has no effect. Did you mean 'factor'?"),
        (
            {"revenue": {"share": 1}, "window": 4},
            "no parameter 'window', and no node uses it, so it has no effect. Did you mean 'windows'?",
        ),
        ({"revenue": {"share": 1}, "factor": 4}, None),
        ({"something": 1}, None),
        ({"revenue": {"share": 1, "shares": 2}}, None),
        ({"folder": "raw"}, None),
    ],
)
def test_close_names_cause_a_warning(make_project, inline, caplog, params, said):
    """A param that nothing reads, and that is nearly another's name, is a warning with that name; the run goes on."""
    files = {"conf/base/parameters.yml": PARAMETERS, "conf/base/catalog.yml": CATALOG}
    make_project(files={**files, "conf/base/parameters_folders.yml": "folders: {a: 1}\n"})
    with Session.create(extra_params=params) as session:
        session.run(runner=inline)
    warned = [record.message for record in caplog.records if record.name == "treadle.session.unknown_params"]
    assert len(warned) == (said is not None)
    assert said is None or said in warned[0]


def test_what_a_node_takes_is_known(make_project, inline, caplog):
    """A param of a name that no file has, and that a node takes, is no mistake."""
    make_project(files={"conf/base/parameters.yml": "factors: 3\n"})
    with Session.create(extra_params={"factor": 2}) as session:
        session.run(runner=inline)
    assert "Did you mean" not in caplog.text
