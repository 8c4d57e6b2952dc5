"""The record of a session in formats of other tools: Perfetto, OpenTelemetry, OpenLineage, and plain JSON. State: none."""
