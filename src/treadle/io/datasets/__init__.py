"""The file datasets that Treadle brings, one a module."""
