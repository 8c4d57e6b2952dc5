"""The engine: it runs a plan on workers. A folder may import only the folders below it in this list.

::

    runners      the public runners                                         parent
    loop         the main loop of a run; observers, failures, deadlines     parent
    executors    worker pools and value stores                              parent
    packing      the descriptions of runs and workers, pickled              parent
    worker       set-up of a worker process; it serves jobs                 workers
    attempt      one attempt at one node                                    wherever nodes run
    scheduling   which node runs when and where; the simulator              parent
    values       pickling, transfer and ownership of values                 parent and workers
    processes    start methods, sockets, scratch directory, signals         parent and workers
    protocol     messages and handles                                       parent and workers
"""
