"""Configuration in archives: the same as the folder that they unpack to."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
from itertools import product
from pathlib import Path

import pytest

from treadle.config.loader import ConfigLoader
from treadle.config.source import FolderSource, open_source
from treadle.errors import ConfigError, MissingConfigError

FOLDERS = {
    "one file of base": {"base/parameters.yml": "a: 1"},
    "files at the top": {"logging.yml": "root: {level: INFO}", "base/parameters.yml": "a: 1", "prod/parameters.yml": "a: 2"},
    "everything nested": {"base/parameters/x/deep.yml": "a: 1", "prod/eu/parameters.yml": "a: 3"},
    "other files": {"README.md": "hello", "base/catalog.yml": "{}", "base/notes.txt": "x", "base/parameters.json": '{"a": 5}'},
    "hidden and empty": {"base/.ipynb_checkpoints/parameters.yml": "a: 9", "base/parameters.yml": "a: 1", "prod/.gitkeep": ""},
}


def fill(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def pack(folder: Path, archive: Path, top: str, *, with_folders: bool = True) -> Path:
    """Pack a folder, under a prefix: the way of `zip -r` and `tar`, folders being entries, or of files alone."""
    entries = [each for each in sorted(folder.rglob("*")) if with_folders or each.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for each in entries:
                packed.write(each, top + each.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w:" + archive.suffix[1:].replace("tar", "")) as packed_tar:
            for each in entries:
                packed_tar.add(each, top + each.relative_to(folder).as_posix(), recursive=False)
    return archive


def seen(path: Path) -> dict[str, object]:
    """What a source shows: environments, files and their texts."""
    source = open_source(path)
    names = [name for name in ("", "base", "prod", "prod/eu", "nowhere") if source.has_environment(name)]
    files = {(env, name): source.read(env, name) for env in names for name in source.files(env)}
    return {
        "environments": names,
        "listed": {env: source.environments(env) for env in names},
        "files": files,
        "logging": source.has_file("", "logging.yml"),
    }


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_is_the_folder_unpacked(tmp_path, files, ending) -> None:
    """Zip and tar, with and without a folder around everything, with files at any depth, show what the folder shows."""
    folder = fill(tmp_path / "source", files)
    for top, with_folders in product(("", "./", "conf/", "./my conf/"), (True, False)):
        archive = pack(folder, tmp_path / f"c.{ending}", top, with_folders=with_folders)
        assert seen(archive) == seen(folder), (top, with_folders)
        assert ConfigLoader(archive)["parameters"] == ConfigLoader(folder)["parameters"]


def test_errors_name_the_path_inside(tmp_path) -> None:
    """An error about a file names the archive and the file's whole path in it; a missing environment has a close match."""
    folder = fill(tmp_path / "source", {"base/parameters.yml": "a: b: c", "prod/parameters.yml": "a: 1"})
    archive = pack(folder, tmp_path / "c.zip", "conf/")
    with pytest.raises(ConfigError) as broken:
        ConfigLoader(archive)["parameters"]
    assert (broken.value.file, broken.value.line) == (f"{archive}!/conf/base/parameters.yml", 1)
    with pytest.raises(ConfigError, match="Did you mean 'prod'"):
        ConfigLoader(archive, env="prd")["parameters"]
    without = pack(fill(tmp_path / "other", {"prod/parameters.yml": "a: 1"}), tmp_path / "o.zip", "")
    with pytest.raises(MissingConfigError, match="no base environment 'base'"):
        ConfigLoader(without)["parameters"]


def test_another_base_environment(tmp_path) -> None:
    """The folder around everything is told from the base environment by the latter's name, whatever that is."""
    folder = fill(tmp_path / "source", {"foundation/parameters.yml": "a: 1"})
    for top in ("", "conf/", "base/"):
        archive = pack(folder, tmp_path / "c.tar", top)
        assert ConfigLoader(archive, base_env="foundation")["parameters"] == {"a": 1}
    flat = pack(fill(tmp_path / "flat", {"parameters.yml": "a: 1", "prod/parameters.yml": "a: 2"}), tmp_path / "f.zip", "")
    assert ConfigLoader(flat, base_env="", env="prod")["parameters"] == {"a": 2}


def test_links_in_a_tar(tmp_path) -> None:
    """A link to a file of the archive counts as that file; one that leads elsewhere is an error that names it."""
    folder = fill(tmp_path / "source", {"base/parameters.yml": "a: 1"})
    (folder / "prod").mkdir()
    (folder / "prod/parameters.yml").hardlink_to(folder / "base/parameters.yml")
    (folder / "local").mkdir()
    (folder / "local/parameters.yml").symlink_to("../base/parameters.yml")
    archive = pack(folder, tmp_path / "c.tar.gz", "conf/")
    for env in ("prod", "local"):
        assert ConfigLoader(archive, env=env)["parameters"] == {"a": 1}
    (folder / "local/parameters.yml").unlink()
    (folder / "local/parameters.yml").symlink_to("/etc/hostname.yml")
    with pytest.raises(ConfigError, match=r"local/parameters\.yml is a link to /etc/hostname\.yml"):
        ConfigLoader(pack(folder, tmp_path / "d.tar", ""))["parameters"]


def test_a_link_to_a_folder_in_a_tar(tmp_path) -> None:
    """It is an error, because the files behind it would be left out silently; links to other kinds of files are not."""
    folder = fill(tmp_path / "source", {"base/parameters.yml": "a: 1", "shared/parameters.yml": "b: 2", "base/notes.md": ""})
    (folder / "base/README").symlink_to("notes.md")
    assert ConfigLoader(pack(folder, tmp_path / "a.tar", "conf/"))["parameters"] == {"a": 1}
    (folder / "base/shared").symlink_to("../shared")
    with pytest.raises(ConfigError, match=r"base/shared is a link to \.\./shared, .*--dereference"):
        ConfigLoader(pack(folder, tmp_path / "b.tar", "conf/"))["parameters"]


@pytest.mark.parametrize("name", ["base/parameters_b.yml", "base/parameters"])
def test_links_in_a_zip(tmp_path, name) -> None:
    """They are errors: `zip --symlinks` packs the target's name in place of its content."""
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("base/parameters.yml", "a: 1")
        link = zipfile.ZipInfo(name)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../shared")
    with pytest.raises(ConfigError, match=rf"{name} is a link to \.\./shared\. Pack the file itself"):
        ConfigLoader(tmp_path / "c.zip")["parameters"]


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "tar", "zip"])
def test_an_archive_that_was_cut_off(tmp_path, ending) -> None:
    """Wherever an archive ends too early, it is an error that names it, never fewer files or an interrupt."""
    files = {"base/parameters.yml": "a: 1\n" + "# filler\n" * 40, "prod/parameters.yml": "a: 2"}
    whole = pack(fill(tmp_path / "source", files), tmp_path / f"c.{ending}", "").read_bytes()
    end = whole.rstrip(b"\0") if ending == "tar" else whole  # tar pads its end with more zeros than it needs
    blocks = {block + more for block in range(512, len(end), 512) for more in (0, 1)} if ending == "tar" else set()
    for length in {*range(1, len(end), max(len(end) // 40, 1)), *blocks, len(end) - 1, len(end)} - {len(whole)}:
        archive = tmp_path / f"cut.{ending}"
        archive.write_bytes(whole[:length])
        with pytest.raises(ConfigError) as caught:
            ConfigLoader(archive, env="prod")["parameters"]
        assert caught.value.file == str(archive)


def test_damaged_members(tmp_path) -> None:
    """Broken compression and a wrong checksum are errors that name the archive."""
    archive = tmp_path / "c.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("base/parameters.yml", "a: 1\n" * 100)
    whole = archive.read_bytes()
    start = whole.index(b"parameters.yml") + len("parameters.yml")
    archive.write_bytes(whole[:start] + b"\xff" * 4 + whole[start + 4 :])
    with pytest.raises(ConfigError, match=r"c\.zip"):
        ConfigLoader(archive)["parameters"]
    (tmp_path / "c.tar.xz").write_bytes(lzma.compress(b"no tar at all" * 100))
    with pytest.raises(ConfigError, match=r"c\.tar\.xz"):
        ConfigLoader(tmp_path / "c.tar.xz")["parameters"]


def test_an_encrypted_archive(tmp_path) -> None:
    """A configuration file behind a password is an error that says so; an encrypted picture beside it harms nobody."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("base/parameters.yml", "a: 1")
    data = bytearray(whole.getvalue())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1  # the bit that marks a member as encrypted
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(ConfigError, match=r"encrypted: base/parameters\.yml needs a password") as caught:
        ConfigLoader(tmp_path / "c.zip")["parameters"]
    assert caught.value.file == f"{tmp_path / 'c.zip'}!/base/parameters.yml"


def test_an_archive_made_on_a_mac_or_on_windows(tmp_path) -> None:
    """What macOS adds about files is left out, and backslashes part folders."""
    archive = tmp_path / "c.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("conf/base/parameters.yml", "a: 1")
        packed.writestr("__MACOSX/conf/base/._parameters.yml", b"\0\1\2")
        packed.writestr("__MACOSX/conf/._base", b"\0\1\2")
    assert ConfigLoader(archive)["parameters"] == {"a": 1}
    info = zipfile.ZipInfo("x")
    info.filename = "conf\\base\\parameters.yml"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(info, "a: 2")
    assert ConfigLoader(archive)["parameters"] == {"a": 2}


def test_file_that_is_no_archive(tmp_path) -> None:
    """A source that is neither folder nor archive is an error with its name."""
    (tmp_path / "conf.txt").write_text("hello")
    with pytest.raises(ConfigError, match="neither a folder nor") as caught:
        ConfigLoader(tmp_path / "conf.txt")["parameters"]
    assert caught.value.file == str(tmp_path / "conf.txt")
    assert isinstance(open_source(tmp_path), FolderSource)
