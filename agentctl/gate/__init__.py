"""Running the gates: slots, one run of the policy's steps in a slot, and the pool of runs."""
