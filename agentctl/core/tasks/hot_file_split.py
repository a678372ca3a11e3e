"""The task to split a file through which too much goes at the same time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agentctl.core import refnames
from agentctl.core.tasks.task import Task
from agentctl.core.text.printable import printable

PROMPT = """\
Split the file {path} into smaller ones, along what is worked on separately, without changing what the program does.

Of the last {among} changes that landed or were rejected, {conflicts} were rejected because they conflict in this file:
too much of what is worked on at the same time goes through it. As long as that is so, tasks that declare it are worked on
one at a time.

- Move what belongs together into files of its own, and let what others use of it be found where it was.
- Change no behaviour, and leave the lines that stay as they are.
- If it is a list that every change extends, let each entry have a file or a place of its own, so that two changes need not
  touch the same lines.
- If nothing of this helps, say why by an empty commit.
"""
ACCEPTANCE = "The gates pass as before, and two changes of different parts of what was in {path} touch different files."


def name_of(path: str) -> str:
    """Return the id of the task that splits a file: the same for the same path."""
    return refnames.distinct("split-" + path)


def task_for(path: str, conflicts: int, among: int, others: Iterable[Task], now: float) -> Task:
    """Return the task to split `path`, in which `conflicts` of the last `among` changes conflicted.

    It goes before all `others`, because each that lands before it makes it harder.
    """
    shown = printable(path)
    return Task(
        name_of(path),
        f"Split {shown}",
        PROMPT.format(path=shown, among=among, conflicts=conflicts),
        ACCEPTANCE.format(path=shown),
        priority=1 + max((task.priority for task in others if not task.closed), default=0),
        # A glob that matches the path: a question mark is any character.
        paths=(re.sub(r"[*?[]", "?", path),),
        created=now,
    )
