"""Descriptors that are kept free for the end of a run."""

from __future__ import annotations

import os
from pathlib import Path

from treadle.execution.processes.spare_descriptors import spare_descriptors


def test_descriptors_that_a_node_has_closed(tmp_path):
    """They are not closed again, not even if another file has the number of one."""
    spares = spare_descriptors()
    before = set(Path("/dev/fd").iterdir())
    with spares:
        first, second, *others = spares._held
        os.close(first)
        os.close(second)
        file = os.open(tmp_path, os.O_RDONLY)
        assert file == first
    assert os.fstat(file)
    os.close(file)
    assert others
    assert set(Path("/dev/fd").iterdir()) == before
