"""Treadle in a real kernel: the extension, its magics, and runs of what a notebook defines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing

import nbformat
import pytest
from nbclient import NotebookClient

from treadle.observe.store import SQLStore

PACKAGE = "weft"
FILES = {
    "pyproject.toml": f'[tool.treadle]\npackage_name = "{PACKAGE}"\nproject_name = "Weft"\n',
    f"src/{PACKAGE}/__init__.py": "",
    f"src/{PACKAGE}/nodes.py": (
        "import json\nimport os as system\n\nFACTOR = 10\n\n\n"
        "def grow(numbers, by):\n    return [json.loads(str(each)) * by * FACTOR for each in numbers]\n\n\n"
        "def total(*grown):\n    return sum(sum(each) for each in grown)\n"
    ),
    f"src/{PACKAGE}/pipeline_registry.py": (
        "from treadle import Pipeline, node\nfrom weft.nodes import grow, total\n\n\n"
        "def register_pipelines():\n"
        "    add = node(lambda total: total + 1, 'total', 'more', name='add')\n"
        "    return {'__default__': Pipeline([\n"
        "        node(grow, ['numbers', 'params:by'], 'grown', name='grow'),\n"
        "        node(total, 'grown', 'total', name='total'), add])}\n"
    ),
    "conf/base/catalog.yml": "numbers:\n  type: json.JSONDataset\n  filepath: data/numbers.json\n",
    "conf/base/parameters.yml": "by: 2\n",
    "conf/prod/parameters.yml": "by: 3\n",
    "data/numbers.json": "[1, 2]",
    "notebooks/keep": "",
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # nbclient and zmq have some of their own


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project on disk, which nobody has loaded."""
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.delenv("TREADLE_ENV", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    root = tmp_path / "weft"
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def run_notebook(folder, *cells, kernel="python3", allow_errors=False):
    """Run cells in a new kernel; return what each one printed and displayed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name=kernel, allow_errors=allow_errors, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [
        "".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in cell.outputs)
        for cell in notebook.cells
    ]


DEFINE = """
from treadle import ParallelRunner, Pipeline, node
import os
def mine(numbers, by):
    print("in a worker:", os.getpid() != parent)
    return [each + by for each in numbers]
parent = os.getpid()
pipelines["mine"] = Pipeline([
    node(mine, ["numbers", "params:by"], "moved", name="mine"),
    node(lambda moved: len(moved), "moved", "count", name="count"),
])
"""


def test_notebook_defined_function_runs_in_workers(project):
    """What a notebook defines runs in worker processes under every start method, prints into its cell, and is recorded."""
    runs = [
        f"%reload_treadle\n{DEFINE}\nprint(session.run('mine', runner=ParallelRunner(2, start_method={method!r}))['count'])"
        for method in ("fork", "spawn", "forkserver", "loky")
    ]
    by_name = f"%reload_treadle\n{DEFINE}\nresult = session.run('mine', runner='parallel', runner_params={{'max_workers': 2}})"
    texts = run_notebook(project / "notebooks", "%load_ext treadle.ipython", *runs, by_name, "result['count']")
    for text in texts[1:5]:
        assert "in a worker: True" in text
        assert text.rstrip().endswith("2")
    assert texts[-1] == "2"
    with closing(SQLStore(project_path=project)) as store:
        found = store.list()
        assert [each.outcome.value for each in found] == ["succeeded"] * 5
        assert store.load(found[0].session_id).command == "%reload_treadle"


def test_progress_below_the_cell(project):
    """A run of the notebook's session is one line below its cell, which ends with what was done."""
    texts = run_notebook(project / "notebooks", "%load_ext treadle.ipython", "result = session.run()", "session")
    assert re.fullmatch(r"3/3 nodes in \d+\.\d s \(sequential\)", texts[1].strip().splitlines()[-1])
    assert "succeeded" in texts[2]


def test_load_ext_loads_the_project_above(project):
    """Loading the extension puts context, catalog, session and pipelines of the project above into the namespace."""
    texts = run_notebook(
        project / "notebooks",
        "%load_ext treadle.ipython",
        "print(context.params, sorted(catalog.list('num')), session.session_id == context.session_id, list(pipelines))",
        "print(session.run()['more'])",
    )
    assert "Weft: context, catalog, session, pipelines are ready" in texts[0]
    assert texts[1].strip() == "{'by': 2} ['numbers'] True ['__default__']"
    assert texts[2].rstrip().endswith("61")


def test_reload_takes_flags_and_changed_code(project):
    """`%reload_treadle` takes env, params and conf-source, and code that changed on disk runs as it is now."""
    change = (
        "from pathlib import Path\nfile = Path('../src/weft/nodes.py')\n"
        "_ = file.write_text(file.read_text().replace('FACTOR = 10', 'FACTOR = 1000'))"
    )
    texts = run_notebook(
        project / "notebooks",
        "%load_ext treadle.ipython\n%reload_treadle --env prod",
        "print(session.run()['more'])",
        f"{change}\n%reload_treadle --params by=5 --params new.deep=x",
        "print(session.run()['more'], context.params['new'])",
        "%reload_treadle .. --env=prod --conf-source conf\nprint(context.params, context.env)",
    )
    assert "in the environment prod" in texts[0]
    assert texts[1].rstrip().endswith("91")
    assert texts[3].rstrip().endswith("15001 {'deep': 'x'}")
    assert texts[4].rstrip().endswith("{'by': 3} prod")


WRONG = {
    "%reload_treadle nowhere": "nowhere",
    "%reload_treadle --env pord": "Did you mean 'prod'?",
    "%reload_treadle --params by": "has no '='",
    "%reload_treadle --colour red": "unrecognized arguments",
    "%reload_treadle 'my project": "No closing quotation",
    "%load_node gorw": "Did you mean 'grow'?",
}


def test_wrong_magic_is_one_paragraph(project):
    """A wrong path, flag or name is told in one paragraph, without a traceback of ours."""
    texts = run_notebook(project / "notebooks", "%load_ext treadle.ipython", *WRONG, allow_errors=True)
    for text, says in zip(texts[1:], WRONG.values(), strict=True):
        assert text.startswith("UsageError: ")
        assert says in text
        assert "Traceback" not in text


def test_load_node_writes_a_cell_that_runs(project):
    """`%load_node` puts imports, inputs, the function's source and the call into the next cell, which runs as it stands."""
    script = (
        "from IPython import get_ipython\nshell = get_ipython()\nshell.set_next_input = written.append\n"
        "get_ipython().run_line_magic('load_node', {name!r})\nprint(written[-1])\nexec(written[-1])\nprint('gives', returned)"
    )
    texts = run_notebook(
        project / "notebooks",
        "%load_ext treadle.ipython\nwritten = []",
        script.format(name="grow"),
        "catalog['grown'] = [[1], [2]][0]",
        script.format(name="total"),
        "catalog['total'] = 5",
        script.format(name="add"),
    )
    assert "numbers = catalog.load('numbers')\nby = catalog.load('params:by')\n" in texts[1]
    assert "import json\nfrom weft.nodes import FACTOR\n\ndef grow(numbers, by):\n" in texts[1]
    assert "import os" not in texts[1]
    assert "returned = grow(numbers, by)  # produces grown" in texts[1]
    assert texts[1].rstrip().endswith("gives [20, 40]")
    assert "grown = catalog.load('grown')" in texts[3]
    assert texts[3].rstrip().endswith("gives 1")
    assert texts[5].rstrip().endswith("gives 6")


def command_line(project, *words, **environment):
    """Run the command line in the project; return its process, ended."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-m", "treadle", *words], cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_ipython_command(project):
    """`treadle ipython` starts a shell in which the project is loaded, in the environment that was named."""
    done = command_line(
        project, "ipython", "--env", "prod", "-c", "print('by is', context.params['by'], catalog.load('numbers'))"
    )
    assert done.returncode == 0, done.stderr
    assert "by is 3 [1, 2]" in done.stdout


def test_jupyter_setup_installs_a_kernel_with_the_project(project, tmp_path):
    """The kernel of `treadle jupyter setup` has the project loaded, wherever its notebook lies."""
    done = command_line(project, "jupyter", "setup", "--env", "prod")
    assert done.returncode == 0, done.stderr
    spec = json.loads((tmp_path / "jupyter/kernels/treadle-weft-prod/kernel.json").read_text())
    assert spec["display_name"] == "Treadle (Weft, prod)"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    texts = run_notebook(elsewhere, "print(context.params, catalog.load('numbers'))", kernel="treadle-weft-prod")
    assert texts[0].rstrip().endswith("{'by': 3} [1, 2]")


@pytest.mark.parametrize(("command", "module"), [("lab", "jupyterlab"), ("notebook", "notebook")])
def test_jupyter_applications_get_the_kernel(project, tmp_path, command, module):
    """`treadle jupyter lab` and `notebook` start the application with the project's kernel as its default."""
    stand_in = tmp_path / "applications" / f"{module}.py"
    stand_in.parent.mkdir()
    stand_in.write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    done = command_line(project, "jupyter", command, "--no-browser", PYTHONPATH=str(stand_in.parent))
    assert "['--MultiKernelManager.default_kernel_name=treadle-weft', '--no-browser']" in done.stdout
    assert done.returncode == 3


def test_jupyter_without_application(project):
    """Where the application is not installed, the command says how to install it."""
    done = command_line(project, "jupyter", "notebook")
    assert done.returncode == 2
    assert "pip install notebook" in done.stderr
