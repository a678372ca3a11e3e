"""The queue: what may be asked for, what happens, and the state and ledger that this makes."""
