"""Run Domo connectors from a notebook."""
