"""The life of a worker process: set up once, then serve the parent's jobs until it ends.

Owns what the process has of each run, its streams and its logging. Runs in workers. Imports `attempt` and below; nothing of
the parent.
"""
