"""Where gates and sessions run: local processes below guards, and locks between processes."""
