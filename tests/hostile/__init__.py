"""Hostile and clumsy set-ups: what plain Git does in each, and that agentctl executes, loses and lands nothing there."""
