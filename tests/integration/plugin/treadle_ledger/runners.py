"""A runner that uses half of the cores: `treadle run --runner half`."""

import os

from treadle import ParallelRunner


class HalfRunner(ParallelRunner):
    """Run nodes in worker processes, on half of the cores."""

    name = "half"

    def __init__(self, start_method=None):
        super().__init__(max(1, (os.cpu_count() or 1) // 2), start_method)
