"""What property tests go by: the same examples in each run of CI, so that the change under test decides it, and not luck.

The long form of the chaos tests searches at random. How long one example takes on a busy machine is no fault of the code.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "patient",
    deadline=None,
    derandomize="TREADLE_CHAOS_ROUNDS" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")
