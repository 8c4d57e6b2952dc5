"""Kedro's defaults will do."""
