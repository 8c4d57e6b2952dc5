"""What starts ahead of a run is gone where no run comes of it: wrong names, and Ctrl-C while the pipelines are imported."""

from __future__ import annotations

FLAGS = ("run", "--runner", "parallel", "--runner-params", "max_workers=2,start_method=forkserver")


def test_a_wrong_name_leaves_nothing(make_loom, treadle, leftovers):
    """The error is that of any runner, and it comes without waiting for what was started."""
    launched = treadle(make_loom(), *FLAGS, "--pipelines", "wrong")
    assert launched.wait() == 2
    assert launched.output.startswith("Error: ")
    assert "has no pipeline 'wrong'" in launched.output
    leftovers.check()


def test_ctrl_c_during_the_import_leaves_nothing(make_loom, treadle, gate, leftovers):
    """Interrupted before there is a run, the command ends as ever."""
    root = make_loom()
    registry = root / "src" / "loom" / "pipeline_registry.py"
    registry.write_text(
        "import os\n"
        "from pathlib import Path\n"
        "Path(os.environ['GATE_REACHED']).write_text(str(os.getpid()))\n"
        "Path(os.environ['GATE_OPEN']).read_text()\n" + registry.read_text().replace("from __future__ import annotations\n", "")
    )
    launched = treadle(root, *FLAGS, **gate.environment)
    gate.wait_reached(launched)
    launched.interrupt()
    assert launched.wait() == 130, launched.output
    leftovers.check()
