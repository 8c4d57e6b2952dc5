"""The loop of a run: it carries out the scheduler's instructions, applies events, and handles failures and deadlines.

Owns the errors, deadlines and observers of one run, and its result. Runs in the parent. Imports `executors` and `scheduling`.
"""
