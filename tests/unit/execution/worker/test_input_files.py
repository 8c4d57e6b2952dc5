"""The memory files that a worker received."""

from __future__ import annotations

import os

import pytest

from treadle.execution.protocol.handles import Inline, Segment
from treadle.execution.protocol.messages import Job
from treadle.execution.worker.input_files import InputFiles


@pytest.fixture
def descriptors():
    """Make descriptors of memory files."""
    made = []

    def make(count):
        made.extend(os.memfd_create("test") for _ in range(count))
        return made[-count:]

    return make


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def job(run, *datasets):
    """Make a job with memory files for some datasets, a scratch file and a small value."""
    inputs = [(dataset, Segment(8, ((0, 8),))) for dataset in datasets]
    return Job(run, (), ((90, Inline(b"")), *inputs, (91, Segment(8, ((0, 8),), "/scratch/value"))))


def test_files_stay_until_they_are_closed(descriptors):
    """The files of a job are kept for all later jobs of its run, and for no other run."""
    files = InputFiles()
    first, second = descriptors(2)
    files.accept(job(1, 5, 6), [first, second])
    assert {dataset: file.fd for dataset, file in files.of(1).items()} == {5: first, 6: second}
    files.accept(job(2), [])
    assert dict(files.of(2)) == {}
    files.close(1, 5)
    files.close(1, 5)
    assert not is_open(first)
    files.close_all(1)
    files.close_all(3)
    assert not is_open(second)
    assert dict(files.of(1)) == {}


def test_a_newer_file_replaces_the_earlier_one(descriptors):
    """A value that was made again has another file; the earlier one is closed."""
    files = InputFiles()
    seen = files.of(1)
    old, new = descriptors(2)
    files.accept(job(1, 5), [old])
    files.accept(job(1, 5), [new])
    assert not is_open(old)
    assert seen[5].fd == new
    files.close_all(1)
