"""Settings of the loom project."""

from loom.hooks import Tally
from loom.session import LoomSession

HOOKS = (Tally(),)
SESSION_CLASS = LoomSession
