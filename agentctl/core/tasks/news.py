"""What a session is told while it works, and what to do: that it conflicts with trunk, or that it is about to be ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from agentctl.core.queue.answer import Other
from agentctl.core.queue.spending import NEARLY
from agentctl.core.tasks.watchdog import CIRCLES, Warned
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable

NAMED = 30
"""The most paths, and the most landed changes, that are named."""


def of_conflict(
    trunk: str, tip: str, behind: int, paths: Sequence[str], landed: Sequence[tuple[Other, str]], limit: int = 0
) -> str:
    """Return the news as Markdown.

    `trunk` is the name of the branch, and `tip` where it is; `behind` is how many of its commits the session's branch
    does not have. `landed` has what landed in the conflicting `paths`, with the task of each. `limit` is the policy's
    agents.behind.
    """
    lines = [
        "# Your work conflicts with trunk",
        "",
        f"{many(behind, 'commit')} came to {trunk} that your branch does not have; it is at {tip[:12]} now.",
        "What you have, committed or not, does not merge with it in:",
        "",
        *_listed([f"- {printable(path)}" for path in paths]),
    ]
    if landed:
        lines += ["", "This landed there meanwhile:", "", *_listed([_landing(*one) for one in landed])]
    branch = shlex.quote(trunk)
    lines += [
        "",
        "Settle it now, as long as you know your own change: as it is, the merge queue will reject it.",
        "",
        "1. Commit what you have.",
        f"2. `git fetch origin {branch} && git rebase {shlex.quote('origin/' + trunk)}`",
        "3. Resolve the conflicts so that both sides keep their meaning (`git show COMMIT` shows what landed), run the",
        "   tests, and go on.",
        "",
        "This goes away by itself once nothing conflicts any more.",
    ]
    if limit:
        lines.append(f"A session that conflicts and is more than {many(limit, 'commit')} behind is ended.")
    return "\n".join(lines) + "\n"


def of_warning(warned: Warned) -> str:
    """Return the news for an agent whose session is ended soon if it goes on like this; empty if it is not."""
    circles = [
        "# You go in circles",
        "",
        f"You have done the same {CIRCLES // 2} times or more, with the same outcome, and changed no file. After {CIRCLES} times",
        "your session is ended. Do something else. If you cannot go on without a person, say so:",
        "`agentctl task block REASON`, or write why into the file `$AGENTCTL_SESSION/blocked`.",
    ]
    limits = [
        "# Your session is nearly over",
        "",
        f"It may use up {', '.join(warned.limits)}, and {NEARLY:.0%} of that is gone. Hand in now what is whole, as your",
        "prompt says. Write what is left to do into the file `$AGENTCTL_SESSION/handoff.md`, for whoever goes on.",
    ]
    parts = [part for part, due in ((circles, warned.circles), (limits, warned.limits)) if due]
    return "\n\n".join("\n".join(part) for part in parts) + "\n" if parts else ""


def _landing(other: Other, task: str) -> str:
    named = ", ".join(filter(None, (printable(other.change), f"task {task}" if task else "")))
    return f"- {other.commit[:12]} {f'({named}) ' if named else ''}{printable(other.subject)}"


def _listed(lines: list[str]) -> list[str]:
    more = len(lines) - NAMED
    return lines if more <= 0 else [*lines[:NAMED], f"- and {more} more"]
