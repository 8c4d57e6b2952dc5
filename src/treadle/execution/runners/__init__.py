"""The public runners: each leases an executor and runs one pipeline at a time on it.

Owns the executor, while it is warm, and what nodes took in earlier runs. Runs in the parent. Imports everything below.
"""
