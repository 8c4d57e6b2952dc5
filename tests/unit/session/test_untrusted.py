"""Params from outside may fill in values and names of files, and choose no class, no credentials and no other folder."""

from __future__ import annotations

import pytest

from treadle.config.loader import ConfigLoader
from treadle.errors import ConfigError
from treadle.session.untrusted import check_untrusted

CATALOG = """
chosen: {type: "${runtime_params:kind,text.TextDataset}", filepath: "data/${runtime_params:day,today}.csv"}
whole: {type: text.TextDataset, filepath: "${runtime_params:path,data/x.txt}"}
remote: {type: text.TextDataset, filepath: "s3://bucket/${runtime_params:key,x}", credentials: "${runtime_params:keys,null}"}
entry: "${runtime_params:entry,null}"
parts: {type: partitioned.PartitionedDataset, path: "data/parts", dataset: "${runtime_params:inner,text.TextDataset}"}
indirect: {type: "${globals:kind}", filepath: data/y.txt}
limits: {type: text.TextDataset, filepath: data/z.txt, metadata: {a: "${runtime_params:note,x}", n: "${runtime_params:n,1}"}}
"{name}_table": {type: text.TextDataset, filepath: "data/{name}/${runtime_params:day,today}/x.csv"}
"""


@pytest.fixture
def read(tmp_path):
    """Return config loaders with the given params."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "catalog.yml").write_text(CATALOG)
    (base / "globals.yml").write_text("kind: ${runtime_params:global_kind,text.TextDataset}\n")
    (base / "execution.yml").write_text("nodes:\n  '*':\n    on_failure: ${runtime_params:policy,stop}\n")
    return ConfigLoader(tmp_path).with_runtime_params


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"kind": "os.system"}, "'type' of dataset 'chosen'"),
        ({"global_kind": "os.system"}, "'type' of dataset 'indirect'"),
        ({"entry": {"type": "os.system"}}, "'type' of dataset 'entry'"),
        ({"inner": "os.system"}, "'dataset' of dataset 'parts'"),
        ({"keys": "admin"}, "'credentials' of dataset 'remote'"),
        ({"policy": "continue"}, "'execution'"),
        ({"day": "../../etc/passwd"}, "'filepath' of dataset 'chosen'"),
        ({"day": ".."}, "'filepath' of dataset '{name}_table'"),
        ({"path": "/etc/passwd"}, "'filepath' of dataset 'whole'"),
        ({"path": "~/secret"}, "'filepath' of dataset 'whole'"),
        ({"path": "http://169.254.169.254/latest"}, "'filepath' of dataset 'whole'"),
        ({"path": "zip://x::file:///etc/passwd"}, "'filepath' of dataset 'whole'"),
        ({"path": "a\\..\\b"}, "'filepath' of dataset 'whole'"),
        ({"key": "a/../../other"}, "'filepath' of dataset 'remote'"),
    ],
)
def test_what_params_may_not_choose(read, params, words):
    """The error names the key and the dataset; the value is not in it."""
    with pytest.raises(ConfigError) as caught:
        check_untrusted(read, params)
    assert words in str(caught.value)
    assert params.get("kind", "os.system") not in str(caught.value)


@pytest.mark.parametrize(
    "params",
    [
        *({"day": "2026-01-31"}, {"day": "2026/01/31"}, {"path": "data/other.txt"}, {"key": "a/b..c"}, {"note": "/any ../ text"}),
        *({"n": 5}, {"unused": "os.system"}, {"path": "${oc.env:HOME}"}, {}, {"deep": {"list": ["/etc/passwd", {"type": "x"}]}}),
    ],
)
def test_what_params_may_choose(read, params):
    """Names below the folder of the catalog, values of other keys, and params that the catalog does not contain."""
    check_untrusted(read, params)
    read(params)["catalog"]
