"""The executor contract: tests of the behaviour that the loop relies on, in a pytest class that a backend's tests subclass.

::

    class TestMyBackend(ExecutorContract):
        def make_executor(self, max_workers):
            return my_executor(max_workers)

The tests are in four modules: `job_contract.py`, `value_contract.py`, `process_contract.py` and `setup_contract.py`. State: one
executor for each test class. Tests that do not damage the executor share it; it is closed after the last test.
"""

from __future__ import annotations

from treadle.testing.job_contract import JobContract
from treadle.testing.process_contract import ProcessContract
from treadle.testing.setup_contract import SetupContract
from treadle.testing.value_contract import ValueContract


class ExecutorContract(JobContract, ValueContract, ProcessContract, SetupContract):
    """All tests of the contract. A subclass defines `make_executor`.

    A test that needs a capability which the pool does not declare is skipped, and the reason names the capability.
    """
