"""Make the descriptions of runs and workers: pickled nodes, recipes, hooks, the spec of a worker process.

Owns pickled nodes, cached for each pipeline. Runs in the parent. Imports `worker` and the folders below it.
"""
