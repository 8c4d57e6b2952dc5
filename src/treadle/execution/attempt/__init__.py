"""One attempt at one node: load the inputs, call the function and the hooks, save the outputs, record a failure.

State: that of each attempt, and the plugins that the process has started. Runs wherever nodes run: in workers, in threads and in
the main process. Imports `values` and the folders below it, never the scheduler.
"""
