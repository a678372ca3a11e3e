"""Running the gates: slots, one run of the policy's gates in a slot, and the pool of runs."""
