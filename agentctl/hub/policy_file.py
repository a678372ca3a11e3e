"""The policy in force: the file in the commit at trunk's tip, never the file of an agent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, parse
from agentctl.core.text.yaml_document import Problems
from agentctl.errors import NotFound, PolicyError
from agentctl.git import process, stale_locks
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import marks


def read_policy(hub: Hub, tip: str, branch: str = "trunk") -> Policy:
    """Return the policy in the tree of the commit `tip`; `branch` is what messages call the branch.

    Raises PolicyError if there is no policy or if it is invalid, and ObjectError if `tip` is not a commit.
    """
    data = hub.objects.read(hub.objects.commit(tip).tree, POLICY_PATH)
    if data is None:
        raise PolicyError(
            f"there is no {POLICY_PATH} on {branch} ({tip[:12]})", hint=f"agentctl init, then commit the file on {branch}"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{POLICY_PATH}:{line}: not UTF-8: {error}") from None
    return parse(text, POLICY_PATH)


def same_policy(hub: Hub, one: str, other: str) -> bool:
    """Tell whether two commits have exactly the same policy file."""
    return one == other or len({hub.objects.at(hub.objects.commit(c).tree, POLICY_PATH) for c in (one, other)}) == 1


def refusals(hub: Hub, before: str, after: str, trunk: str) -> list[str]:
    """List why trunk could not go by the policy of the commit `after`; none if that is the policy of `before`, too.

    Raises ObjectError.
    """
    if same_policy(hub, before, after):
        return []
    if hub.objects.read(hub.objects.commit(after).tree, POLICY_PATH) is None:
        return [f"{POLICY_PATH}: trunk cannot do without this file"]
    try:
        _followed(hub, trunk, read_policy(hub, after, trunk))
    except Problems as error:
        return [str(problem) for problem in error.problems]
    except (PolicyError, NotFound) as error:
        return [error.message]
    return []


def in_force(hub: Hub) -> tuple[str, Policy]:
    """Return (tip, policy) of trunk, which is the branch whose own policy names it as trunk.

    These branches are tried in turn: the one that `git config agentctl.trunk` names (init records it), main, master,
    the branch that is checked out, and the default branches of remotes. The first one with a policy decides: if its
    policy names another branch, that is trunk. If none of them has a policy, trunk is the only branch whose policy
    names itself.

    Raises PolicyError if there is no such policy, if it is invalid, or if branches contradict each other; NotFound if
    the branch that a policy names does not exist.
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
    moved = hub.refs.get(refnames.STATE) or any(ref.startswith("refs/heads/") for ref in marks.read(hub).refs)
    raise PolicyError(
        "no trunk found: there is no branch main, and none with a policy that names it as trunk",
        hint=marks.RESTORE if moved else "agentctl init",
    )


def record_trunk(hub: Hub, name: str) -> None:
    """Record the name of trunk in Git's configuration, where hooks read it without opening a policy."""
    if hub.config("agentctl.trunk") != name:
        stale_locks.retrying(hub.git_dir, lambda: hub.configure("agentctl.trunk", name))


def has_policy(hub: Hub, tip: str) -> bool:
    return hub.objects.at(hub.objects.commit(tip).tree, POLICY_PATH) is not None


def _likely(hub: Hub) -> Iterator[str]:
    """Yield the names of branches that may be trunk; each is looked up only if those before it were not trunk."""
    yield from filter(None, (hub.config("agentctl.trunk"), "main", "master", checked_out(hub)))
    for head in hub.git("for-each-ref", "--format=%(symref:lstrip=3)", "refs/remotes/*/HEAD").split("\n"):
        if head:
            yield head


def checked_out(hub: Hub) -> str:
    """Return the branch that the caller's worktree is on; empty if it is on none, or if the worktree is an agent's."""
    if hub.agent:
        return ""
    return process.as_user(["symbolic-ref", "-q", "--short", "HEAD"], cwd=hub.top or hub.git_dir, ok=(0, 1, 128))


def _followed(hub: Hub, name: str, policy: Policy) -> tuple[str, Policy]:
    """Return (tip, policy) of the branch that the policy on `name` names as trunk."""
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
    names = [ref.removeprefix("refs/heads/") for ref in sorted(hub.refs.names(["refs/heads/"]).oids)]
    return [name for name in names if not name.startswith("agent/")]


def _names_itself(hub: Hub, name: str) -> bool:
    try:
        return read_policy(hub, hub.trunk_tip(name)).trunk == name
    except (PolicyError, NotFound):
        return False


def _at_tip(hub: Hub, trunk: str, tip: str) -> Policy:
    """Return the policy at the tip of trunk.

    Raises PolicyError; if somebody else moved trunk to this tip, and not forward, the error says where the bot left it.
    """
    try:
        return read_policy(hub, tip, trunk)
    except PolicyError as error:
        ref, known = refnames.branch(trunk), marks.read(hub)
        if known.ours(ref, tip) or hub.holds(tip, known.newest(ref)):
            raise
        raise PolicyError(f"{error.message}; the bot left trunk at {known.newest(ref)[:12]}", hint=marks.RESTORE) from error
