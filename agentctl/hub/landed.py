"""What landed: what of it is still on trunk, and what undid it since.

A head lands only once. Submitted again it would change nothing; or, if it was undone since, it would change more than
its commits show. To get it back, the change that undid it can be undone.

This is also where `submit` asks about a new head: which paths it sets back that landed lately, and whether it changes
anything at all.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from agentctl.core import refnames
from agentctl.core.queue.answer import Other
from agentctl.core.queue.records import Landed, Record
from agentctl.core.text import landed_message
from agentctl.errors import Refused
from agentctl.git.ancestry import between
from agentctl.git.merge import changed
from agentctl.git.repository import Hub
from agentctl.hub.ledger import Ledger


def revert_of(change: str) -> str:
    """Return the name of the change that undoes `change`."""
    return refnames.distinct("revert-" + change)


def undone_by(ledger: Ledger, record: Landed) -> Landed | None:
    """Return the change that has undone a landed change since, if `agentctl revert` made one."""
    found = ledger.newest_landed(revert_of(record.change.id))
    return found if found and found.at >= record.at else None


def once(ledger: Ledger, record: Landed) -> tuple[str, str]:
    """Return (why the head of a landed change is not accepted again, what to do instead)."""
    undone = undone_by(ledger, record)
    if undone:
        return f"this very commit landed as {record.key}, and {undone.key} undid it", f"agentctl revert {undone.change.id}"
    return f"this very commit landed as {record.key}", "to land it once more make it anew: git commit --amend --no-edit"


NEAR = 1000
"""The most commits of a change that are looked at in process for its merge base; for more, Git is asked."""
LATELY = 20
"""The number of trunk's last commits that a checkout may have missed, if it was kept from following trunk."""


def _base(hub: Hub, head: str, tip: str) -> str:
    near = hub.line.meets(head, tip, NEAR)
    return near[1] if near else hub.git("merge-base", tip, head, ok=(0, 1))


def undoes(hub: Hub, head: str, tip: str) -> list[str]:
    """Return the paths that a change sets back to what they were before something that landed lately.

    The author either means that, or commits in a checkout whose files are older than its branch.
    """
    base = _base(hub, head, tip)
    own = set(changed(hub, base, head)) if base else set()
    there, new = hub.objects.commit(base).tree if own else "", {oid for _, _, oid, status in own if status == "A"}
    # A file that is deleted, and added under another name, was moved rather than taken back.
    own = {one for one in own if one[1] or (hub.objects.at(there, one[0]) or (0, ""))[1] not in new}
    past = itertools.islice(_before(hub, base), LATELY) if own else ()
    return sorted({path for old in past for path, *_ in own & set(changed(hub, base, old))})


def _before(hub: Hub, commit: str) -> Iterator[str]:
    """Yield the commits at which trunk was before `commit`, newest first, as far as they are in the repository."""
    while (parents := hub.objects.commit(commit).parents) and hub.objects.exists(parents[0]):
        commit = parents[0]
        yield commit


def refuse_idle(hub: Hub, head: str, tip: str) -> None:
    """Raise Refused for a head that changes no file, or whose changes trunk already holds."""
    base = _base(hub, head, tip)
    if not base:
        return
    trunk = hub.objects.commit(tip).tree
    paths = list(changed(hub, base, head))
    if all((hub.objects.at(trunk, path) or (0, "0" * 40)) == (mode, oid) for path, mode, oid, _ in paths):
        what = "trunk holds all that it changes already" if paths else "it changes no file"
        raise Refused(
            f"nothing to submit: {what}", hint="git log --oneline -3 names the commits; agentctl submit COMMIT takes another one"
        )


_OID = re.compile(r"[0-9a-f]{40}")


def has_gone(hub: Hub, tip: str, record: Record) -> bool:
    """Tell whether a change landed and is no longer in the history of trunk, which is at `tip`."""
    return isinstance(record, Landed) and not (tip and hub.holds(tip, record.commit))


def gone(hub: Hub, tip: str, commits: Iterable[str]) -> set[str]:
    """Return those of the landed `commits` that the history of `tip` no longer holds; an empty `tip` stands for no trunk."""
    asked = set(commits)
    there = {oid for oid in asked if _OID.fullmatch(oid) and hub.objects.exists(oid)} if tip else set()
    away = hub.git("rev-list", "--no-walk", "--stdin", stdin="\n".join([*there, "^" + tip]).encode()) if there else ""
    return asked - there | set(away.split())


FAR = 1000
"""The number of commits on trunk from which on Git is asked for them."""


def since(hub: Hub, base: str, trunk: str, paths: tuple[str, ...] = (), limit: int = 30) -> tuple[Other, ...]:
    """Return what landed on trunk after `base`, newest first, with change and subject of each.

    At most `limit` commits are returned; if `paths` are given, only commits that change one of them.
    """
    line = between(hub.objects, trunk, base, FAR)
    if line is not None and len(line) < FAR:
        places = (
            [tuple(hub.objects.at(commit.tree, path) for path in paths) for commit in (*line, hub.objects.commit(base))]
            if paths
            else []
        )
        listed = [commit for n, commit in enumerate(line) if not paths or places[n] != places[n + 1]]
        return tuple(Other(c.oid, landed_message.trailer(c.message, "Agentctl-Change"), c.subject) for c in listed[:limit])
    form = "%H%x00%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)%x00%s"
    where = ("--", *(":(literal)" + p for p in paths)) if paths else ()
    told = hub.git("log", f"-n{limit}", "--format=" + form, trunk, "^" + base, *where)
    return tuple(Other(*line.split("\0", 2)) for line in told.split("\n") if line)
