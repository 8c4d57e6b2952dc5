"""Those who take the events of a run: progress, log lines, and the store of sessions.

Each lives in its own module and imports none of the others; import what you need from there. The package itself
holds nothing, so that a run without a store never pays for one.
"""
