"""The move of trunk, and of the checkouts that follow it."""

from __future__ import annotations

from agentctl.bot.stage import Built
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.model import Probe, Verdict
from agentctl.core.queue.records import Passed
from agentctl.core.queue.state import State
from agentctl.git import checkouts
from agentctl.git.repository import Hub
from agentctl.hub import marks, verdicts


def rest(probe: Probe, built: Built, trunk: str) -> tuple[tuple[str, str], ...]:
    """List the changes of a staged chain that are still to land, in order, as (key, carrying commit).

    The list is empty if the chain is not whole, or if trunk is at none of the commits on the way of the chain.
    """
    if built.conflicts or tuple(key for key, _ in built.landing) != probe.chain:
        return ()
    way = [probe.base, *(commit for _, commit in built.landing)]
    return built.landing[way.index(trunk) :] if trunk in way else ()


def planned(turn: Turn, probe: Probe, built: Built, gate: str) -> Landing | None:
    """Return the landing of the changes of a staged chain that are not on trunk yet; None if they cannot land any more.

    These are all of them or, where a shorter probe has moved trunk part of the way, the rest.
    """
    left = rest(probe, built, turn.state.trunk)
    judgement = verdicts.lookup(turn.hub, gate, built.tree, Verdict.PASSED)
    if not left or not judgement or any(key not in turn.state.queue for key, _ in left):
        return None
    staged = Staged(probe, built.commit, built.tree, left, gate, turn.now)
    return Landing(turn.state.trunk, staged, Passed(judgement.tree, judgement.gate, judgement.at, judgement.commit))


def move(hub: Hub, trunk: str, landing: Landing) -> None:
    """Fast-forward trunk durably, or raise Contended if somebody else moved it first."""
    ref = refnames.branch(trunk)
    refs = hub.refs.transaction(f"land {len(landing.staged.landing)} changes")
    refs.update(ref, landing.staged.commit, landing.old)
    with marks.moving(hub, ref, landing.old, landing.staged.commit):
        hub.sync()
        refs.commit()
        hub.sync()


def proven(hub: Hub, landing: Landing) -> bool:
    """Tell whether the tree of a landing under way has a passed verdict of the bot's own.

    The answer is False if the staged commit is not here. No ref holds that commit, so a mirror of the hub does not have
    it, and builds it once more.
    """
    if not hub.objects.exists(landing.staged.commit):
        return False
    tree = hub.objects.commit(landing.staged.commit).tree
    return bool(verdicts.lookup(hub, landing.passed.gate, tree, Verdict.PASSED))


def complete_checkouts(hub: Hub, trunk: str, state: State) -> None:
    """Bring along the checkouts of trunk that were left behind.

    They were left behind by a landing that was cut off after trunk had moved, or by somebody else who moved trunk
    forward with the branch alone.
    """
    tip = hub.trunk_tip(trunk)
    if state.landing and tip == state.landing.staged.commit:
        for tree in checkouts.of_trunk(hub, trunk):
            checkouts.drop_half_written(hub, tree, state.landing.old, tip)
        checkouts.bring_along(hub, trunk, state.landing.old, tip)
    elif state.trunk and tip != state.trunk:
        checkouts.bring_along(hub, trunk, state.trunk, tip)
