"""Decide which nodes are up to date, so that their outputs from an earlier run can be used.

Runs in the parent, and is pure: the session collects the facts (code, params, catalog entries, contents of files, earlier
successes), this package compares them. May import what is below `planning`.
"""
