"""Run many coding agents on one Git repository and keep its trunk green."""

__version__ = "0.1.0"
