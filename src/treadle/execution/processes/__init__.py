"""Processes and what they share with the operating system: start methods, sockets, the scratch directory, the blackboard, limits.

Owns everything that a pool makes at run time outside of Python. Runs on both sides. Imports `protocol`.
"""
