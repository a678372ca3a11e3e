"""Counts with their nouns."""


def many(count: int, one: str) -> str:
    """Return a count with its noun: 1 change, 2 changes, 2 processes."""
    return f"{count} {one}" if count == 1 else f"{count} {one}{'es' if one.endswith('s') else 's'}"
