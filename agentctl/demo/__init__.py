"""What `agentctl demo` runs: a small project, its tasks, and agents that get things wrong on purpose."""
