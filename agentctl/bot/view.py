"""What the planner is shown of a turn."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.bot import bot_deaths, lanes
from agentctl.bot.stage import Stager
from agentctl.bot.turn import Turn
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.model import BASELINE, Change, Result, View


def viewed(
    turn: Turn,
    policy: Policy,
    thawed: tuple[Change, ...],
    follower: lanes.Follower,
    stager: Stager,
    finished: Iterable[Result],
    landed: tuple[str, ...],
    stopped: bool,
) -> View:
    """Return what the planner is shown.

    `thawed` are the changes that nothing holds back, `finished` and `landed` what has just ended; where the landings are
    `stopped`, nothing may land.
    """
    state = turn.state
    wanted = state.queue.keys() if len(thawed) == len(state.queue) else {c.key for c in thawed}
    return View(
        trunk=state.trunk,
        queued=bot_deaths.apart(state.struck, thawed),
        memory=state.memory,
        running=tuple(s.probe for s in state.probes if s.probe.number != BASELINE),
        follow=follower.running(turn, policy, stager, wanted),
        hold=follower.holding(turn, policy, stager, wanted),
        clashes=state.clashes,
        next_probe=state.next_probe,
        slots=policy.queue.slots,
        finished=tuple(finished),
        landed=landed,
        withheld=stopped,
    )
