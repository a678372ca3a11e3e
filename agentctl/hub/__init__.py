"""What stands in the hub's refs: the ledger, the inbox and its answers, verdicts, tasks; and what can be said from them alone."""
