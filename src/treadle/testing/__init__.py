"""Tools for tests of backends and of the loop: the executor contract, a bench without the loop, an executor without workers.

Subclass `ExecutorContract` in a test module and write one method, `make_executor`. Needs pytest and NumPy, and nothing else in
Treadle imports it. State: none. Runs in the parent; the nodes of the contract run in the workers of the executor under test.
"""

import pytest

# Before the modules are imported: a failing assertion of theirs then shows its values.
pytest.register_assert_rewrite(
    "treadle.testing.bench",
    "treadle.testing.contract",
    "treadle.testing.job_contract",
    "treadle.testing.process_contract",
    "treadle.testing.setup_contract",
    "treadle.testing.value_contract",
)

from treadle.testing.bench import Bench  # noqa: E402 - see above
from treadle.testing.contract import ExecutorContract  # noqa: E402
from treadle.testing.needs import needs  # noqa: E402
from treadle.testing.scripted import ScriptedPool, scripted_executor  # noqa: E402

__all__ = ["Bench", "ExecutorContract", "ScriptedPool", "needs", "scripted_executor"]
