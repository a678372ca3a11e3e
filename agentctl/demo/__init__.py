"""What `agentctl demo` runs: a small project, its tasks, and agents that make mistakes on purpose."""
