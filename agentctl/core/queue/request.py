"""What an inbox ref asks for, read strictly: whoever can push can push anything.

The subject of an annotated tag is one line of JSON. A plain commit, or a tag whose subject does not begin like a JSON
object, is a submission without facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from agentctl.core import refnames
from agentctl.core.queue.spending import MOST, Spent
from agentctl.core.refnames import valid_name
from agentctl.core.text.json_form import load
from agentctl.core.text.printable import printable

PRIORITY = 1000
"""The highest priority; the lowest is its negative."""
AFTER = 100
"""How many changes one submission may name to come after."""
REFUSAL = 10_000
"""The most characters that a refusal may say."""
GENERATION = 1 << 53
"""The highest generation: every reader of JSON reads integers up to here exactly."""
_Named = tuple[str, str, str, str, int, str]
"""The first fields of a request."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, according to the name of the ref, and about which commit."""

    ref: str
    oid: str
    agent: str
    change: str
    revision: int
    head: str
    """The object that the ref leads to: a commit, except in some cases of `Unfit`."""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.change}/{self.revision}")

    @property
    def submits(self) -> bool:
        return isinstance(self, Submit)

    @property
    def waits(self) -> bool:
        """True for what becomes a revision of the change: a submission, or one that is refused as unfit."""
        return isinstance(self, (Submit, Unfit))


@dataclass(frozen=True, slots=True)
class Submit(Request):
    task: str | None = None
    generation: int | None = None
    priority: int = 0
    after: tuple[str, ...] = ()
    mends: bool = False
    """True if the author says that the change mends a red trunk."""
    spent: Spent = Spent()
    """What the author says that the change has cost."""


@dataclass(frozen=True, slots=True)
class Withdraw(Request):
    pass


@dataclass(frozen=True, slots=True)
class Bump(Request):
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Review(Request):
    """Somebody has looked at the head, and approves or refuses the change."""

    refusal: str = ""
    """Why the change is refused; empty if it is approved."""
    task: str = ""
    """The task in whose session the agent says so; empty if it says none."""


@dataclass(frozen=True, slots=True)
class Unfit(Request):
    """A ref that has the name of a request, but is not a valid one."""

    why: str = ""
    whole: bool = False
    """True if its head is a commit, so that only the facts are unfit."""


def parse(ref: str, oid: str, kind: str, target: str, target_kind: str, subject: str) -> Request | None:
    """Return the request of a ref, or None if the name of the ref does not follow the protocol.

    `kind` is the type of the object that the ref names. `target` is the object that a tag names, and `target_kind` is
    the true type of that object, empty if it does not exist.
    """
    try:
        agent, change, revision = refnames.split_submission(ref, refnames.INBOX)
    except ValueError:
        return None
    named: _Named = (ref, oid, agent, change, revision, target)
    if kind not in ("commit", "tag"):
        return Unfit(*named, why=f"it is a {kind or 'thing that is not there'}, not a commit or a tag of one")
    if kind == "tag" and target_kind != "commit":
        return Unfit(*named, why=f"it is a tag of a {target_kind or 'thing that is not there'}, not of a commit")
    if kind == "commit" or not subject.lstrip().startswith("{"):
        return Submit(*named)
    try:
        return _asked(named, load(_Said, subject.encode()))
    except ValueError as error:
        return Unfit(*named, why=f"its tag does not say what it should: {printable(str(error))}", whole=True)


class _Said(msgspec.Struct):
    """The subject of a tag; unknown keys are ignored."""

    task: str | None = None
    generation: Annotated[int, msgspec.Meta(ge=0, le=GENERATION)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=-PRIORITY, le=PRIORITY)] | msgspec.UnsetType = msgspec.UNSET
    after: Annotated[tuple[str, ...], msgspec.Meta(max_length=AFTER)] | None = None
    mends: bool = False
    spent: Spent = Spent()
    withdraw: bool = False
    bump: bool = False
    approve: bool | msgspec.UnsetType = msgspec.UNSET
    refuse: Annotated[str, msgspec.Meta(max_length=REFUSAL)] | msgspec.UnsetType = msgspec.UNSET


def _asked(named: _Named, said: _Said) -> Request:
    """Return the request that the facts of a tag make. Raise ValueError if they make none."""
    priority = 0 if said.priority is msgspec.UNSET else said.priority
    approve, refuse = said.approve is not msgspec.UNSET, said.refuse is not msgspec.UNSET
    named_kinds = (("withdraw", said.withdraw), ("bump", said.bump), ("approve", approve), ("refuse", refuse))
    kinds = [word for word, there in named_kinds if there]
    if len(kinds) > 1:
        raise ValueError(f"{' and '.join(kinds)} in one")
    if approve or refuse:
        return Review(*named, refusal=_refusal(said), task=said.task or "")
    if said.withdraw:
        return Withdraw(*named)
    if said.bump:
        if said.priority is msgspec.UNSET:
            raise ValueError("bump without a priority")
        return Bump(*named, priority=priority)
    after = tuple(dict.fromkeys(said.after or ()))
    for word, names in (("task", () if said.task is None else (said.task,)), ("after", after)):
        wrong = [name for name in names if not valid_name(name)]
        if wrong:
            raise ValueError(f"{word} is not a valid name: {printable(wrong[0], 50)}")
    if not said.spent.is_sane:
        raise ValueError(f"spent has a number that is not between 0 and {MOST}")
    return Submit(
        *named, task=said.task, generation=said.generation, priority=priority, after=after, mends=said.mends, spent=said.spent
    )


def _refusal(said: _Said) -> str:
    """Return why a change is refused; empty if it is approved. Raise ValueError for what is neither."""
    if said.refuse is msgspec.UNSET:
        if not said.approve:
            raise ValueError("approve is false: to refuse a change, say why by refuse")
        return ""
    if not said.refuse.strip():
        raise ValueError("refuse without a reason")
    return said.refuse.strip()


def dependencies_first(found: Iterable[Request]) -> list[Request]:
    """Return the requests in their order, but each change behind those that it comes after.

    The walk uses its own stack, because chains may be longer than Python can recurse.
    """
    changes: dict[str, list[Request]] = {}
    for request in found:
        changes.setdefault(request.change, []).append(request)
    order: list[Request] = []
    seen: set[str] = set()
    todo = [(name, False) for name in reversed(changes)]
    while todo:
        name, ready = todo.pop()
        if ready:
            order += changes[name]
        elif name in changes and name not in seen:
            seen.add(name)
            todo.append((name, True))
            todo += [(other, False) for request in changes[name] if isinstance(request, Submit) for other in request.after]
    return order
