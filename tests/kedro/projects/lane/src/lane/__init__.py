"""A Kedro project with a catalog class of its own, and nodes that fail in every way."""
