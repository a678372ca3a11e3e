"""The only door to Git: processes, refs, objects, merges, worktrees."""
