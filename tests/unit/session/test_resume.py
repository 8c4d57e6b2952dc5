"""The command that resumes a failed run: by the id of its session, or by flags if the session is not recorded."""

from __future__ import annotations

import shlex
from contextlib import closing

import pytest

from treadle import Session
from treadle.config.params import parse_params
from treadle.errors import NodeError, UnknownNameError
from treadle.observe.store import SQLStore
from treadle.session.request import RunRequest
from treadle.session.resume import resume_command
from treadle.session.resuming import _SEARCHED


def test_the_shortest_command() -> None:
    """Without flags, only the nodes are named."""
    assert resume_command(RunRequest(), ("a", "b")) == "treadle run --from-nodes=a,b"


def test_every_flag_is_repeated() -> None:
    """All that was asked for is asked for again, but for the nodes to start from; a shell reads it back."""
    request = RunRequest(
        pipeline_names=("train", "report"),
        tags=("x", "y"),
        node_names=("n",),
        from_nodes=("earlier",),
        to_nodes=("z",),
        from_inputs=("raw",),
        to_outputs=("out",),
        namespaces=("north",),
        load_versions={"model": "2026-01-01T00.00.00.000Z"},
        only_missing_outputs=True,
        runner="parallel",
        runner_params={"max_workers": 2, "start_method": "spawn", "is_async": True},
    )
    command = resume_command(
        request,
        ("fit([table,model]) -> [score]",),
        env="prod",
        params={"model": {"a": 5}, "city": "New York"},
        conf_source="my conf",
    )
    assert shlex.split(command) == [
        "treadle",
        "run",
        "--pipelines=train,report",
        "--runner=parallel",
        "--runner-params=max_workers=2,start_method=spawn",
        "--env=prod",
        "--tags=x,y",
        "--nodes=n",
        "--from-nodes=fit([table,model]) -> [score]",
        "--to-nodes=z",
        "--from-inputs=raw",
        "--to-outputs=out",
        "--load-versions=model:2026-01-01T00.00.00.000Z",
        "--namespaces=north",
        "--params=model.a=5,city=New York",
        "--conf-source=my conf",
        "--async",
        "--only-missing-outputs",
    ]


def test_params_that_no_pair_can_say() -> None:
    """Keys with dots, numbers as keys, bytes and the like are one mapping in the command, which reads back as they were."""
    params = {"a.b": 1, 2020: {"": b"x"}, "rate": float("inf"), "text": "it's"}
    flag = shlex.split(resume_command(RunRequest(), ("n",), params=params))[-1]
    assert flag.startswith("--params={")
    assert parse_params(flag.removeprefix("--params=")) == params


@pytest.mark.parametrize("error", ['ValueError("broken")', "KeyboardInterrupt"])
def test_the_versions_to_resume_with(make_project, error: str) -> None:
    """After a failure and after an interrupt: what the rest loads, as this run asked, found or saved it, and nothing else."""
    note = "{{type: text.TextDataset, filepath: data/{0}, versioned: true}}\n"
    catalog = "".join(f"{name}: {note.format(name)}" for name in ("early", "late", "newest", "kept", "asked"))
    files = {f"data/{name}/{version}/{name}": version for name in ("early", "late", "newest") for version in ("v1", "v2")}
    root = make_project(files={"conf/base/catalog.yml": catalog, **files, "data/asked/v1/asked": "v1"})
    package = next((root / "src").iterdir())
    (package / "pipeline_registry.py").write_text(f"""
import os
from treadle import Pipeline, node

def stop(*texts):
    if os.path.exists("repaired"):
        return "".join(texts)
    raise {error}

def register_pipelines():
    return {{"__default__": Pipeline([
        node(lambda early: ("kept", "asked"), "early", ["kept", "asked"], name="first"),
        node(stop, ["late", "newest", "kept", "asked"], "out", name="second"),
    ])}}
""")
    asked = {"early": "v1", "late": "v1", "asked": "v1"}
    with pytest.raises((NodeError, KeyboardInterrupt)) as caught, Session.create(save_on_close=False) as session:
        session.run(runner="sequential", load_versions=asked)
    command = getattr(caught.value, "resume", None) or caught.value.__notes__[-1].splitlines()[-1]
    wanted = {"asked": "v1", "kept": session.session_id, "late": "v1", "newest": "v2"}
    versions = ",".join(f"{name}:{version}" for name, version in wanted.items())
    assert shlex.split(command)[-2:] == ["--from-nodes=second", f"--load-versions={versions}"]
    (root / "repaired").touch()
    (root / "data/newest/v3").mkdir()
    (root / "data/newest/v3/newest").write_text("v3")
    with Session.create() as session:
        assert session.run(runner="sequential", from_nodes="second", load_versions=wanted)["out"] == "v1v2keptv1"


FAN = """
import os
from treadle import Pipeline, node

def first(raw):
    {first}
    return "made"

def take(raw, made):
    raise ValueError("broken")

def register_pipelines():
    return {{"__default__": Pipeline([
        node(first, "raw", "made", name="first"),
        *(node(take, ["raw", "made"], f"out_{{number}}", name=f"a node with a long name {{number}}") for number in range(400)),
    ])}}
"""


@pytest.mark.parametrize(
    ("first", "flags"),
    [
        ("raise ValueError('broken')", []),  # nothing was made: the original command
        ("pass", ["--from-inputs=made"]),  # one dataset says what 400 names would
    ],
)
def test_a_resume_command_stays_short(make_project, first: str, flags: list[str]) -> None:
    """It is the original command where all must run again, and names datasets where they say the same as many nodes."""
    catalog = "raw: {type: text.TextDataset, filepath: data/raw.txt}\nmade: {type: text.TextDataset, filepath: data/made.txt}\n"
    root = make_project(files={"conf/base/catalog.yml": catalog})
    package = next((root / "src").iterdir())
    (package / "pipeline_registry.py").write_text(FAN.format(first=first))
    with pytest.raises(NodeError) as caught, Session.create(save_on_close=False, extra_params={"a": 1}) as session:
        session.run(runner="sequential")
    assert caught.value.resume is not None
    assert shlex.split(caught.value.resume) == ["treadle", "run", "--runner=sequential", *flags, "--params=a=1"]
    given = {"from_inputs": "made"} if flags else {}
    with pytest.raises(NodeError) as again, Session.create() as session:
        session.run(runner="sequential", **given)
    assert len(again.value.resume_from or ()) == (400 if flags else 1)


def test_nodes_are_named_where_datasets_say_too_much(make_project) -> None:
    """A dataset that a finished node takes too is no place to start from."""
    catalog = "raw: {type: text.TextDataset, filepath: data/raw.txt}\n"
    root = make_project(files={"conf/base/catalog.yml": catalog})
    package = next((root / "src").iterdir())
    (package / "pipeline_registry.py").write_text(FAN.format(first="pass").replace('["raw", "made"]', '["raw", "params:factor"]'))
    with pytest.raises(NodeError) as caught, Session.create(save_on_close=False) as session:
        session.run(runner="sequential")
    assert caught.value.resume is not None
    assert "--from-nodes=a node with a long name 0," in shlex.split(caught.value.resume)[-1]


def failed_session(make_project):
    """Make a project whose only node fails, and run it; return its root and the session."""
    root = make_project()
    registry = next(root.glob("src/*/pipeline_registry.py"))
    registry.write_text("""
from treadle import Pipeline, node

def register_pipelines():
    return {"__default__": Pipeline([node(lambda: 1 / 0, None, "out", name="breaks")])}
""")
    with pytest.raises(NodeError), Session.create() as failed:
        failed.run()
    return root, failed


def test_the_last_session_to_resume_is_one_of_the_project(make_project) -> None:
    """Others may have recorded hundreds of newer ones in the same store."""
    root, failed = failed_session(make_project)
    with closing(SQLStore(project_path=root)) as store:
        record = store.load(failed.session_id)
        for number in range(_SEARCHED):
            store.save(record._replace(session_id=f"9{number:03}", package_name="other", runs=()))
    with pytest.raises(NodeError), Session.create(resume="last") as resumed:
        resumed.run()
    with closing(SQLStore(project_path=root)) as store:
        assert store.load(resumed.session_id).resumed_from == failed.session_id


def test_a_command_that_names_what_does_not_exist_is_not_the_last_to_resume(make_project) -> None:
    """It has done nothing, and would fail again, so the session before it is continued; by its id it can still be resumed."""
    root, failed = failed_session(make_project)
    for resume in (None, "last"):
        with pytest.raises(UnknownNameError), Session.create(resume=resume) as mistyped:
            mistyped.run(node_names=["nosuch"])
    with pytest.raises(NodeError), Session.create(resume="last") as resumed:
        resumed.run()
    with pytest.raises(NodeError), Session.create(resume=mistyped.session_id) as named:
        named.run(node_names=["breaks"])
    with closing(SQLStore(project_path=root)) as store:
        origins = {each.session_id: each.resumed_from for each in store.list()}
    assert origins[resumed.session_id] == failed.session_id
    assert origins[named.session_id] == mistyped.session_id
