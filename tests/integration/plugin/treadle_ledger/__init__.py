"""A plugin that keeps a ledger of runs."""
