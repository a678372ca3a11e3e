"""The tasks of reviewers: each judges one revision of a change that lacks an approval of their role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents
from agentctl.core.policy.schema import ANYBODY, PERSON
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.records import Queued
from agentctl.core.queue.request import PRIORITY, Request, Review
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import replace
from agentctl.core.text.printable import printable

MOST = 5
"""So many reviews of one revision in one role are closed without an approval before a person is asked."""
LONGEST = refnames.LONGEST - 6
"""The most characters of a review's id without its number."""
NAMED = 20
"""The most paths that a task names, and the most reviews that a sentence does."""

PROMPT = """\
Judge the change {change} of {agent}: {subject}

See it: `git diff {base} {head}`, `git log {base}..{head}`, `agentctl why {change}`. The policy asks for your approval
because it touches:

{paths}
{task}"""


def name_of(key: str, number: int = 1) -> str:
    """Return the id of the n-th task that reviews a revision, such as fix/1."""
    return refnames.distinct(f"review-{key.replace('/', '-')}", limit=LONGEST) + (f".{number}" if number > 1 else "")


def numbered(id: str) -> tuple[str, int]:
    """Return (id of the first review of the same revision, number of this one) for the id of a review."""
    first, _, number = id.rpartition(".")
    return (first, int(number)) if first and number.isdecimal() and number.isascii() else (id, 1)


def reviews_of(key: str, task: Task) -> bool:
    """Tell whether a task is one of those that review a revision."""
    return numbered(task.id)[0] == name_of(key)


def by_revision(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return the tasks that review something in the order of their numbers, by the id of the first for the same revision."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        if task.id.startswith("review-"):
            found.setdefault(numbered(task.id)[0], []).append(task)
    return {first: sorted(reviews, key=lambda task: numbered(task.id)[1]) for first, reviews in found.items()}


def is_review(task: Task) -> bool:
    return task.id.startswith("review-") and bool(task.avoid)


def judges(record: Queued, role: str, waiting: Iterable[Request]) -> frozenset[str]:
    """Return who has judged a queued change as an agent of a role; what is `waiting` in the inbox may be of any role."""
    said = (one.agent for one in waiting if isinstance(one, Review) and one.head == record.change.head)
    return frozenset((*said, *(one.by for one in record.approvals if one.role == role)))


def for_others(review: Task, judged: Iterable[str]) -> Task:
    """Return the review as one that none of those gets who have `judged` the same in its role: they have nothing to add."""
    return replace(review, avoid=tuple(dict.fromkeys((*review.avoid, *sorted(judged)))))


def of_roles(lacks: Iterable[Lack]) -> list[Lack]:
    """Return one lack for each role: one approval counts for all rules, and who gives it is told the paths of all."""
    found = dict[str, Lack]()
    for lack in lacks:
        before = found.get(lack.rule.by, lack)
        paths = tuple(dict.fromkeys((*before.paths, *lack.paths)))
        found[lack.rule.by] = replace(max(before, lack, key=lambda one: one.missing), paths=paths)
    return [*found.values()]


def _not_done(lack: Lack, reviews: Iterable[Task]) -> list[Task]:
    """Return those of the reviews of a change that may bring what it lacks, parked ones last."""
    return sorted((task for task in reviews if task.closed != "done" and task.role == lack.rule.by), key=lambda task: task.closed)


def waited_for(lack: Lack, reviews: Iterable[Task]) -> list[Task]:
    """Return the reviews for which a change waits: as many as approvals are missing, parked ones only where others are too few."""
    return _not_done(lack, reviews)[: lack.missing]


def still_to_open(lack: Lack, reviews: Iterable[Task]) -> int:
    """Return how many more reviews a change needs. One that is parked, by whomever, keeps its place until it is opened."""
    return max(0, lack.missing - len(_not_done(lack, reviews)))


def for_a_person(lack: Lack, reviews: Iterable[Task]) -> list[Task]:
    """Return the reviews that are done in the role that a change lacks, if too many brought no approval to open others."""
    done = [task for task in reviews if task.closed == "done" and task.role == lack.rule.by]
    return done if len(done) - len(lack.given) >= MOST else []


def with_followers(queue: Mapping[str, Queued], waits: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return for which reviews each queued change waits, by key: for its own, and for those of what it comes after.

    `waits` has its own, by key; a change that waits for none is left out.
    """
    found = {record.change.id: frozenset(waits.get(key, ())) for key, record in queue.items()} if waits else {}
    grows = bool(found)
    while grows:
        grows = False
        for record in queue.values():
            own = found[record.change.id]
            found[record.change.id] = own.union(*(found.get(name, ()) for name in record.change.after))
            grows = grows or own != found[record.change.id]
    return {key: reviews for key, record in queue.items() if (reviews := found.get(record.change.id))}


def ways(key: str, lacks: Iterable[Lack], agents: Agents, reviews: Iterable[Task] | None = None) -> list[str]:
    """Return what brings the approvals that a change lacks: a command for whoever may approve, else the task of a reviewer.

    `reviews` are the tasks that review the change, those in the archive too; None if they are not known.
    """
    found, there = list[str](), list(reviews or ())
    for lack in lacks:
        by = lack.rule.by
        if by in (ANYBODY, PERSON):
            found.append(f"agentctl approve {key}")
        elif roles.does(agents, by) != "review":
            found.append(f"agentctl approve {key}, in a session of the role {by}")
        elif waited := waited_for(lack, there):
            found += (
                f"{task.id} is parked: agentctl task open {task.id}" if task.closed else f"{task.id} is on the list"
                for task in waited
            )
        elif reviews is None:
            found.append(f"the task {name_of(key)} is for that")
        elif done := for_a_person(lack, there):
            found.append(f"{done[0].id} is done, and no other is opened: agentctl task open {done[0].id}")
        else:
            last = max((numbered(task.id)[1] for task in there), default=0)
            found.append(f"agentctl run opens {name_of(key, last + 1)}")
    return list(dict.fromkeys(found))


def told(parked: Mapping[str, Iterable[str]]) -> str:
    """Return what to do about the changes whose reviews are parked, by key; empty if there is none."""
    if not parked:
        return ""
    ids = sorted({name for names in parked.values() for name in names})
    more = f" (and {len(ids) - NAMED} more)" if len(ids) > NAMED else ""
    waits = "1 change waits" if len(parked) == 1 else f"{len(parked)} changes wait"
    whose = "its" if len(parked) == 1 else "their"
    are = "review is" if len(ids) == 1 else "reviews are"
    return f"{waits} for approvals, and {whose} {are} parked: agentctl task open {' '.join(ids[:NAMED])}{more}"


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
