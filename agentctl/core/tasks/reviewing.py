"""The tasks of reviewers: each judges one revision of a change that lacks an approval of their role."""

from __future__ import annotations

from agentctl.core import refnames
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.records import Queued
from agentctl.core.queue.request import PRIORITY
from agentctl.core.tasks.task import Task
from agentctl.core.text.printable import printable

MOST = 5
"""The most tasks that are opened to review one revision: each ends with a judgement, or is tried as often as any other."""
NAMED = 20
"""The most paths that a task names."""

PROMPT = """\
Judge the change {change} of {agent}: {subject}

See it: `git diff {base} {head}`, `git log {base}..{head}`, `agentctl why {change}`. The policy asks for your approval
because it touches:

{paths}
{task}"""


def name_of(key: str, number: int) -> str:
    """Return the id of the n-th task that reviews a revision, such as fix/1."""
    return refnames.distinct(f"review-{key.replace('/', '-')}" + (f"-{number}" if number > 1 else ""))


def is_review(task: Task) -> bool:
    return task.id.startswith("review-") and bool(task.avoid)


def task_for(record: Queued, lack: Lack, number: int, about: Task | None, now: float) -> Task:
    """Return the task to review a queued change; `about` is the task that the change is for, if it is known."""
    change = record.change
    paths = "\n".join(f"- {printable(path)}" for path in lack.paths[:NAMED])
    asked = f"\nWhat was asked for:\n\n> {about.title}\n>\n" + _quoted(about.prompt, about.acceptance) if about else ""
    return Task(
        name_of(record.key, number),
        f"Review {record.key}: {printable(record.work.subject)}"[:100],
        PROMPT.format(
            change=change.id,
            agent=change.agent,
            subject=printable(record.work.subject),
            base=record.base,
            head=change.head,
            paths=paths,
            task=asked,
        ),
        # Work that waits for a review holds up whatever comes after it.
        priority=min(PRIORITY, change.priority + 1),
        created=now,
        role=lack.rule.by,
        avoid=(change.agent,),
    )


def _quoted(*texts: str) -> str:
    lines = [line for text in texts if text.strip() for line in (*text.strip().splitlines(), "")]
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)
