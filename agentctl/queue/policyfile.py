"""The policy in force: the file at trunk's tip, never an agent's."""

from __future__ import annotations

from agentctl.core import refnames
from agentctl.core.policy import Policy, parse
from agentctl.errors import PolicyError
from agentctl.git.hub import POLICY_PATH, Hub
from agentctl.queue import marks


def read_policy(hub: Hub, tip: str) -> Policy:
    """The policy in the tree of the commit `tip`. Raises PolicyError if there is none or
    if it is invalid, NotFound for a bad `tip`."""
    data = hub.objects.read(hub.objects.commit(tip).tree, POLICY_PATH)
    if data is None:
        raise PolicyError(f"there is no {POLICY_PATH} on trunk ({tip[:12]})",
                          hint="agentctl init, then commit the file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{POLICY_PATH}: not UTF-8: {error}") from None
    return parse(text, POLICY_PATH)


def same_policy(hub: Hub, one: str, other: str) -> bool:
    """True if the file is the very same in two commits."""
    return one == other or len({hub.objects.at(hub.objects.commit(c).tree, POLICY_PATH) for c in (one, other)}) == 1


def in_force(hub: Hub) -> tuple[str, Policy]:
    """(tip, policy) of trunk.

    Which branch is trunk stands in the policy itself; the branch to read it from is the
    one named by `git config agentctl.trunk`, which init sets, or main, or master.
    """
    for name in dict.fromkeys(filter(None, (hub.config("agentctl.trunk"), "main", "master"))):
        tip = hub.git("rev-parse", "--verify", "--quiet", "refs/heads/" + name, ok=(0, 1))
        if tip:
            policy = _at_tip(hub, name, tip)
            if policy.trunk != name:
                tip = hub.trunk_tip(policy.trunk)
                policy = _at_tip(hub, policy.trunk, tip)
            return tip, policy
    moved = any(ref.startswith("refs/heads/") for ref in marks.read(hub).refs)
    raise PolicyError("no trunk found: neither agentctl.trunk is configured nor is there a branch main",
                      hint=marks.RESTORE if moved else "agentctl init")


def _at_tip(hub: Hub, trunk: str, tip: str) -> Policy:
    """Raises PolicyError, which tells of it if somebody else moved trunk there, and not forward."""
    try:
        return read_policy(hub, tip)
    except PolicyError as error:
        ref, known = refnames.branch(trunk), marks.read(hub)
        if known.ours(ref, tip) or hub.holds(tip, known.newest(ref)):
            raise
        raise PolicyError(f"{error.message}; the bot left trunk at {known.newest(ref)[:12]}",
                          hint=marks.RESTORE) from error
