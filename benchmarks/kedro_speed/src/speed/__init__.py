"""A Kedro project whose nodes take a known time."""
