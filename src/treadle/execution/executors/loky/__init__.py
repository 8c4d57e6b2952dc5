"""The backend of worker processes on this machine, started by multiprocessing or by loky.

Owns the processes, their connections and the parent's memory files. Runs in the parent. Imports `worker` only for the functions
that a new process runs.
"""
