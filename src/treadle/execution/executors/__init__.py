"""Where jobs run: worker pools and value stores, combined by the executor.

Owns the workers and the handles of values. Runs in the parent; the loop uses `executor.py`. Imports `packing` and below;
`protocol.py` has the protocols that a new backend implements.
"""
