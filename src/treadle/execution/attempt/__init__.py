"""One attempt at one node: load, hooks, call, save, and the record of a failure.

Owns the state of an attempt, and of the plugins of a process. Runs wherever nodes run: workers, threads, the main process.
Imports `values` and below, never the scheduler.
"""
