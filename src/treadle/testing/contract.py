"""The executor contract: what the loop relies on, as a pytest class that the tests of a backend subclass.

::

    class TestMyBackend(ExecutorContract):
        def make_executor(self, max_workers):
            return my_executor(max_workers)

The tests are in four parts: `job_contract.py`, `value_contract.py`, `process_contract.py` and `setup_contract.py`. State: one
executor a class, which all tests share that leave it whole; it is closed after the last of them.
"""

from __future__ import annotations

from treadle.testing.job_contract import JobContract
from treadle.testing.process_contract import ProcessContract
from treadle.testing.setup_contract import SetupContract
from treadle.testing.value_contract import ValueContract


class ExecutorContract(JobContract, ValueContract, ProcessContract, SetupContract):
    """Every test of the contract. A subclass writes `make_executor`.

    A test that needs a capability which the pool does not declare is skipped, and its reason names the capability.
    """
