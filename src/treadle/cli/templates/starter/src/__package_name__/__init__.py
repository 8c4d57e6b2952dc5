"""__project_name__."""
