"""Values between nodes: pickling, transfer between processes, ownership (when a copy can be saved), the memory budget.

Owns the values of one process in one run. Runs on both sides. Imports `processes` and `protocol`.
"""
