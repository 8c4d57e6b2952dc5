"""The memory budget, as the parent and the workers see it."""

from __future__ import annotations

import pytest

from treadle.execution.processes.memory import usable_memory
from treadle.execution.values import budget as module
from treadle.execution.values.budget import Budget, default_limit


@pytest.fixture
def sides(tmp_path):
    """The parent's and a worker's view of the same budget: 1,000 bytes, three workers."""
    parent = Budget(str(tmp_path), 3, 1000)
    worker = Budget(str(tmp_path))
    yield parent, worker
    worker.close()
    parent.close()


def test_both_sides_see_the_same_usage(sides):
    """A value counts as soon as a worker created it, and only once after it was reported to the parent."""
    parent, worker = sides
    assert worker.limit == parent.limit == 1000
    worker.add_created(1, 600, 1)
    assert parent.used() == worker.used() == 600
    parent.add_reported(1, 600, 1)
    parent.add(600, 1)
    assert parent.used() == worker.used() == 600
    assert worker.has_room(400)
    assert not worker.has_room(401)
    parent.add(-600, -1)
    assert worker.used() == 0


def test_unreported_values_of_a_lost_worker_no_longer_count(sides):
    """Values that a lost worker created and did not report are no longer counted."""
    parent, worker = sides
    worker.add_created(0, 300, 1)
    worker.add_created(2, 100, 0)
    parent.mark_all_reported(0)
    assert worker.used() == 100
    worker.add_created(2, -100, 0)
    assert parent.used() == 0


def test_memory_files_are_limited(sides):
    """Open memory files of the parent and of the workers count towards one limit."""
    parent, worker = sides
    parent.add(0, module.OPEN_FILES - 1)
    assert not worker.is_short_of_files
    worker.add_created(2, 0, 1)
    assert parent.is_short_of_files
    assert worker.is_short_of_files


def test_the_file_is_private(sides, tmp_path):
    """Only the user can read or write the file."""
    assert (tmp_path / "budget").stat().st_mode & 0o077 == 0


def test_the_default_limit_is_half_of_the_memory():
    """By default, values may take half of the memory that the process may use."""
    assert default_limit() == pytest.approx(usable_memory() / 2)
