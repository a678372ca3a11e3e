"""The only way to Git: processes, refs, objects, merges, worktrees."""
