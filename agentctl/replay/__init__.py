"""Replaying a repository's history as tasks for scripted agents."""
