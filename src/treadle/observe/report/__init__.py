"""The report of a run: what its record says about where the time went, and one self-contained HTML page that shows it."""
