"""Worker processes, one loky executor each.

Owns the processes, their connections and the parent's memory files. Runs in the parent. Imports `worker` only to say what a
new process runs.
"""
