"""What a run and a worker are described by: nodes, recipes, hooks, the spec of a worker process.

Owns pickled nodes, which stay with their pipeline. Runs in the parent. Imports `attempt` and below.
"""
