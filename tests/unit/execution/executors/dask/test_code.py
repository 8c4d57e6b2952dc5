"""The archive of a project's code: which files are sent to workers that do not have them."""

from __future__ import annotations

import importlib
import io
import os
import sys
import zipfile

import pytest

from treadle.errors import RunnerError
from treadle.execution.executors.dask.code import ProjectCode, pack_code, unpack_code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package that can be imported as `braided`."""
    folder = tmp_path / "src" / "braided"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "src")
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("braided", None)


def sent(*names):
    """The names of the files that are sent for modules."""
    return sorted(zipfile.ZipFile(io.BytesIO(pack_code(names).archive)).namelist())


def test_what_is_no_file_is_not_sent(package):
    """The lock that an editor makes is a link to nothing, and a pipe would block the reader."""
    (package / ".#nodes.py").symlink_to("weaver@loom.4711")
    os.mkfifo(package / "pipe")
    assert sent("braided") == ["braided/__init__.py"]


def test_a_package_that_is_linked_is_sent(package, tmp_path):
    """Workers import it from the place of the link; a linked folder of data is not sent, nor a link that leads in a circle."""
    for name in ("shared/inner", "data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("shared/__init__.py", "shared/inner/__init__.py", "data/large.csv"):
        (tmp_path / name).write_text("")
    (package / "shared").symlink_to(tmp_path / "shared")
    (package / "data").symlink_to(tmp_path / "data")
    (tmp_path / "shared" / "inner" / "outer").symlink_to(tmp_path / "shared")
    (tmp_path / "shared" / "braided").symlink_to(package)
    assert sent("braided") == ["braided/__init__.py", "braided/shared/__init__.py", "braided/shared/inner/__init__.py"]


def test_what_the_user_has_installed_is_not_sent(tmp_path, monkeypatch):
    """Its folder is not among those of the interpreter or environment."""
    folder = tmp_path / ".local" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "knitted.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    assert sent("knitted") == []


def test_a_file_that_is_too_large_is_not_read(package):
    """The error names the package."""
    with (package / "data.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunnerError, match=r"The code in .*braided has more than 67"):
        pack_code(["braided"])


def test_code_that_does_not_fit_leaves_nothing(tmp_path):
    """What was unpacked before the error is removed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("plain.py", "")
        archive.writestr("plain.py/below.py", "")
    with pytest.raises(OSError, match=r"plain\.py"):
        unpack_code(ProjectCode("1", stream.getvalue()), str(tmp_path / "code"))
    assert list(tmp_path.iterdir()) == []
