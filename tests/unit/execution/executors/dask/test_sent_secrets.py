"""The secrets that dask workers learn."""

from __future__ import annotations

import pickle

from treadle import Catalog, Pipeline, node
from treadle.execution.executors.dask.sent_secrets import with_needed_secrets
from treadle.execution.packing.bundle import RunBundle
from treadle.planning import compile_plan
from treadle.secrets import register_secrets


def test_a_worker_learns_only_the_secrets_of_the_run():
    """Those of entries that no node uses stay with the driver, also out of the rest of the description."""
    register_secrets({"password": "of-nothing-here-4711"})
    names = ("used", "other")
    entries = {
        name: {"type": "text.TextDataset", "filepath": f"s3://bucket/{name}", "credentials": f"{name}_login"} for name in names
    }
    logins = {f"{name}_login": {"key": f"key-of-{name}-0815"} for name in names}
    catalog = Catalog.from_config(entries, logins)
    pipeline = Pipeline([node(len, "used", "length")])
    bundle = RunBundle("run", compile_plan(pipeline, catalog), catalog, None)
    before, _ = bundle.spec()
    sent = with_needed_secrets(before)
    assert {"of-nothing-here-4711", "key-of-used-0815", "key-of-other-0815"} <= set(pickle.loads(before).secrets)
    assert pickle.loads(sent).secrets == ("key-of-used-0815",)
    assert b"key-of-other-0815" not in sent
