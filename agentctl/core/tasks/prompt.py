"""The prompt of a session, built anew from facts each time."""

from __future__ import annotations

from agentctl.core.queue.answer import Facts
from agentctl.core.tasks.task import Task

LOG_LINES = 80

RULES = """\
## How to hand in

- You work in a Git worktree of your own, on a fresh copy of trunk. Change files only here.
- Commit your work on the branch you find yourself on. Your session is over when you exit;
  new commits are the result, whatever you print. Commit all of it: edits that you leave
  uncommitted beside them are not handed in.
- If nothing is left to do, say so by an empty commit: `git commit --allow-empty -m REASON`.
- Do not push, and do not touch other branches, other worktrees or refs/agentctl/.
- A merge queue tests your commits together with those of others and lands them if they pass.
- If trunk is not ready for this task yet, exit with status 75: you will be called again
  when trunk has moved.
"""


def render(
    task: Task, attempts: int, answer: Facts | None, log: str = "", conflict: str = "", previous: str = "", salvage: str = ""
) -> str:
    """Return the prompt as Markdown.

    `answer` is what was said of the last rejection of this task's change, `previous` the head that was rejected, and
    `salvage` a ref with unfinished work.
    """
    parts = [f"# {task.title}", task.prompt.strip()]
    if task.acceptance:
        parts.append("## Done when\n\n" + task.acceptance.strip())
    if task.paths:
        parts.append("## Where\n\n" + "\n".join(f"- {path}" for path in task.paths))
    if answer:
        parts.append(_rejection(task, attempts, answer, log, conflict, previous))
    failed = [s for s in task.sessions if s.note and not s.revision and (s.salvage or not s.failure)]
    if failed:
        parts.append("## Earlier sessions\n\n" + "\n".join(f"- {s.agent}: {s.end}, {s.note}" for s in failed[-5:]))
    if salvage:
        parts.append(_unfinished(task, salvage))
    return "\n\n".join([*parts, RULES])


def _unfinished(task: Task, salvage: str) -> str:
    """Return the section about what an earlier session left that was not handed in."""
    left = next((s for s in reversed(task.sessions) if s.salvage == salvage), None)
    if left and left.revision:
        return (
            f"## Unfinished work\n\nThe session that handed in {task.id}/{left.revision} left files that it had not "
            f"committed; they were not handed in. See them: `git show {salvage}`"
        )
    return f"## Unfinished work\n\nAn earlier session was cut off. What it had: `git diff HEAD...{salvage}`"


def _rejection(task: Task, attempts: int, answer: Facts, log: str, conflict: str, previous: str) -> str:
    lines = [f"## Your last attempt was rejected ({task.attempts} of {attempts} made)", "", answer.why]
    if previous:
        lines += ["", f"It was commit {previous}; you start from a fresh trunk. See it: `git show {previous}`"]
    lines += [
        "",
        "Hand in something else than that. If nothing is left to do because others did the work, make an empty",
        "commit whose message holds the id of the commit of trunk that did it; without one a person is asked.",
    ]
    for title, others in (("It conflicts with", answer.conflicting), ("Landed meanwhile", answer.landed)):
        if others:
            lines += ["", f"{title}:", "", *(f"- {o.commit[:12]} {o.subject}" for o in others)]
    if log:
        tail = "\n".join(log.rstrip().splitlines()[-LOG_LINES:])
        lines += ["", "The end of the gate's output:", "", "```", tail, "```"]
    if conflict:
        lines += ["", "The conflict, both sides marked:", "", "```diff", conflict.rstrip(), "```"]
    return "\n".join(lines)
