"""The backend of dask.distributed: each dask worker process is a worker, and values move from worker to worker.

`pool.py`, `links.py`, `link.py` and `store.py` are the driver's side, `host.py`, `hosted_pool.py` and `hosted_run.py` the
worker's; `messages.py` has what crosses between them beside the messages of every backend. Owns the tasks on the cluster and the
connections to its workers. Imports `packing` and the folders below it.
"""
