"""The policy in force: the file at trunk's tip, never an agent's."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, parse
from agentctl.errors import NotFound, PolicyError
from agentctl.git import process, stale_locks
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import marks


def read_policy(hub: Hub, tip: str, branch: str = "trunk") -> Policy:
    """The policy in the tree of the commit `tip`, of a branch called so. Raises PolicyError if there is none or
    if it is invalid, NotFound for a bad `tip`."""
    data = hub.objects.read(hub.objects.commit(tip).tree, POLICY_PATH)
    if data is None:
        raise PolicyError(
            f"there is no {POLICY_PATH} on {branch} ({tip[:12]})", hint=f"agentctl init, then commit the file on {branch}"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{POLICY_PATH}: not UTF-8: {error}") from None
    return parse(text, POLICY_PATH)


def same_policy(hub: Hub, one: str, other: str) -> bool:
    """True if the file is the very same in two commits."""
    return one == other or len({hub.objects.at(hub.objects.commit(c).tree, POLICY_PATH) for c in (one, other)}) == 1


def in_force(hub: Hub) -> tuple[str, Policy]:
    """(tip, policy) of trunk, which is the branch whose own policy says so.

    Looked at in turn: the branch that `git config agentctl.trunk` names, which init records; main; master;
    the branch checked out; those that remotes have checked out. A branch whose policy names another one leads
    there. Where none of them has a policy it is the only branch that names itself.

    Raises PolicyError if there is none, if it is invalid, or if branches contradict each other.
    """
    first = None
    for name in _likely(hub):
        tip = hub.refs.get(refnames.branch(name))
        first = first or (tip and (name, tip))
        if tip and has_policy(hub, tip):
            return _followed(hub, name, _at_tip(hub, name, tip))
    own = [name for name in _branches(hub) if _names_itself(hub, name)]
    if len(own) > 1:
        raise PolicyError(
            f"each of these branches calls itself trunk: {', '.join(own)}",
            hint=f"git config agentctl.trunk {shlex.quote(own[0])}",
        )
    if own:
        return _followed(hub, own[0], read_policy(hub, hub.trunk_tip(own[0])))
    if first:
        _at_tip(hub, *first)
    moved = any(ref.startswith("refs/heads/") for ref in marks.read(hub).refs)
    raise PolicyError(
        "no trunk found: there is no branch main, and none with a policy that names it as trunk",
        hint=marks.RESTORE if moved else "agentctl init",
    )


def record_trunk(hub: Hub, name: str) -> None:
    """Write down what trunk is called, where hooks read it without opening a policy."""
    if hub.config("agentctl.trunk") != name:
        stale_locks.retrying(hub.git_dir, lambda: hub.configure("agentctl.trunk", name))


def has_policy(hub: Hub, tip: str) -> bool:
    return hub.objects.at(hub.objects.commit(tip).tree, POLICY_PATH) is not None


def _likely(hub: Hub) -> Iterator[str]:
    """Each costs a look only if those before it were not it."""
    yield from filter(None, (hub.config("agentctl.trunk"), "main", "master", checked_out(hub)))
    for head in hub.git("for-each-ref", "--format=%(symref:lstrip=3)", "refs/remotes/*/HEAD").split("\n"):
        if head:
            yield head


def checked_out(hub: Hub) -> str:
    """The branch that the caller's worktree is on; empty if it is on none."""
    if hub.agent:
        return ""
    return process.as_user(["symbolic-ref", "-q", "--short", "HEAD"], cwd=hub.top or hub.git_dir, ok=(0, 1, 128))


def _followed(hub: Hub, name: str, policy: Policy) -> tuple[str, Policy]:
    """(tip, policy) of the branch that the policy on `name` says is trunk."""
    trunk = policy.trunk
    tip = hub.refs.get(refnames.branch(trunk))
    if not tip:
        there = hub.git("for-each-ref", "--format=%(refname:short)", f"refs/remotes/*/{trunk}").split("\n")[0]
        track = f"git branch {shlex.quote(trunk)} {shlex.quote(there)}" if there else ""
        raise NotFound(
            f"the policy on {name} names {trunk!r} as trunk, and there is no such branch here",
            hint=track or f"git branch --list, then set `trunk:` in {POLICY_PATH}",
            mend=track,
        )
    found = policy if trunk == name else _at_tip(hub, trunk, tip)
    if found.trunk != trunk:
        raise PolicyError(
            f"the policy on {name} says that trunk is {trunk}, and the one there that it is {found.trunk}",
            hint=f"set `trunk: {trunk}` in {POLICY_PATH} on {trunk}, or on {name} what is meant",
        )
    return tip, found


def _branches(hub: Hub) -> list[str]:
    names = hub.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/").split("\n")
    return [name for name in names if name and not name.startswith("agent/")]


def _names_itself(hub: Hub, name: str) -> bool:
    try:
        return read_policy(hub, hub.trunk_tip(name)).trunk == name
    except (PolicyError, NotFound):
        return False


def _at_tip(hub: Hub, trunk: str, tip: str) -> Policy:
    """Raises PolicyError, which tells of it if somebody else moved trunk there, and not forward."""
    try:
        return read_policy(hub, tip, trunk)
    except PolicyError as error:
        ref, known = refnames.branch(trunk), marks.read(hub)
        if known.ours(ref, tip) or hub.holds(tip, known.newest(ref)):
            raise
        raise PolicyError(f"{error.message}; the bot left trunk at {known.newest(ref)[:12]}", hint=marks.RESTORE) from error
