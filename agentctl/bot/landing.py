"""Moving trunk, and bringing checkouts of it along."""

from __future__ import annotations

from agentctl.bot.stage import Built
from agentctl.core import refnames
from agentctl.core.queue.events import Landing
from agentctl.core.queue.model import Probe, Verdict
from agentctl.core.queue.state import State
from agentctl.git import checkouts
from agentctl.git.repository import Hub
from agentctl.hub import marks, verdicts


def rest(probe: Probe, built: Built, trunk: str) -> tuple[tuple[str, str], ...]:
    """What of a staged chain is still to land: (key, carrying commit), in order. Nothing if
    the chain is not whole, or trunk is not one of the commits on its way."""
    if built.conflicts or tuple(key for key, _ in built.landing) != probe.chain:
        return ()
    way = [probe.base, *(commit for _, commit in built.landing)]
    return built.landing[way.index(trunk) :] if trunk in way else ()


def move(hub: Hub, trunk: str, landing: Landing) -> None:
    """Fast-forward trunk, durably. Raises Contended if somebody else moved it first."""
    ref = refnames.branch(trunk)
    refs = hub.refs.transaction(f"land {len(landing.staged.landing)} changes")
    refs.update(ref, landing.staged.commit, landing.old)
    with marks.moving(hub, ref, landing.old, landing.staged.commit):
        hub.sync()
        refs.commit()
        hub.sync()


def proven(hub: Hub, landing: Landing) -> bool:
    """True if the tree of a landing under way has a passed verdict of the bot's own. What is staged is held by no ref: a
    mirror of the hub does not have it, and builds it once more."""
    if not hub.objects.exists(landing.staged.commit):
        return False
    tree = hub.objects.commit(landing.staged.commit).tree
    return bool(verdicts.lookup(hub, landing.passed.gate, tree, Verdict.PASSED))


def complete_checkouts(hub: Hub, trunk: str, state: State) -> None:
    """Bring along the checkouts of a landing that was cut off after trunk had moved, or of a
    trunk that somebody else moved forward with the branch alone."""
    tip = hub.trunk_tip(trunk)
    if state.landing and tip == state.landing.staged.commit:
        for tree in checkouts.of_trunk(hub, trunk):
            checkouts.drop_half_written(hub, tree, state.landing.old, tip)
        checkouts.bring_along(hub, trunk, state.landing.old, tip)
    elif state.trunk and tip != state.trunk:
        checkouts.bring_along(hub, trunk, state.trunk, tip)
