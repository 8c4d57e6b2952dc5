"""CSV files: chunks that are loaded and saved, compression, and arguments for opening."""

from __future__ import annotations

import gc
import gzip
import importlib.util
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from treadle import Catalog
from treadle.errors import DatasetError
from treadle.io.datasets.pandas_csv import CSVDataset
from treadle.io.datasets.partitioned import PartitionedDataset

FRAME = pd.DataFrame({"number": range(7), "text": list("äbcdefg")})
SUFFIXES = {
    ".csv": None,
    ".csv.gz": "gzip",
    ".csv.bz2": "bz2",
    ".csv.zip": "zip",
    ".csv.xz": "xz",
    ".csv.tar": "tar",
    ".csv.tar.gz": "tar",
    ".csv.tar.bz2": "tar",
    ".csv.tar.xz": "tar",
    ".CSV.GZ": "gzip",
    **({".csv.zst": "zstd"} if importlib.util.find_spec("zstandard") else {}),
}


def open_files(path):
    """Return whether this process has a file open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return str(path) in links


@pytest.fixture
def csv(tmp_path):
    """Make a dataset of a file, `x.csv` unless another name is given."""

    def make(name="x.csv", **arguments):
        return CSVDataset(tmp_path / name, **arguments)

    return make


# --- chunks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zip", "x.csv.tar.gz"])
def test_chunks_are_read_lazily(csv, tmp_path, name):
    """The reader has the file open until it is exhausted."""
    csv(name).save(FRAME)
    reader = csv(name, load_args={"chunksize": 3}).load()
    assert [len(chunk) for chunk in reader] == [3, 3, 1]
    assert not open_files(tmp_path / name)
    pd.testing.assert_frame_equal(pd.concat(csv(name, load_args={"chunksize": 3}).load()), FRAME)


def test_an_iterator_reads_as_much_as_it_is_asked_for(csv):
    """`iterator: true` gives a reader too."""
    csv().save(FRAME)
    with csv(load_args={"iterator": True}).load() as reader:
        assert reader.get_chunk(2)["number"].tolist() == [0, 1]
        assert reader.get_chunk(5)["number"].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_is_not_exhausted_closes_its_file(csv, tmp_path, read):
    """The file is closed when nothing refers to the reader, at once and without a warning."""
    csv().save(FRAME)
    reader = csv(load_args={"chunksize": 3}).load()
    for _ in range(read):
        next(reader)
    assert open_files(tmp_path / "x.csv")
    del reader
    assert not open_files(tmp_path / "x.csv")
    gc.collect()


def test_closing_a_reader_closes_its_file(csv, tmp_path):
    """So does the end of a `with` over it, and closing twice is no error."""
    csv().save(FRAME)
    with csv(load_args={"chunksize": 3}).load() as reader:
        next(reader)
        assert open_files(tmp_path / "x.csv")
    assert not open_files(tmp_path / "x.csv")
    reader.close()


def test_a_file_that_cannot_be_parsed_is_closed(csv, tmp_path):
    """An error before there is a reader leaves no file open."""
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(pd.errors.EmptyDataError):
        csv(load_args={"chunksize": 3}).load()
    assert not open_files(tmp_path / "x.csv")


def test_chunks_of_a_partition_and_of_a_remote_file(tmp_path):
    """Each load of a partition is a reader, and so is that of a file that fsspec reaches."""
    parts = PartitionedDataset(tmp_path, {"type": CSVDataset, "load_args": {"chunksize": 4}}, filename_suffix=".csv")
    parts.save({"a": FRAME, "b": FRAME})
    assert [[len(chunk) for chunk in load()] for load in parts.load().values()] == [[4, 3], [4, 3]]
    remote = CSVDataset("memory://chunks/x.csv", load_args={"chunksize": 4})
    remote.save(FRAME)
    assert [len(chunk) for chunk in remote.load()] == [4, 3]


# --- appending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.bz2", "x.csv.xz"])
@pytest.mark.parametrize("arguments", [{"save_args": {"mode": "a"}}, {"fs_args": {"open_args_save": {"mode": "a"}}}])
def test_frames_are_appended(csv, name, arguments):
    """With one header, in the first part, whether the parts come one by one or together."""
    dataset = csv(name, **arguments)
    dataset.save(FRAME)
    with dataset.appending() as save:
        save(FRAME)
        save(FRAME)
    pd.testing.assert_frame_equal(dataset.load(), pd.concat([FRAME] * 3, ignore_index=True))


def test_remote_files_are_appended_to():
    """What the file has already comes first."""
    dataset = CSVDataset("memory://appended/x.csv", save_args={"mode": "a"})
    dataset.save(FRAME)
    dataset.save(FRAME)
    assert dataset.load()["number"].tolist() == [*range(7)] * 2


def test_what_is_appended_appears_whole(csv, tmp_path):
    """A failure leaves the file as it was, whatever was appended before, and no temporary file."""
    dataset = csv(save_args={"mode": "a"})
    dataset.save(FRAME)
    with pytest.raises(RuntimeError), dataset.appending() as save:  # noqa: PT012 - the block is what fails
        save(FRAME)
        raise RuntimeError
    pd.testing.assert_frame_equal(dataset.load(), FRAME)
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


def test_a_header_that_is_given_is_written_once(csv):
    """Names of one's own stand in the first line, and `header: false` leaves it out."""
    dataset = csv(save_args={"mode": "a", "header": ["n", "t"]})
    dataset.save(FRAME)
    dataset.save(FRAME)
    assert dataset.load().columns.tolist() == ["n", "t"]
    assert len(dataset.load()) == 14
    bare = csv("bare.csv", save_args={"mode": "a", "header": False})
    bare.save(FRAME)
    assert Path(bare.filepath).read_text("utf-8").startswith("0,ä")


@pytest.mark.parametrize("name", ["x.csv.zip", "x.csv.tar.gz", "x.csv.zst"])
def test_archives_are_not_appended_to(csv, name):
    """What would be read in part only is refused when the dataset is made."""
    with pytest.raises(DatasetError, match="cannot be appended to"):
        csv(name, save_args={"mode": "a"})


# --- compression ---------------------------------------------------------------------------------------------------------


def _ways(suffix, method):
    """Return how a compression can be asked for: by the suffix, by `infer`, by its name, by a mapping."""
    by_name = [method, {"method": method}] if method else []
    return [None, "infer", {"method": "infer"}, *by_name] if suffix.count(".") < 3 else [None, "infer", {"method": "infer"}]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_files_are_those_of_pandas(csv, tmp_path, suffix):
    """What Treadle writes pandas reads, and the other way round, however the compression is asked for."""
    for number, way in enumerate(_ways(suffix, SUFFIXES[suffix])):
        arguments = {} if way is None else {"compression": way}
        ours, theirs = tmp_path / f"ours{number}{suffix}", tmp_path / f"theirs{number}{suffix}"
        csv(ours.name, save_args=arguments).save(FRAME)
        pd.testing.assert_frame_equal(pd.read_csv(ours, **arguments), FRAME)
        FRAME.to_csv(theirs, index=False, **arguments)
        pd.testing.assert_frame_equal(csv(theirs.name, load_args=arguments).load(), FRAME)
        pd.testing.assert_frame_equal(csv(ours.name, load_args=arguments).load(), FRAME)


@pytest.mark.parametrize("method", sorted({method for method in SUFFIXES.values() if method}))
def test_a_compression_that_the_name_does_not_say(csv, tmp_path, method):
    """The argument wins over the suffix, for both."""
    csv("x.dat", save_args={"compression": method}).save(FRAME)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "x.dat", compression=method), FRAME)
    FRAME.to_csv(tmp_path / "y.dat", index=False, compression=method)
    pd.testing.assert_frame_equal(csv("y.dat", load_args={"compression": {"method": method}}).load(), FRAME)
    opening = {"open_args_load": {"compression": method}, "open_args_save": {"compression": method}}
    csv("z.dat", fs_args=opening).save(FRAME)
    pd.testing.assert_frame_equal(csv("z.dat", fs_args=opening).load(), FRAME)


def test_no_compression_under_a_compressed_name(csv, tmp_path):
    """`compression: null` means none."""
    csv("x.csv.gz", save_args={"compression": None}).save(FRAME)
    assert (tmp_path / "x.csv.gz").read_bytes().startswith(b"number,text")
    pd.testing.assert_frame_equal(csv("x.csv.gz", load_args={"compression": None}).load(), FRAME)


def test_names_within_archives(csv, tmp_path):
    """The file in an archive has the name of the archive without its suffix, never that of a temporary file."""
    csv("t.csv.zip").save(FRAME)
    assert zipfile.ZipFile(tmp_path / "t.csv.zip").namelist() == ["t.csv"]
    for name in ("t.csv.tar", "t.csv.tar.gz", "t.csv.tar.bz2"):
        csv(name).save(FRAME)
        with tarfile.open(tmp_path / name) as archive:
            assert archive.getnames() == ["t.csv"]
    csv("own.zip", save_args={"compression": {"method": "zip", "archive_name": "data.csv"}}).save(FRAME)
    assert zipfile.ZipFile(tmp_path / "own.zip").namelist() == ["data.csv"]


def test_a_fixed_time_makes_equal_files(csv, tmp_path):
    """With `mtime` a second save writes the same bytes, those of pandas."""
    dataset = csv("x.csv.gz", save_args={"compression": {"method": "gzip", "mtime": 1}})
    dataset.save(FRAME)
    first = (tmp_path / "x.csv.gz").read_bytes()
    dataset.save(FRAME)
    assert (tmp_path / "x.csv.gz").read_bytes() == first
    FRAME.to_csv(tmp_path / "x.csv.gz", index=False, compression={"method": "gzip", "mtime": 1})
    assert (tmp_path / "x.csv.gz").read_bytes() == first
    assert gzip.decompress(first).decode().startswith("number")


# --- arguments for opening -----------------------------------------------------------------------------------------------


def test_the_encoding_of_open_arguments_is_used(csv, tmp_path):
    """The arguments go to pandas, which encodes and decodes the file."""
    opening = {"open_args_save": {"encoding": "utf-8-sig"}, "open_args_load": {"encoding": "utf-8-sig"}}
    dataset = csv(fs_args=opening)
    dataset.save(FRAME)
    assert (tmp_path / "x.csv").read_bytes().startswith(b"\xef\xbb\xbfnumber")
    pd.testing.assert_frame_equal(dataset.load(), FRAME)
    latin = csv("latin.csv", fs_args={"open_args_save": {"encoding": "latin-1", "newline": ""}})
    latin.save(FRAME)
    assert "ä".encode("latin-1") in (tmp_path / "latin.csv").read_bytes()
    replaced = csv("latin.csv", fs_args={"open_args_load": {"errors": "replace"}}).load()
    assert replaced["text"][0] == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fs_args": {"open_args_save": {"newline": "\r\n"}}}, "lineterminator"),
        ({"fs_args": {"open_args_load": {"encodin": "x"}}}, "'encodin'"),
        ({"fs_args": {"open_args_load": {"mode": "a"}}}, "mode 'a'"),
        ({"fs_args": {"open_args_save": {"mode": "r"}}}, "mode 'r'"),
        ({"save_args": {"mode": "q"}}, "mode 'q'"),
        ({"fs_args": {"anon": True}}, "anon"),
        ({"fs_args": {"auto_mkdir": False}}, "auto_mkdir"),
    ],
)
def test_arguments_without_an_effect_are_refused(tmp_path, arguments, words):
    """When the dataset is made; none is ignored."""
    entry = {"type": "pandas.CSVDataset", "filepath": str(tmp_path / "x.csv"), **arguments}
    with pytest.raises(DatasetError, match=words):
        Catalog.from_config({"x": entry})["x"]
