"""What crosses a process: messages, handles, and how they are pickled.

Owns the types; each has a pickle test. Runs on both sides. Imports nothing of `execution`.
"""
