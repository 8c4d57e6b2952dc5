"""The types that are sent between processes: messages and handles, and how they are pickled.

Each type has a pickle test. Used by the parent and the workers. Imports nothing of `execution`.
"""
