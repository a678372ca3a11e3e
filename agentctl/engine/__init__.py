"""Where gates and sessions run: local processes."""
