"""The public runners: each leases an executor and runs one pipeline at a time on it.

Owns the executor while its workers are kept between runs, and the durations of nodes. Runs in the parent. Imports
everything below.
"""
