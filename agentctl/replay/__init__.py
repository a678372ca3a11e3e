"""The replay of a repository's history as tasks for scripted agents."""
