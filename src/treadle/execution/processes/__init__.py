"""Operating system resources of a worker pool: start methods, sockets, the scratch directory, the blackboard, process trees.

Owns the processes, files and sockets that a pool creates at run time. Runs in the parent and in workers. Imports `protocol`.
"""
