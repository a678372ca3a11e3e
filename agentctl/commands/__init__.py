"""One file per command: parse, call, print, return the exit status."""
