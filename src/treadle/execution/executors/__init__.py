"""Where jobs run: worker pools with their value stores, joined by the executor.

Owns workers and the handles of values. Runs in the parent; the loop talks to `executor.py`. Imports `packing` and below;
`protocol.py` is what a new backend implements.
"""
