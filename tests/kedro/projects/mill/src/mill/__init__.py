"""A Kedro project with one of everything."""
