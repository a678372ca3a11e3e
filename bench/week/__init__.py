"""A week of a large fleet on a virtual clock, decided by the functions that ship: see `python -m bench.week -h`."""
