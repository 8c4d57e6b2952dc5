"""The pipelines of the project: a folder each, with the functions in nodes.py and the wiring in pipeline.py."""
