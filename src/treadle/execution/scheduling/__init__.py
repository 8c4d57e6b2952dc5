"""What runs where and when: pure decisions, and the simulator that puts them to a virtual clock.

Owns the state of nodes and values of a run. Runs in the parent. Imports the plan and `protocol`; no clock, process, thread or
file.
"""
