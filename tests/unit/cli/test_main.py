"""The command `treadle` itself: help, close matches, exit codes."""

from __future__ import annotations

import errno
import io
import os
import shlex
import signal
import subprocess
import sys

import click
import pytest

import treadle
from treadle.cli import main as module
from treadle.cli.invocation import Invocation, typed_command
from treadle.cli.main import main
from treadle.errors import NodeError, ProjectError, Terminated

COMMANDS = (
    "run",
    "new",
    "demo",
    "check",
    "status",
    "explain",
    "accept",
    "invalidate",
    "cache",
    "registry",
    "catalog",
    "pipeline",
    "report",
    "server",
    "sessions",
    "ipython",
    "jupyter",
    "package",
    "info",
)


def test_version(capsys):
    """`--version` says which one."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"treadle, version {treadle.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_lists_the_commands(capsys, words):
    """Help shows each command with its line, and promises the exit codes."""
    main(words)
    output = "".join(capsys.readouterr())
    for command in COMMANDS:
        assert f"\n  {command}" in output
    assert "Exit codes" in output


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(capsys, command):
    """Each command explains itself, in the words of the list of commands at first."""
    assert main([command, "--help"]) == 0
    assert f"Usage: treadle {command}" in capsys.readouterr().out


def test_the_list_says_what_the_commands_say():
    """The line of a command in the list is the beginning of its own help, or sums it up."""
    for command in COMMANDS:
        assert module.treadle_command.get_command(click.Context(module.treadle_command), command).name == command


def test_help_is_whole_on_a_narrow_terminal():
    """Each command and sub-command has a line that a list of 80 columns does not cut, and each of its options says what it is."""
    above = click.Context(module.treadle_command)
    subcommands = []
    for name in module.treadle_command.list_commands(above):
        command = module.treadle_command.get_command(above, name)
        assert all(option.help.endswith(".") for option in command.params if isinstance(option, click.Option)), name
        if isinstance(command, click.Group):
            subcommands += [command.get_command(click.Context(command), each) for each in command.list_commands(above)]
    assert len(subcommands) > 12
    for command in subcommands:
        assert len(command.get_short_help_str(limit=1000)) <= 64, command.name
        assert all(option.help.endswith(".") for option in command.params if isinstance(option, click.Option)), command.name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "There is no command 'rnu'. Did you mean 'run'"),
        (["zzz"], f"The commands are: {', '.join(COMMANDS)}."),
        (["run", "--runer", "parallel"], "--runner"),
        (["sessions", "lits"], "lits"),
        (["new"], "PATH"),
    ],
)
def test_wrong_usage_is_2_and_suggests(capsys, words, said):
    """An unknown command or option, or a missing argument, ends with code 2 and says what was meant."""
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def _raises(error):
    def command(**_flags):
        raise error

    return click.Command("run", callback=command)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ProjectError("No project here."), 2, "Error: No project here.\n"),
        (NodeError("Node 'fit' failed.", node="fit"), 1, "Error: Node 'fit' failed.\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted.\n"),
        (Terminated(), 143, "\nEnded by SIGTERM.\n"),
        (Terminated("SIGHUP arrived during the run", signal.SIGHUP), 129, "\nEnded by SIGHUP.\n"),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, said):
    """Each way to end has its own exit code and its own words, without a traceback of ours."""
    monkeypatch.setattr("treadle.cli.run.run", _raises(error))
    assert main(["run"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [ZeroDivisionError, EOFError])
def test_an_unforeseen_error_passes_through(monkeypatch, error):
    """An error that is not ours keeps its traceback; the end of some file is no Ctrl-C, as click has it."""
    monkeypatch.setattr("treadle.cli.run.run", _raises(error()))
    with pytest.raises(error):
        main(["run"])


def test_output_that_has_no_room(tmp_path):
    """A standard output that cannot be written is one line and code 1."""
    command = f"ulimit -f 0; {shlex.quote(sys.executable)} -m treadle --help > out"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: Standard output cannot be written: File too large.\n")


CLOSES = """
import sys
from treadle import node, pipeline

def register_pipelines():
    sys.stdout.close()
    return {"__default__": pipeline([node(int, None, "zero")])}
"""


@pytest.mark.parametrize(("words", "code"), [("run", 0), ("run --nodes=unknown", 2)])
def test_standard_output_that_the_project_closes(make_project, monkeypatch, words, code):
    """It may use it in a `with` block. The exit code is that of the command."""
    make_project(pipeline_registry=CLOSES)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    assert main(words.split()) == code


@pytest.mark.parametrize("error", ["click.UsageError('what?')", "NodeError('Node failed.', node='fit')", "Terminated()"])
def test_output_that_was_pending_at_an_error(tmp_path, error):
    """Output that cannot be written when a command has ended with an error leaves it its exit code, and its message."""
    script = f"""if True:
        import sys
        import click, treadle.cli.main as m, treadle.cli.run as run
        from treadle.errors import NodeError, Terminated
        def fail(**_):
            print("pending")
            raise {error}
        run.run.callback = fail
        code = m.main(["run"])
        print(int(code), file=sys.stderr)
        sys.exit(code)
    """
    command = ["sh", "-c", 'ulimit -f 0; exec "$@" > out', "sh", sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.stderr.splitlines()[-1] == str(done.returncode)
    assert done.returncode in {1, 2, 143}
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_only_output_is_output(tmp_path, unbuffered):
    """A full disk elsewhere is not blamed on standard output, which may be lost too; then that is said, buffered or not."""
    script = """if True:
        import errno, os, sys
        import click, treadle.cli.main as m, treadle.cli.run as run
        def full(**_):
            if sys.argv[1:]:
                click.echo("lost")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        run.run.callback = full
        sys.exit(m.main(["run"]))
    """
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"OSError: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}")
    shell = ["sh", "-c", 'ulimit -f 0; exec "$@" echo > out', "sh", *command]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (1, "Error: Standard output cannot be written: File too large.\n")


def test_a_closed_stream_is_nobody_elses(tmp_path):
    """A file that was opened meanwhile, and got the descriptor of the closed standard output, is not printed into."""
    script = (
        "import sys; taken = open('taken', 'w'); import treadle.cli.main as m; sys.exit(m.main(['-h']) or taken.fileno() - 1)"
    )
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} >&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, (tmp_path / "taken").read_text()) == (0, "", "")


def test_a_terminal_that_was_closed(monkeypatch):
    """What cannot be told any more does not change the exit code of an interrupt."""

    class Closed(io.StringIO):
        def write(self, _text):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("treadle.cli.run.run", _raises(Terminated("SIGHUP arrived during the run", signal.SIGHUP)))
    monkeypatch.setattr(sys, "stderr", Closed())
    assert main(["run"]) == 129


def test_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    """Where the current folder was deleted, one line says so."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["info"]) == 2
    assert capsys.readouterr().err.startswith("Error: The current folder does not exist any more")


def test_a_reader_that_has_enough():
    """A closed pipe behind us, as with `| head`, is no error to tell of."""
    script = "import sys, treadle.cli.main as m; sys.exit(m.main(['--help']))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_command_is_kept_as_typed():
    """The record of a session gets the command so that it can be typed again; elsewhere at least its name."""
    invocation = Invocation(("run", "--params", "city=New York"))
    context = click.Context(click.Command("run"), info_name="run", obj=invocation)
    assert typed_command(context) == "treadle run --params 'city=New York'"
    assert typed_command(click.Context(click.Command("run"), info_name="run")) == "run"


def test_python_m_treadle():
    """`python -m treadle` is the same command."""
    done = subprocess.run([sys.executable, "-m", "treadle", "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"treadle, version {treadle.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]])
def test_help_imports_nothing_heavy(words):
    """Help and version import none of the libraries that a run needs (failure 20)."""
    script = f"""
import sys
before = set(sys.modules)
from treadle.cli.main import main
main({words!r})
heavy = {{"omegaconf", "yaml", "rich", "sqlalchemy", "fsspec", "loky", "cloudpickle", "pandas", "numpy", "multiprocessing",
          "treadle.session", "treadle.execution", "treadle.config", "treadle.io", "logging", "importlib.metadata"}}
assert heavy.isdisjoint(set(sys.modules) - before), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, timeout=60, check=True)


def test_recorded_sessions_are_read_without_what_runs_them():
    """A command that reads records needs the project's store, and neither sessions nor contexts."""
    script = """
import sys
from treadle.cli import location, sessions
from treadle.session.creation import make_store
found = {"treadle.session.session", "treadle.session.context", "treadle.planning"} & set(sys.modules)
assert not found, found
import treadle.session
assert all(getattr(treadle.session, name).__name__ == name for name in treadle.session.__all__)
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


@pytest.mark.parametrize(("call", "freezes"), [("main()", True), ("main(['--version'])", False)])
def test_imports_are_frozen_only_by_the_command_itself(call, freezes):
    """The collection at exit leaves out the modules of a command; a program that calls `main` is left as it is."""
    script = f"""
import atexit, gc, sys
from treadle.cli.main import main
atexit.register(lambda: print(gc.get_freeze_count() > 10_000))
sys.argv = ["treadle", "--version"]
{call}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == str(freezes)


def test_a_word_that_is_a_flag(capsys):
    """`treadle version` gets the flag that was meant, not the command that is spelled most like it."""
    assert main(["version"]) == 2
    assert "Did you mean '--version'?" in capsys.readouterr().err
