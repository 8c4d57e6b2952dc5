"""Logging: where its configuration comes from, and the levels that travel to workers."""

from __future__ import annotations

import io
import logging
import pickle
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.errors import ConfigError, MissingConfigError
from treadle.project.logging import (
    LoggingLevels,
    apply_levels,
    configure_logging,
    default_configuration,
    snapshot_levels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "loomtest.logger"


@pytest.fixture(autouse=True)
def logging_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own root handlers, and the levels back afterwards."""
    monkeypatch.delenv("TREADLE_LOGGING_CONFIG", raising=False)
    before, handlers = snapshot_levels(), list(logging.root.handlers)
    yield
    for handler in list(logging.root.handlers):
        if handler not in handlers:
            logging.root.removeHandler(handler)
            handler.close()
    logging.root.handlers[:] = handlers
    logger = logging.getLogger(NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    apply_levels(before, replacing=snapshot_levels())


def test_snapshot_is_small_and_holds_only_differences() -> None:
    """A logger like a new one is not in the picture; one that differs in any way is; the picture pickles to few bytes."""
    names = [f"{NAME}.{number}" for number in range(500)]
    loggers = [logging.getLogger(name) for name in names]
    loggers[1].setLevel("DEBUG")
    loggers[2].propagate = False
    loggers[3].disabled = True
    levels = snapshot_levels()
    mine = [(each.name, each.level, each.propagate, each.disabled) for each in levels.loggers if each.name in names]
    assert mine == [
        (names[1], logging.DEBUG, True, False),
        (names[2], logging.NOTSET, False, False),
        (names[3], logging.NOTSET, True, True),
    ]
    assert pickle.loads(pickle.dumps(levels)) == levels
    assert len(pickle.dumps(levels)) < 5000


def test_levels_are_applied_and_replaced() -> None:
    """Applying a picture sets levels, propagation and disabling, and leaves handlers; a later one replaces it."""
    logger = logging.getLogger(NAME)
    handler = logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel("ERROR")
    logger.propagate = False
    logging.disable(logging.DEBUG)
    logging.captureWarnings(True)
    taken = snapshot_levels()
    plain = LoggingLevels(root_level=logging.root.level)
    apply_levels(plain, replacing=taken)
    assert (logger.level, logger.propagate, logging.root.manager.disable) == (logging.NOTSET, True, 0)
    assert not snapshot_levels().capture_warnings
    apply_levels(taken)
    apply_levels(taken)
    assert snapshot_levels() == taken
    assert logger.handlers == [handler]
    apply_levels(plain, replacing=taken)


def test_default_shows_info_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """Without configuration, INFO of Treadle and of the package is shown on standard error, and only warnings of others."""
    configure_logging(package_name="loomtest")
    logging.getLogger(NAME).info("from the project")
    logging.getLogger("treadle.something").info("from treadle")
    logging.getLogger("other_library").info("not shown")
    logging.getLogger("other_library").warning("shown")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["from the project", "from treadle", "shown"]
    assert NAME in lines[0]


def test_default_is_rich_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console handler is rich where standard error is a terminal, and plain on a pipe."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert "class" not in default_configuration()["handlers"]["console"]
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert default_configuration()["handlers"]["console"]["class"] == "treadle.project.terminal_logging.TerminalHandler"
    configure_logging()
    logging.getLogger("treadle").info("hello")
    assert "hello" in sys.stderr.getvalue()  # type: ignore[attr-defined]  # our Terminal


def test_files_decide_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable's file wins over conf/logging.yml, which wins over the default."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "logging.yml").write_text(f"loggers:\n  {NAME}: {{level: ERROR}}\n")
    (tmp_path / "other.json").write_text(f'{{"loggers": {{"{NAME}": {{"level": "DEBUG"}}}}}}')
    configure_logging(project_path=tmp_path)
    assert logging.getLogger(NAME).level == logging.ERROR
    monkeypatch.setenv("TREADLE_LOGGING_CONFIG", "other.json")
    configure_logging(project_path=tmp_path)
    assert logging.getLogger(NAME).level == logging.DEBUG
    configure_logging({"loggers": {NAME: {"level": "INFO"}}}, project_path=tmp_path)
    assert logging.getLogger(NAME).level == logging.INFO


def test_log_files_belong_to_the_project_and_loggers_stay_enabled(tmp_path: Path) -> None:
    """A relative file name is placed in the project with its folder made; loggers that exist are not disabled."""
    existing = logging.getLogger(f"{NAME}.existing")
    conf = {
        "handlers": {"file": {"class": "logging.FileHandler", "filename": "logs/info.log", "delay": True}},
        "loggers": {NAME: {"level": "INFO", "handlers": ["file"]}},
    }
    configure_logging(conf, project_path=tmp_path)
    existing.info("kept")
    assert (tmp_path / "logs" / "info.log").read_text() == "kept\n"
    assert conf["handlers"]["file"]["filename"] == "logs/info.log"


def test_wrong_configuration_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, broken YAML and a wrong schema are errors with the file, and the line where there is one."""
    monkeypatch.setenv("TREADLE_LOGGING_CONFIG", "nowhere.yml")
    with pytest.raises(MissingConfigError) as missing:
        configure_logging(project_path=tmp_path)
    assert missing.value.file == str(tmp_path / "nowhere.yml")
    monkeypatch.delenv("TREADLE_LOGGING_CONFIG")
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf" / "logging.yml"
    file.write_text("a: 1\nb: c: d\n")
    with pytest.raises(ConfigError) as broken:
        configure_logging(project_path=tmp_path)
    assert (broken.value.file, broken.value.line) == (str(file), 2)
    file.write_text("handlers: {x: {class: no_such_module.Handler}}\n")
    with pytest.raises(ConfigError, match="no_such_module") as wrong:
        configure_logging(project_path=tmp_path)
    assert wrong.value.file == str(file)


def test_a_log_file_that_cannot_be_created(tmp_path: Path) -> None:
    """It is an error of the configuration, with its file."""
    (tmp_path / "taken").touch()
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf" / "logging.yml"
    file.write_text("handlers: {x: {class: logging.FileHandler, filename: taken/info.log}}\n")
    with pytest.raises(ConfigError, match=r"logging\.yml: .*taken") as wrong:
        configure_logging(project_path=tmp_path)
    assert wrong.value.file == str(file)


def test_a_log_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not put into a folder `~` of the project."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    handler = {"class": "logging.FileHandler", "filename": "~/logs/info.log"}
    configure_logging({"handlers": {"file": handler}, "loggers": {NAME: {"handlers": ["file"]}}}, project_path=tmp_path / "p")
    assert (tmp_path / "home" / "logs" / "info.log").exists()


def test_a_logging_file_that_is_a_link_to_nothing(tmp_path: Path) -> None:
    """It is an error, and not as if there were none."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "logging.yml").symlink_to("nowhere.yml")
    with pytest.raises(ConfigError, match=r"logging\.yml cannot be read"):
        configure_logging(project_path=tmp_path)


def test_captured_warnings_travel() -> None:
    """Whether warnings go to logging is part of the picture."""
    logging.captureWarnings(True)
    try:
        assert snapshot_levels().capture_warnings
    finally:
        logging.captureWarnings(False)
    assert not snapshot_levels().capture_warnings
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", UserWarning, stacklevel=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_log_file_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so, instead of a traceback and the stack for each record; other errors are shown as always."""
    configure_logging(
        {
            "handlers": {"file": {"class": "logging.FileHandler", "filename": "/dev/full"}},
            "loggers": {NAME: {"handlers": ["file"], "level": "INFO", "propagate": False}},
        },
        project_path=tmp_path,
    )
    logger = logging.getLogger(NAME)
    for number in range(3):
        logger.info("line %d", number)
    assert (
        capsys.readouterr().err
        == "Log lines cannot be written to /dev/full: No space left on device. Further errors of it are not shown.\n"
    )
    logger.info("wrong %d", "text")
    assert "TypeError" in capsys.readouterr().err
    (handler,) = logger.handlers
    logger.removeHandler(handler)
    with pytest.raises(OSError, match="No space"):
        handler.close()
