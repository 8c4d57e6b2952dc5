"""Decide which node runs when and on which worker; simulate these decisions on a virtual clock.

Owns the state of a run's nodes and values. Runs in the parent. Imports the plan and `protocol`, and uses no clock, process,
thread or file.
"""
