"""The operator's command: `quarantine`."""
