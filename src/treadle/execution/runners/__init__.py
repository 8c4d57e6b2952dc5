"""The runners: the public way to run a pipeline."""
