"""Observers of a run's events: the progress display, log lines, and the session store.

Each has its own module, to be imported from there. The package itself is empty, so that a run without a store does not
import one.
"""
