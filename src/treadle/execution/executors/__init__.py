"""Run jobs on workers: worker pools and value stores, combined by the executor.

Owns the workers and the handles of values. Runs in the parent; the loop uses `executor.py`. `protocol.py` has the protocols that
a new backend implements. Imports `packing` and the folders below it.
"""
