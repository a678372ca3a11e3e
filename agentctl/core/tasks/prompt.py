"""The prompt of a session: a template in which each name in double braces is a section, built anew from facts.

A project may have a template of its own. A section about which there is nothing to say is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentctl.core.queue.answer import Facts, Other
from agentctl.core.tasks import failing_tests
from agentctl.core.tasks.task import Session, Task
from agentctl.core.text.plural import many
from agentctl.core.text.schema_violations import suggestion
from agentctl.core.text.yaml_document import Problem

LOG_LINES = 80
"""The lines of a gate's output that are shown, from its end."""
NAMED = 20
"""The most of a kind that are named."""

TEMPLATE = """\
# {{title}}

{{task}}

{{acceptance}}

{{paths}}

{{rejection}}

{{earlier}}

{{person}}

{{unfinished}}

{{landed}}

{{others}}

{{notebook}}

{{children}}

{{hand_in}}

{{gate}}

{{in_the_way}}

{{handoff}}
"""
"""What a project uses that has no template of its own."""


@dataclass(frozen=True, slots=True)
class Conflicting:
    """What somebody else meant by a landed commit with which the work conflicts."""

    commit: str
    message: str
    task: str = ""
    """What the task asked for; empty if the commit is of no task that is known."""
    handoff: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody who works on the same paths now."""

    agent: str
    title: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Child:
    """A task that a planner added, and what became of it."""

    id: str
    title: str
    status: str
    said: str = ""
    """Why it is parked, or what its agent handed over."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a prompt is built from."""

    task: Task
    attempts: int
    """How many sessions a task gets."""
    answer: Facts | None = None
    """What was said of the last rejection of this task's change."""
    log: str = ""
    conflict: str = ""
    previous: str = ""
    """The head that was rejected."""
    salvage: str = ""
    """A ref with work that was not handed in."""
    left: str = ""
    """What that work changes: the end of `git diff --stat`."""
    conflicting: tuple[Conflicting, ...] = ()
    landed: tuple[Other, ...] = ()
    """What landed on the task's paths since its last session."""
    others: tuple[Neighbour, ...] = ()
    notebook: tuple[str, ...] = ()
    gates: tuple[tuple[str, str], ...] = ()
    """(name, command) of each gate."""
    protect: tuple[str, ...] = ()
    does: str = "work"
    """What the session is for: work, plan or review."""
    children: tuple[Child, ...] = ()
    """The tasks that this one planned, oldest first."""
    minutes: float = 0.0
    """How long a session may take; 0 if there is no limit."""


def render(seen: Situation, template: str = TEMPLATE) -> str:
    """Return the prompt as Markdown. A name in braces that is no section stays as it is.

    A zero byte, as a test's output may have it, is written as an escape: no program can be given one.
    """
    filled = _NAME.sub(lambda name: SECTIONS[name[1]](seen) if name[1] in SECTIONS else name[0], template)
    return re.sub(r"\n{3,}", "\n\n", filled).strip().replace("\0", r"\0") + "\n"


def misspelt(template: str, source: str) -> list[Problem]:
    """List the names in double braces that are no section, each with its place in `source`."""
    return [
        Problem(source, number, name.start() + 1, f"no section is called '{name[1]}'{_instead(name[1])}")
        for number, line in enumerate(template.splitlines(), 1)
        for name in _NAME.finditer(line)
        if name[1] not in SECTIONS
    ]


def _instead(name: str) -> str:
    return suggestion(name, SECTIONS) or "; there are " + ", ".join(SECTIONS)


_NAME = re.compile(r"\{\{ *([a-z_]+) *\}\}")

HAND_IN = """\
## How to hand in

- You work in a Git worktree of your own, on a fresh copy of trunk. Change files only here.
- Commit your work on the branch you find yourself on. Your session is over when you exit;
  new commits are the result, whatever you print. Commit all of it, new files too: what you
  leave uncommitted beside them is not handed in.
- If nothing is left to do, say so by an empty commit whose message has the id of the commit of
  trunk that did it: `git commit --allow-empty -m 'Done by ID'`. Without one a person is asked.
- Before you commit, look for the file `.agentctl/session/news.md`. If it is there, your work
  does not merge with what landed while you worked, you go in circles, or your session is
  nearly over; it says what to do.
- Do not push, and do not touch other branches, other worktrees or refs/agentctl/.
- A merge queue tests your commits together with those of others and lands them if they pass.
- If trunk is not ready for this task yet, exit with status 75: you will be called again
  when trunk has moved."""

PLAN = """\
## What is asked of you

- You plan, and others do the work. Change no files: what you leave in the worktree is no result.
- Break this into tasks, each for one agent in one session, with as few files in common as can be:
  `agentctl task add --id ID --acceptance WHEN --paths GLOB --after OTHER 'WHAT'`, or a list in the
  file $AGENTCTL_SESSION/tasks.yaml: `- {id: ID, prompt: WHAT, acceptance: WHEN, paths: [GLOB], after: [OTHER]}`.
  Each agent sees its own task alone, so say in it all that it needs.
- Then exit. You are called again when all these tasks have landed or are parked, and are told
  what became of each. Add more then, or say that this is done: `agentctl task done --reason WHY`,
  or write why to the file $AGENTCTL_SESSION/done."""

REVIEW = """\
## What is asked of you

- You judge, and change no files: what you leave in the worktree is no result.
- Look at the change as `git show` has it, run it if that helps, and compare it with what was asked.
- It is good: `agentctl approve CHANGE`. It is not: `agentctl approve CHANGE --refuse 'WHY'`, with all
  that its author has to know.
- Then say that you are done: `agentctl task done --reason WHY`, or write why to the file
  $AGENTCTL_SESSION/done."""

ASKED = {"work": HAND_IN, "plan": PLAN, "review": REVIEW}
"""What is asked of a session, by what it is for."""

IN_THE_WAY = """\
## If something is in the way

- You cannot go on without a person: `agentctl task block 'WHY'`, or write why to the file
  $AGENTCTL_SESSION/blocked; then exit. What you have is kept and not handed in (what you have
  submitted may land: `agentctl withdraw CHANGE`), and it counts against nobody. The next session
  reads what the person says.
- You find something else to be done: `agentctl task add 'WHAT'`, and leave it alone.
- Tests fail on a fresh trunk too: they are not yours to mend unless the task says so. Your
  change is judged by what it adds.
- To see this text again, as things stand then: `agentctl prime`."""

HANDOFF = """\
## For whoever goes on

Your session may be cut off{limit}, and another one may go on from here with nothing but what
you leave. Keep the file $AGENTCTL_SESSION/handoff.md up to date: what is done, what deviates
from the task, what worries you, what you found out, what comes next.
What every agent on this project should know, add as one line: `agentctl note 'LINE'`."""


def _gate(seen: Situation) -> str:
    if not seen.gates:
        return ""
    lines = ["## What your work is judged by", "", *(f"- {name}: `{run}`" for name, run in seen.gates)]
    lines += ["", "To run that on what you have committed: `agentctl test`"] if seen.does == "work" else []
    if seen.protect:
        lines += ["", "No change may touch " + ", ".join(f"`{glob}`" for glob in seen.protect) + "."]
    return "\n".join(lines)


def _earlier(seen: Situation) -> str:
    """Return what earlier sessions left to say: why they failed, and what the last one handed over."""
    told = [s for s in seen.task.sessions if s.note and not s.revision and (s.salvage or not s.failure)][-5:]
    last = next((s for s in reversed(seen.task.sessions) if handed_over(s)), None)
    words = handed_over(last) if last else ""
    if not (told or words):
        return ""
    lines = ["## Earlier sessions"]
    lines += ["", *(f"- {s.agent}: {s.end}, {s.note}" for s in told)] if told else []
    if last and words:
        what = "handed over" if last.handoff else "said last"
        lines += ["", f"What {last.agent} {what}:", "", *_quoted(words)]
    return "\n".join(lines)


def _person(seen: Situation) -> str:
    """Return what a person said when opening the task again, such as the answer to what its agent needed."""
    said = "" if seen.task.closed else seen.task.reason
    return "\n".join(["## What a person says", "", *_quoted(said)]) if said else ""


def _unfinished(seen: Situation) -> str:
    """Return what an earlier session left that was not handed in."""
    if not seen.salvage:
        return ""
    left = next((s for s in reversed(seen.task.sessions) if s.salvage == seen.salvage), None)
    stat = f"\n\n```\n{seen.left}\n```" if seen.left else ""
    if left and left.revision:
        return (
            f"## Unfinished work\n\nThe session that handed in {seen.task.id}/{left.revision} left files that it had not "
            f"committed; they were not handed in. See them: `git show {seen.salvage}`{stat}"
        )
    return f"## Unfinished work\n\nAn earlier session ended before it handed this in. What it had: `git diff HEAD...{seen.salvage}`{stat}"


def _rejection(seen: Situation) -> str:
    if not seen.answer:
        return ""
    answer = seen.answer
    lines = [f"## Your last attempt was rejected ({seen.task.attempts} of {seen.attempts} made)", "", _reason(answer)]
    if failed := failing_tests.names(seen.log)[:NAMED]:
        lines += ["", "Tests that failed:", "", *(f"- {name}" for name in failed)]
    if seen.previous:
        lines += ["", f"It was commit {seen.previous}; you start from a fresh trunk. See it: `git show {seen.previous}`"]
    lines += [
        "",
        "Hand in something else than that. If nothing is left to do because others did the work, make an empty",
        "commit whose message holds the id of the commit of trunk that did it since; without one a person is asked.",
    ]
    for title, others in (("It conflicts with", answer.conflicting), ("Landed meanwhile", answer.landed)):
        if others:
            lines += ["", f"{title}:", "", *(f"- {o.commit[:12]} {o.subject}" for o in others)]
    for other in seen.conflicting:
        lines += ["", f"What {other.commit[:12]} was for; keep it working:", "", *_quoted(other.message)]
        lines += ["", "Its task:", "", *_quoted(other.task)] if other.task else []
        lines += ["", "What its agent handed over:", "", *_quoted(other.handoff)] if other.handoff else []
    if seen.log:
        tail = "\n".join(seen.log.rstrip().splitlines()[-LOG_LINES:])
        lines += ["", "The end of the gate's output:", "", "```", tail, "```"]
    if seen.conflict:
        lines += ["", "The conflict, both sides marked:", "", "```diff", seen.conflict.rstrip(), "```"]
    return "\n".join(lines)


def _reason(answer: Facts) -> str:
    """Return why a change was rejected, without the planner's reckoning, which is of no use for mending it."""
    if answer.by:
        return "\n".join([f"{answer.by} has looked at it, and refuses it; no gate said so:", "", *_quoted(answer.why)])
    if not answer.step:
        return answer.why
    how = f" with exit status {answer.exit}" if answer.exit is not None else ""
    return f"The gate `{answer.step}` failed{how} on trunk with your change, and passes without it."


def _landed(seen: Situation) -> str:
    if not seen.landed:
        return ""
    listed = [f"- {o.commit[:12]} {o.subject}" for o in seen.landed[:NAMED]]
    more = [f"- and {len(seen.landed) - NAMED} more"] if len(seen.landed) > NAMED else []
    return "\n".join(["## Landed since the last session, on the same paths", "", *listed, *more])


def _others(seen: Situation) -> str:
    if not seen.others:
        return ""
    listed = [f"- {o.agent}: {o.title} ({', '.join(o.paths[:5])})" for o in seen.others[:NAMED]]
    return "\n".join(
        [f"## {many(len(seen.others), 'other agent')} at work on the same paths", "", *listed, "", "Keep your edits there small."]
    )


def _children(seen: Situation) -> str:
    if not seen.children:
        return ""
    lines = ["## What became of your tasks", ""]
    for child in seen.children:
        lines += [f"- {child.id}: {child.status}, {child.title}", *(f"  {line}" for line in _quoted(child.said))]
    return "\n".join(lines)


def _notebook(seen: Situation) -> str:
    return (
        "\n".join(["## What agents on this project noted", "", *(f"- {line}" for line in seen.notebook)]) if seen.notebook else ""
    )


def _handoff(seen: Situation) -> str:
    return HANDOFF.format(limit=f" after {seen.minutes:.0f} minutes" if seen.minutes else "")


def _quoted(text: str) -> list[str]:
    return [f"> {line}".rstrip() for line in text.strip().splitlines()]


def handed_over(session: Session) -> str:
    """Return what a session told whoever goes on: its handoff or, if it handed nothing in, its last message."""
    return session.handoff or ("" if session.revision else session.said)


SECTIONS: dict[str, Callable[[Situation], str]] = {
    "title": lambda seen: seen.task.title,
    "task": lambda seen: seen.task.prompt.strip(),
    "acceptance": lambda seen: "## Done when\n\n" + seen.task.acceptance.strip() if seen.task.acceptance else "",
    "paths": lambda seen: "\n".join(["## Where", "", *(f"- {path}" for path in seen.task.paths)]) if seen.task.paths else "",
    "rejection": _rejection,
    "earlier": _earlier,
    "person": _person,
    "unfinished": _unfinished,
    "landed": _landed,
    "others": _others,
    "notebook": _notebook,
    "children": _children,
    "hand_in": lambda seen: ASKED[seen.does],
    "gate": _gate,
    "in_the_way": lambda seen: IN_THE_WAY,
    "handoff": _handoff,
}
"""The sections of a prompt by name."""
