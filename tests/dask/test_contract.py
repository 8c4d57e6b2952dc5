"""The executor contract (`treadle.testing`) for the dask backend, on a scheduler and workers in processes of their own."""

from __future__ import annotations

import pytest

from treadle.execution.executors.dask.code import pack_code
from treadle.execution.executors.dask.executor import dask_executor
from treadle.execution.packing.project_spec import make_project_spec
from treadle.testing import ExecutorContract


class TestDask(ExecutorContract):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def use_client(cls, client):
        cls.client = client

    def make_executor(self, max_workers):
        project = make_project_spec()
        return dask_executor(self.client, project, pack_code([project.package_name or ""]), max_workers=max_workers)
