"""The queue: what may be asked for, what happens, the state that this makes, and the ledger's format."""
