"""Run `treadle` in the current folder and raise a signal at given calls of the session.

Usage: interrupt_at.py FIRST SECOND KIND REPORT WORDS…

FIRST and SECOND are numbers of the events, counted from the creation of the session, at which Ctrl-C is pressed; 0 for never.
KIND says which events count: `call` for each call of a Python function, `import` for each module whose import begins. REPORT is a
file that gets the number of events.
"""

import signal
import sys
from pathlib import Path

from treadle.cli.main import main


class Interrupter:
    """Count the events of one kind in the main thread, and raise the signal at one of them.

    Python removes a profile or trace function out of which an exception comes, so one interrupter raises once.
    """

    def __init__(self, at, kind):
        self.at = at
        self.only_imports = kind == "import"
        self.count = 0
        self.has_begun = False

    def __call__(self, frame, event, _argument):
        if event != "call":
            return
        name = frame.f_code.co_name
        self.has_begun = self.has_begun or (name == "create" and frame.f_globals["__name__"] == "treadle.session.session")
        if not self.has_begun or (self.only_imports and name != "<module>"):
            return
        self.count += 1
        if self.count == self.at:
            signal.raise_signal(signal.SIGINT)


first, second = (Interrupter(int(at), sys.argv[3]) for at in sys.argv[1:3])
sys.setprofile(first)
sys.settrace(second if second.at else None)  # it is slow
try:
    code = main(sys.argv[5:])
finally:
    sys.setprofile(None)
    sys.settrace(None)
    Path(sys.argv[4]).write_text(str(max(first.count, second.count)))
sys.exit(code)
