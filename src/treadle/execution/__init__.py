"""The engine: it runs a plan on workers. Each folder is a floor; imports go down only.

::

    runners      the public way to run
    loop         scheduler and executor joined, observers, failures, deadlines
    executors    pools of workers and stores of values
    packing      what a run and a worker are described by
    worker       the life of a worker process                       (in workers)
    attempt      one attempt at one node                            (where nodes run)
    scheduling   pure decisions
    values       values between nodes                               (both sides)
    processes    processes and what they share with the system      (both sides)
    protocol     what crosses a process                             (both sides)
"""
