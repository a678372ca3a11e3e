"""A merge queue in simulated time: what a strategy would do on a given traffic."""
