"""What the pipeline `__pipeline_name__` does: plain functions, which know nothing of files or of each other."""
