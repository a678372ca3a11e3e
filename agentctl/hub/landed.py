"""What landed: what trunk has of it still, and what undid it since.

A head lands once. Handed in anew it would change nothing; or, where it was undone since, it would change more than anybody
sees who looks at its commits. What undid it can be undone.

Also what `submit` asks of a new head: which paths it undoes that landed lately, and whether it changes anything at all.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from agentctl.core import refnames
from agentctl.core.queue.records import Landed, Record
from agentctl.core.text import commit_messages
from agentctl.core.text.json_form import Plain
from agentctl.errors import Refused
from agentctl.git.ancestry import between
from agentctl.git.merge import changed
from agentctl.git.repository import Hub
from agentctl.hub.ledger import Ledger


def revert_of(change: str) -> str:
    """What the change is called that undoes another one."""
    return refnames.distinct("revert-" + change)


def undone_by(ledger: Ledger, record: Landed) -> Landed | None:
    """What has undone a landed change since, if `agentctl revert` made it."""
    found = ledger.newest_landed(revert_of(record.change.id))
    return found if found and found.at >= record.at else None


def once(ledger: Ledger, record: Landed) -> tuple[str, str]:
    """(why the head of a landed change is not taken again, what to do)."""
    undone = undone_by(ledger, record)
    if undone:
        return f"this very commit landed as {record.key}, and {undone.key} undid it", f"agentctl revert {undone.change.id}"
    return f"this very commit landed as {record.key}", "to land it once more make it anew: git commit --amend --no-edit"


NEAR = 1000
"""Commits of a change that are looked at in process."""
LATELY = 20
"""Commits of trunk that a checkout may have missed which was kept from following it."""


def _base(hub: Hub, head: str, tip: str) -> str:
    near = hub.line.meets(head, tip, NEAR)
    return near[1] if near else hub.git("merge-base", tip, head, ok=(0, 1))


def undoes(hub: Hub, head: str, tip: str) -> list[str]:
    """Paths that a change makes again what they were before something that landed lately: somebody means that, or commits
    in a checkout whose files are older than its branch."""
    base = _base(hub, head, tip)
    own = set(changed(hub, base, head)) if base else set()
    there, new = hub.objects.commit(base).tree if own else "", {oid for _, _, oid, status in own if status == "A"}
    # What is there under another name now was not taken back.
    own = {one for one in own if one[1] or (hub.objects.at(there, one[0]) or (0, ""))[1] not in new}
    past = itertools.islice(_before(hub, base), LATELY) if own else ()
    return sorted({path for old in past for path, *_ in own & set(changed(hub, base, old))})


def _before(hub: Hub, commit: str) -> Iterator[str]:
    """What trunk was before, as far as it is here."""
    while (parents := hub.objects.commit(commit).parents) and hub.objects.exists(parents[0]):
        commit = parents[0]
        yield commit


def refuse_idle(hub: Hub, head: str, tip: str) -> None:
    """Raises Refused for a head of which trunk holds all already."""
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
    """True if what landed is no longer in the history of trunk, which is at `tip`."""
    return isinstance(record, Landed) and not (tip and hub.holds(tip, record.commit))


def gone(hub: Hub, tip: str, commits: Iterable[str]) -> set[str]:
    """Those among `commits` that landed once and that the history of `tip`, empty for no trunk,
    no longer holds."""
    asked = set(commits)
    there = {oid for oid in asked if _OID.fullmatch(oid) and hub.objects.exists(oid)} if tip else set()
    away = hub.git("rev-list", "--no-walk", "--stdin", stdin="\n".join([*there, "^" + tip]).encode()) if there else ""
    return asked - there | set(away.split())


FAR = 1000
"""Commits of trunk, up to which Git is not asked for them."""


def since(hub: Hub, base: str, trunk: str, paths: tuple[str, ...] = (), limit: int = 30) -> list[Plain]:
    """What landed on trunk after `base`, newest first: commit, change and subject."""
    line = between(hub.objects, trunk, base, FAR)
    if line is not None and len(line) < FAR:
        places = (
            [tuple(hub.objects.at(commit.tree, path) for path in paths) for commit in (*line, hub.objects.commit(base))]
            if paths
            else []
        )
        listed = [commit for n, commit in enumerate(line) if not paths or places[n] != places[n + 1]]
        return [
            {"commit": c.oid, "change": commit_messages.trailer(c.message, "Agentctl-Change"), "subject": c.subject}
            for c in listed[:limit]
        ]
    form = "%H%x00%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)%x00%s"
    where = ("--", *(":(literal)" + p for p in paths)) if paths else ()
    told = hub.git("log", f"-n{limit}", "--format=" + form, trunk, "^" + base, *where)
    return [dict(zip(("commit", "change", "subject"), line.split("\0", 2))) for line in told.split("\n") if line]
