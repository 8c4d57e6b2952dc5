"""A worker process: set up once, then serve the parent's jobs until the parent stops it.

State: the runs that are open in the process, its streams and its logging. Runs in workers. Imports `attempt` and the folders
below it, and no module that runs only in the parent.
"""
