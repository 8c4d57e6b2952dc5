"""Values between nodes: pickling, transfer between processes, copying only where necessary, the memory budget.

Owns the values of one process in one run. Used by the parent and the workers. Imports `processes` and `protocol`.
"""
