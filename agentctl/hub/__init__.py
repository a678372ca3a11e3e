"""What the hub's refs hold (ledger, inbox, outbox, verdicts, tasks), and what can be said from them alone."""
