"""Whether a session takes up the conversation of the one before it, or begins afresh."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE
from agentctl.core.tasks.task import Session

_NAME = re.compile(r"[A-Za-z0-9][\w.:-]{0,99}")


def taken_up(sessions: Sequence[Session], agent: str, when: str) -> str:
    """Return the name of the conversation to take up; empty to begin afresh.

    `when` is what the policy says: never, repair or cut. Programs keep conversations by the folder that they ran in, which
    is the agent's own. What was ended because it was stuck, or because it had used up its budget, is stale: it begins afresh.
    """
    last = sessions[-1] if sessions else None
    if last is None or last.agent != agent or not _NAME.fullmatch(last.conversation):
        return ""
    rejected = last.end == End.SUBMITTED
    fault = last.failure and NATURE[last.failure.kind]
    cut = last.end == End.INTERRUPTED or bool(last.end == End.CRASHED and fault and fault.fleet)
    return last.conversation if (rejected and when in ("repair", "cut")) or (cut and when == "cut") else ""
