"""The backend of worker processes, each of which is a loky executor with one worker.

Owns the processes, their connections and the parent's memory files. Runs in the parent. Imports `worker` only for the functions
that a new process runs.
"""
