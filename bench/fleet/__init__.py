"""A fleet of scripted agents on a hub made for it, with faults planted by a seeded table: see `python -m bench.fleet -h`."""
