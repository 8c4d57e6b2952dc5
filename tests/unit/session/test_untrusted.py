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
loaded:
  type: text.TextDataset
  Type: "${runtime_params:other_kind,x}"
  load_args: {modelClass: "${runtime_params:model,x}"}
  fs_args: {reader_module: "${runtime_params:reader,x}"}
  filepath: data/a.txt
table:
  type: text.TextDataset
  filename: "data/${runtime_params:name,x}.csv"
  files: ["data/${runtime_params:listed,x}.csv"]
  paths: {a: "../data/${runtime_params:mapped,x}.csv"}
  connection: {backend: duckdb, database: "data/${runtime_params:database,x}.db"}
  con: "sqlite:///${runtime_params:con,x}.db"
  load_args: "${runtime_params:options,null}"
  query: "select * from read_csv('${runtime_params:one,x}${runtime_params:two,y}') where day = '${runtime_params:date,x}'::date"
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
        ({"model": "os.system"}, "'load_args.modelClass' of dataset 'loaded'"),
        ({"reader": "os.system"}, "'fs_args.reader_module' of dataset 'loaded'"),
        ({"other_kind": "os.system"}, "'Type' of dataset 'loaded'"),
        ({"policy": "continue"}, "'execution'"),
        ({"day": "../../etc/passwd"}, "'filepath' of dataset 'chosen'"),
        ({"day": ".."}, "'filepath' of dataset '{name}_table'"),
        ({"path": "/etc/passwd"}, "'filepath' of dataset 'whole'"),
        ({"path": "~/secret"}, "'filepath' of dataset 'whole'"),
        ({"path": "http://169.254.169.254/latest"}, "'filepath' of dataset 'whole'"),
        ({"path": "zip://x::file:///etc/passwd"}, "'filepath' of dataset 'whole'"),
        ({"path": "a\\..\\b"}, "'filepath' of dataset 'whole'"),
        ({"key": "a/../../other"}, "'filepath' of dataset 'remote'"),
        ({"name": "../../other"}, "'filename' of dataset 'table'"),
        ({"listed": "../../other"}, "'files' of dataset 'table'"),
        ({"mapped": "a/../../../other"}, "'paths.a' of dataset 'table'"),
        ({"mapped": "~/other"}, "'paths.a' of dataset 'table'"),
        ({"database": "..\\other"}, "'connection.database' of dataset 'table'"),
        ({"con": "../other"}, "'con' of dataset 'table'"),
        ({"con": "/etc/other"}, "'con' of dataset 'table'"),
        ({"options": {"filepath_or_buffer": "/etc/passwd"}}, "'load_args.filepath_or_buffer' of dataset 'table'"),
        ({"options": {"proxies": ["http://169.254.169.254/"]}}, "'load_args.proxies' of dataset 'table'"),
        ({"options": {"names": ["a", "~root"]}}, "'load_args.names' of dataset 'table'"),
        ({"one": "/etc/passwd"}, "'query' of dataset 'table'"),
        ({"one": ".", "two": "./x"}, "'query' of dataset 'table'"),
        ({"one": "", "two": "/etc/passwd"}, "'query' of dataset 'table'"),
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
        *(
            {"name": "a b..c (1)~"},
            {"mapped": "2026/01/x"},
            {"con": "sales-2026"},
            {"listed": "é/ü*"},
            {"one": "data/x.csv"},
            {"date": "1/2/26"},
        ),
        *({"options": {"sep": "\\t", "nrows": 5, "dtype": {"a": "int64"}, "date_format": "%d/%m/%Y %H:%M", "names": ["a..b"]}},),
        *({"n": 5}, {"unused": "os.system"}, {"path": "${oc.env:HOME}"}, {}, {"deep": {"list": ["/etc/passwd", {"type": "x"}]}}),
    ],
)
def test_what_params_may_choose(read, params):
    """Names below the folder of the catalog, values of other keys, and params that the catalog does not contain."""
    check_untrusted(read, params)
    read(params)["catalog"]
