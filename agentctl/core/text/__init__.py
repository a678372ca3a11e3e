"""Text that comes from outside or goes there: YAML, JSON, globs, units, keys, what a terminal may print."""
