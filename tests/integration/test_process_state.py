"""What a worker has like the process that started it: the same under every start method, and in workers that were warm before."""

from __future__ import annotations

import sys

import pytest

START_METHODS = ("fork", "spawn", "forkserver", "loky")

SCRIPT = """
import decimal, json, locale, logging, multiprocessing, os, resource, signal, socket, sys, time, warnings
import numpy as np
from treadle import Catalog, ParallelRunner, Pipeline, SequentialRunner, node

print("begun")

def probe():
    mask = os.umask(0)
    os.umask(mask)
    return {
        "umask": mask,
        "cwd": os.getcwd(),
        "environment": {name: os.environ.get(name) for name in ("ADDED", "TZ", "REMOVED")},
        "zone": time.tzname,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "affinity": sorted(os.sched_getaffinity(0)),
        "limits": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_STACK)],
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "digits": getattr(sys, "get_int_max_str_digits", int)(),
        "timeout": socket.getdefaulttimeout(),
        "method": multiprocessing.get_start_method(),
        "level": logging.getLevelName(17),
        "numpy": np.geterr(),
        "decimal": [decimal.getcontext().prec, decimal.getcontext().rounding, decimal.getcontext().traps[decimal.Inexact]],
        "warnings": _warned(),
    }

class OwnWarning(UserWarning):
    pass

def _warned():
    found = []
    for category, text in ((UserWarning, "plain"), (UserWarning, "raise this"), (OwnWarning, "mine"), (ResourceWarning, "r")):
        try:
            with warnings.catch_warnings(record=True) as seen:
                warnings.warn(text, category)
            found.append(len(seen))
        except Warning as raised:
            found.append(type(raised).__name__)
    return found

def change(number):
    os.umask(0o027 if number else 0o002)
    os.chdir(sys.argv[number + 2])
    os.environ["ADDED"] = f"value {number}"
    os.environ.pop("REMOVED", None)
    os.environ["TZ"] = ("Asia/Tokyo", "America/New_York")[number]
    time.tzset()
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (300 + number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    locale.setlocale(locale.LC_ALL, ("C.UTF-8", "C")[number])
    sys.setrecursionlimit(2000 + number)
    sys.setswitchinterval(0.01 * (number + 1))
    getattr(sys, "set_int_max_str_digits", int)(5000 + number)
    socket.setdefaulttimeout(30 + number)
    logging.addLevelName(17, f"NOTE{number}")
    np.seterr(divide=("raise", "ignore")[number])
    decimal.getcontext().prec = 50 + number
    decimal.getcontext().rounding = decimal.ROUND_UP
    decimal.getcontext().traps[decimal.Inexact] = not number
    warnings.filterwarnings(("error", "ignore")[number], "raise this")
    warnings.filterwarnings("ignore", category=OwnWarning)

def run(runner):
    return runner.run(Pipeline([node(probe, None, "state")]), Catalog())["state"]

os.environ["REMOVED"] = "before"
with ParallelRunner(1, start_method=sys.argv[1]) as runner:
    first = run(runner)
    assert first == run(SequentialRunner()), (first, run(SequentialRunner()))
    for number in (0, 1):
        change(number)
        expected, seen = run(SequentialRunner()), run(runner)
        print("differs", {name: (seen[name], expected[name]) for name in expected if seen[name] != expected[name]})
    np.seterr(all="warn", under="ignore")
    decimal.setcontext(decimal.Context())
    print("as before", run(runner) == run(SequentialRunner()))
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_the_state_of_the_process(launch, tmp_path, method):
    """umask, limits, locale, filters of warnings and the rest are those of the main process when the run begins."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a_script.py").write_text(SCRIPT)
    launched = launch([sys.executable, "a_script.py", method, str(tmp_path / "a"), str(tmp_path / "b")], tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output.splitlines() == ["begun", "differs {}", "differs {}", "as before True"]


FLAGS = """
import sys
from treadle import Catalog, ParallelRunner, Pipeline, node

def probe():
    return tuple(sys.flags), dict(sys._xoptions), list(sys.warnoptions)

result = ParallelRunner(1, start_method=sys.argv[1]).run(Pipeline([node(probe, None, "flags")]), Catalog())["flags"]
print(result == probe(), result, probe())
"""


@pytest.mark.parametrize("method", START_METHODS)
def test_the_flags_of_the_interpreter(launch, tmp_path, method):
    """-W, -X, -bb, -O, -B and -s reach the workers under every start method."""
    (tmp_path / "a_script.py").write_text(FLAGS)
    flags = ["-W", "error::UserWarning", "-X", "dev", "-bb", "-O", "-B", "-s"]
    launched = launch([sys.executable, *flags, "a_script.py", method], tmp_path)
    assert launched.wait() == 0, launched.output
    assert launched.output.startswith("True"), launched.output
