"""The public runners: each opens an executor and runs one pipeline at a time on it.

Owns the executor, whose workers may be kept between runs, and the durations of nodes. Runs in the parent. Imports all other
folders of `execution`.
"""
