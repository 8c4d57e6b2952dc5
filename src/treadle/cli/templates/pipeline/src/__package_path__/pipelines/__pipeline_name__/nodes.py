"""The functions of the pipeline `__pipeline_name__`: plain functions that do not access files."""
