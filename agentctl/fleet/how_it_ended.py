"""How an agent's command ended, in words."""

from __future__ import annotations

from agentctl.core.tasks import last_words
from agentctl.engine.runner import JobEnded


def how(ended: JobEnded, said: str) -> str:
    """Describe how a command ended, with the last words of its program."""
    if ended.reason != "exited":
        how = ended.message or ended.reason
    elif ended.signal is not None:
        how = f"killed by signal {ended.signal}"
    else:
        how = "" if ended.exit == 0 else f"exit status {ended.exit}"
    how += f": {ended.message}" if ended.message and ended.reason == "exited" else ""
    left = (
        "a process it left behind was killed"
        if ended.survivors == 1
        else f"{ended.survivors} processes it left behind were killed"
        if ended.survivors
        else ""
    )
    return "; ".join(part for part in (quoting(how, said), left) if part)


def quoting(how: str, said: str) -> str:
    """Return `how`, with the last words of the program if both say something."""
    quoted = last_words.quote(said)
    return f"{how}: {quoted}" if how and quoted else how
