"""The supervisor: agents, sessions, worktrees, salvage."""
